/** Who follows which topic, for contenders that leave this to the application. */
export class Audience<Member> {
  readonly #byTopic = new Map<string, Set<Member>>();
  #size = 0;

  get size(): number {
    return this.#size;
  }

  of(topic: string): Iterable<Member> {
    return this.#byTopic.get(topic) ?? [];
  }

  /** Answers with a function that takes the member out again. */
  add(member: Member, topics: readonly string[]): () => void {
    this.#size++;
    for (const topic of topics) {
      const members = this.#byTopic.get(topic);
      if (members) members.add(member);
      else this.#byTopic.set(topic, new Set([member]));
    }
    return () => {
      this.#size--;
      for (const topic of topics) this.#byTopic.get(topic)?.delete(member);
    };
  }
}

interface Kept<Event> {
  readonly id: string;
  readonly topic: string;
  readonly event: Event;
}

/** The history that an application would add to a library without one: a list, and a search in it. */
export class SimpleHistory<Event> {
  readonly #kept: Kept<Event>[] = [];

  constructor(private readonly enabled: boolean) {}

  add(id: string, topic: string, event: Event): void {
    if (this.enabled) this.#kept.push({ id, topic, event });
  }

  after(id: string, topics: readonly string[]): Kept<Event>[] {
    const start = this.#kept.findIndex((kept) => kept.id === id) + 1;
    return this.#kept.slice(start).filter((kept) => topics.includes(kept.topic));
  }
}
