import { Subject } from 'rxjs';

import type { EventLog } from '../log/event-log.js';
import { Publication } from '../log/publication.js';
import type { Followers, Lane } from './clients/followers.js';

/**
 * How long events take from being published to being written to clients of this node. It is one figure for a turn, that of
 * its oldest event, so that it costs the same for any number of clients; and nothing while nobody asks.
 */
export class DeliveryDelay {
  /** Milliseconds. */
  readonly figures = new Subject<number>();
  /** The index behind the retained window, which was published in its own time; none while that is being read. */
  #newFrom = Infinity;
  /** When the oldest event that the turn has for somebody was published. */
  #oldest = Infinity;

  constructor(private readonly log: EventLog) {}

  /** A window is read. */
  pause(): void {
    this.#newFrom = Infinity;
  }

  /** The window has been read: what follows is news. */
  resume(): void {
    this.#newFrom = this.log.head;
  }

  /** The clients of the lane are written to, what is between `from` and `end`. */
  note({ following }: Followers, { clients }: Lane, from: number, end: number): void {
    if (!this.figures.observed || clients.size === 0 || end <= this.#newFrom) return;
    const { log } = this;
    let index = following.firstIn(log, Math.max(from, this.#newFrom));
    for (; index < end; index = following.firstIn(log, index + 1)) {
      const item = log.itemAt(index);
      if (!(item instanceof Publication)) continue;
      this.#oldest = Math.min(this.#oldest, item.position.ms);
      return;
    }
  }

  /** What the turn has for its clients is written. */
  tell(): void {
    if (this.#oldest === Infinity) return;
    // By the log's clock where that is ahead of the machine's: nothing is written before it is published.
    const now = Math.max(Date.now(), this.log.now);
    this.figures.next(Math.max(0, now - this.#oldest));
    this.#oldest = Infinity;
  }
}
