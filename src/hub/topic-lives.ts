interface Life {
  readonly closed: boolean;
  /** Of the entry that closed or opened it. */
  readonly index: number;
  /** Where it began; -1 when no other came before it. */
  readonly began: number;
  readonly at: number;
}

const MAX_REMEMBERED = 100_000;

/** Which topics are finished, and which have started over. */
export class TopicLives {
  readonly #lives = new Map<string, Life>();
  #oldest = this.#lives.keys();

  constructor(private readonly maxAge: number) {}

  get size(): number {
    return this.#lives.size;
  }

  isClosed(topic: string): boolean {
    return this.#lives.get(topic)?.closed ?? false;
  }

  /** Where the topic's latest life began, closed or not; -1 when it has had only one. */
  openedAt(topic: string): number {
    return this.#lives.get(topic)?.began ?? -1;
  }

  /** Where the topic was closed; -1 when it is not. */
  closedAt(topic: string): number {
    const life = this.#lives.get(topic);
    return life?.closed ? life.index : -1;
  }

  close(topic: string, index: number): void {
    this.#remember(topic, { closed: true, index, began: this.openedAt(topic), at: Date.now() });
  }

  open(topic: string, index: number): void {
    if (this.#lives.has(topic)) this.#remember(topic, { closed: false, index, began: index, at: Date.now() });
  }

  prune(): void {
    const deadline = Date.now() - this.maxAge;
    for (const [topic, { at }] of this.#lives) {
      if (at > deadline) return;
      this.#lives.delete(topic);
    }
  }

  clear(): void {
    this.#lives.clear();
  }

  // Oldest first: a Map keeps the order of insertion.
  #remember(topic: string, life: Life): void {
    this.#lives.delete(topic);
    this.#lives.set(topic, life);
    if (this.#lives.size > MAX_REMEMBERED) this.#forgetOldest();
  }

  // The iterator is kept: a new one would have to pass over all that was deleted before it, again and again.
  #forgetOldest(): void {
    let { value, done } = this.#oldest.next();
    if (done) {
      this.#oldest = this.#lives.keys();
      ({ value, done } = this.#oldest.next());
    }
    if (!done) this.#lives.delete(value!);
  }
}
