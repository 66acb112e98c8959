import { Subject } from 'rxjs';

import type { EventLog } from '../../log/event-log.js';
import type { SSEEvent } from '../../protocol/event.js';
import type { Selection, Selections } from '../clients/followers.js';

/** A topic that somebody follows or observes on this node. */
export class Topic {
  readonly subject = new Subject<Readonly<SSEEvent>>();
  /** The selections that name this topic, without patterns. */
  readonly selections = new Set<Selection>();

  constructor(readonly name: string) {}

  get unused(): boolean {
    return this.selections.size === 0 && !this.subject.observed;
  }
}

/** The topics in use. One that nobody follows or observes any more leaves nothing behind here. */
export class Topics {
  readonly #topics = new Map<string, Topic>();
  #completed = false;

  constructor(
    private readonly log: EventLog,
    private readonly selections: Selections,
  ) {}

  get size(): number {
    return this.#topics.size;
  }

  get(name: string): Topic | undefined {
    return this.#topics.get(name);
  }

  open(name: string): Topic {
    const known = this.#topics.get(name);
    if (known) return known;
    const topic = new Topic(name);
    if (this.#completed) topic.subject.complete();
    this.#topics.set(name, topic);
    this.log.hold(name);
    return topic;
  }

  collect(topic: Topic): void {
    if (!topic.unused || !this.#topics.delete(topic.name)) return;
    this.log.release(topic.name);
  }

  /** Tells all observers that nothing will follow, also those who come later. */
  complete(): void {
    this.#completed = true;
    for (const { subject } of [...this.#topics.values()]) subject.complete();
  }

  attach(selection: Selection): void {
    for (const name of selection.topics) this.open(name).selections.add(selection);
  }

  detach(selection: Selection): void {
    for (const name of selection.topics) {
      const topic = this.#topics.get(name);
      topic?.selections.delete(selection);
      if (topic) this.collect(topic);
    }
  }

  /** Every selection that an event on this topic reaches. */
  *followersOf(name: string): Generator<Selection> {
    const topic = this.#topics.get(name);
    if (topic) yield* topic.selections;
    for (const selection of this.selections.withPatterns) {
      if (!selection.topics.has(name) && selection.follows(name)) yield selection;
    }
  }
}
