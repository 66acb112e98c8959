import { Subject } from 'rxjs';

import type { EventLog } from '../../log/event-log.js';
import type { SSEEvent } from '../../protocol/event.js';
import type { Following } from './following.js';

/** Somebody who follows topics: to the hub, the clients that follow the same. */
export interface Follower {
  readonly following: Following;
}

/** A topic that somebody follows or observes on this node. */
export class Topic<F extends Follower> {
  readonly subject = new Subject<Readonly<SSEEvent>>();
  /** Those who name this topic, rather than a pattern. */
  readonly followers = new Set<F>();

  constructor(readonly name: string) {}

  get unused(): boolean {
    return this.followers.size === 0 && !this.subject.observed;
  }
}

/** The topics in use, and who follows them. One that nobody follows or observes any more leaves nothing behind here. */
export class Topics<F extends Follower> {
  readonly #topics = new Map<string, Topic<F>>();
  readonly #withPatterns = new Set<F>();
  #completed = false;

  constructor(private readonly log: EventLog) {}

  get size(): number {
    return this.#topics.size;
  }

  get(name: string): Topic<F> | undefined {
    return this.#topics.get(name);
  }

  open(name: string): Topic<F> {
    const known = this.#topics.get(name);
    if (known) return known;
    const topic = new Topic<F>(name);
    if (this.#completed) topic.subject.complete();
    this.#topics.set(name, topic);
    this.log.hold(name);
    return topic;
  }

  collect(topic: Topic<F>): void {
    if (!topic.unused || !this.#topics.delete(topic.name)) return;
    this.log.release(topic.name);
  }

  /** Tells all observers that nothing will follow, also those who come later. */
  complete(): void {
    this.#completed = true;
    for (const { subject } of [...this.#topics.values()]) subject.complete();
  }

  attach(follower: F): void {
    const { topics, hasPatterns } = follower.following;
    for (const name of topics) this.open(name).followers.add(follower);
    if (hasPatterns) this.#withPatterns.add(follower);
  }

  detach(follower: F): void {
    this.#withPatterns.delete(follower);
    for (const name of follower.following.topics) {
      const topic = this.#topics.get(name);
      topic?.followers.delete(follower);
      if (topic) this.collect(topic);
    }
  }

  /** Everybody whom an event on this topic reaches. */
  *followersOf(name: string): Generator<F> {
    const topic = this.#topics.get(name);
    if (topic) yield* topic.followers;
    for (const follower of this.#withPatterns) {
      const { following } = follower;
      if (!following.topics.has(name) && following.follows(name)) yield follower;
    }
  }
}
