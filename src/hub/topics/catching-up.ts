import type { Observable, Subscriber } from 'rxjs';

import type { EventLog } from '../../log/event-log.js';
import { Publication } from '../../log/publication.js';
import type { SSEEvent } from '../../protocol/event.js';
import { inNoContext } from '../callbacks.js';
import type { Envelopes } from '../envelopes.js';
import type { Following } from './following.js';

export interface CatchingUpContext {
  readonly log: EventLog;
  readonly envelopes: Envelopes;
  /** Whether the window of the log is known. */
  readonly ready: () => boolean;
  /** Completes with the hub. */
  readonly end: Observable<never>;
}

/**
 * Code on the server that follows topics from a time in the past on. It is a place in the log, like a client: what is
 * retained and what comes are one reading, so nothing is lost or doubled between them.
 */
export class CatchingUp {
  #next = 0;
  /** Where it begins in this life of the log is to be found. */
  #seeks = true;
  #reading = false;

  constructor(
    private readonly following: Following,
    /** Milliseconds since 1970 on the log's clock. What is newer is for it. */
    private since: number,
    private readonly subscriber: Subscriber<Readonly<SSEEvent>>,
    private readonly context: CatchingUpContext,
  ) {
    subscriber.add(context.end.subscribe({ complete: () => subscriber.complete() }));
  }

  /** Another life of the log begins, of which it has seen nothing that is newer than this. */
  beginAfter(ms: number): void {
    this.since = Math.max(this.since, ms);
    this.#seeks = true;
  }

  /** Hands over what is in the log behind what it has. An observer that publishes gets here again: it comes after. */
  read(): void {
    if (this.#reading || !this.context.ready()) return;
    this.#reading = true;
    try {
      inNoContext(() => this.#readAll());
    } finally {
      this.#reading = false;
    }
  }

  #readAll(): void {
    const { log, envelopes } = this.context;
    const { following, subscriber } = this;
    if (this.#seeks) this.#next = Math.max(this.#next, log.indexAtTime(this.since, true));
    this.#seeks = false;
    while (!subscriber.closed) {
      this.#next = following.firstIn(log, this.#next);
      const item = log.itemAt(this.#next);
      if (!item) return;
      this.#next++;
      if (item instanceof Publication && item.topic !== undefined) subscriber.next(envelopes.of(item));
    }
  }
}
