import type { ReceivedEvent } from './event-stream.js';

interface Published {
  readonly cursor: string;
  readonly topic: string;
  readonly n: number;
}

/**
 * The one invariant: per client, positions strictly increase; what arrived is exactly what was published on its topics
 * since its starting point, in order, or an `sse.reset` says otherwise; nothing of another topic arrived.
 */
export class Checker {
  readonly #published: Published[] = [];
  readonly #placeOf = new Map<string, number>();

  /** What has been published so far. */
  get size(): number {
    return this.#published.length;
  }

  /** To be called in the order of the log. */
  recordPublished(cursor: string, topic: string, n: number): void {
    this.#placeOf.set(cursor, this.#published.length);
    this.#published.push({ cursor, topic, n });
  }

  /** The newest publication of these topics, or -1. */
  newestOf(topics: readonly string[]): number {
    return this.#published.findLastIndex(({ topic }) => topics.includes(topic));
  }

  placeOf(cursor: string): number {
    return this.#placeOf.get(cursor) ?? -1;
  }

  /** What is wrong with what one client got over all its connections; empty when all is well. */
  faultsOf(topics: readonly string[], received: readonly ReceivedEvent[]): string[] {
    const faults: string[] = [];
    let place: number | undefined;
    for (const { event, data, lastEventId } of received) {
      const at = this.#placeOf.get(lastEventId) ?? -1;
      if (event === 'sse.open') {
        // Only the first one says where it began; the others are where it was.
        place ??= at;
        continue;
      }
      if (event === 'sse.reset') {
        faults.push(`reset: ${data}`);
        place = at;
        continue;
      }
      const published = this.#published[at];
      if (!published) {
        faults.push(`never published: ${lastEventId} ${data}`);
        continue;
      }
      const expected = this.#nextOf(topics, place ?? -1);
      if (at !== expected) faults.push(`expected publication ${expected}, got ${at} (after ${place})`);
      if (JSON.stringify({ topic: published.topic, n: published.n }) !== data)
        faults.push(`not what was published: ${data}`);
      place = at;
    }
    const missing = this.#nextOf(topics, place ?? -1);
    if (missing >= 0) faults.push(`never arrived: publication ${missing} and what follows`);
    return faults;
  }

  #nextOf(topics: readonly string[], place: number): number {
    for (let i = place + 1; i < this.#published.length; i++) {
      if (topics.includes(this.#published[i]!.topic)) return i;
    }
    return -1;
  }
}
