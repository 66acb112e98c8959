import { comparePositions, parseCursor } from '../../src/protocol/cursor.js';
import type { ReceivedEvent } from './event-stream.js';
import { record } from './figures.js';

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
  readonly #ofTopic = new Map<string, number[]>();

  /** What has been published so far. */
  get size(): number {
    return this.#published.length;
  }

  /** To be called in the order of the log. */
  recordPublished(cursor: string, topic: string, n: number): void {
    const place = this.#published.length;
    this.#placeOf.set(cursor, place);
    const ofTopic = this.#ofTopic.get(topic);
    if (ofTopic) ofTopic.push(place);
    else this.#ofTopic.set(topic, [place]);
    this.#published.push({ cursor, topic, n });
  }

  /** The newest publication of these topics, or -1. */
  newestOf(topics: readonly string[]): number {
    return this.#published.findLastIndex(({ topic }) => topics.includes(topic));
  }

  placeOf(cursor: string): number {
    return this.#placeOf.get(cursor) ?? -1;
  }

  /**
   * What is wrong with what one client got over all its connections; empty when all is well. A reset speaks for the
   * topics that it names, up to its own position; the others have to be complete.
   */
  faultsOf(topics: readonly string[], received: readonly ReceivedEvent[]): string[] {
    const faults: string[] = [];
    if (received[0]?.event !== 'sse.open') faults.push(`begins with ${received[0]?.event ?? 'nothing'}`);
    const places = new Map<string, number>();
    let last = -1;
    let losses = 0;
    let duplicates = 0;
    for (const { event, data, lastEventId } of received) {
      const at = this.placeOf(lastEventId);
      if (event === 'sse.open') {
        // Only the first one says where it began; the others are where it was.
        if (places.size === 0) for (const topic of topics) places.set(topic, at);
        last = Math.max(last, at);
        continue;
      }
      if (event === 'sse.reset') {
        const before = this.#placeBefore(lastEventId);
        for (const topic of (JSON.parse(data) as { topics: string[] }).topics) {
          if (topics.includes(topic)) places.set(topic, before);
          else faults.push(`${topic}: told of a loss, and not followed`);
        }
        continue;
      }
      const published = this.#published[at];
      if (!published) {
        faults.push(`never published: ${lastEventId} ${data}`);
        continue;
      }
      const { topic, n } = published;
      const expected = this.#nextOf(topic, places.get(topic));
      if (at !== expected) faults.push(`${topic}: expected publication ${expected}, got ${at}`);
      if (expected !== undefined && at > expected) losses += this.#countOf(topic, expected, at);
      if (at <= last) {
        duplicates++;
        faults.push(`${topic}: publication ${at} came after ${last}`);
      }
      if (JSON.stringify({ topic, n }) !== data) faults.push(`not what was published: ${data}`);
      places.set(topic, at);
      last = at;
    }
    for (const topic of topics) {
      const missing = this.#nextOf(topic, places.get(topic));
      if (missing === undefined) continue;
      losses += this.#countOf(topic, missing, Infinity);
      faults.push(`${topic}: never arrived: publication ${missing} and what follows`);
    }
    record({ checked: 1, losses, duplicates });
    return faults;
  }

  /**
   * The last publication at or before a cursor. That of a reset is just before what follows, where nothing need have
   * been: what was there is gone, and nobody knows in which millisecond it was.
   */
  #placeBefore(cursor: string): number {
    const known = this.#placeOf.get(cursor);
    const parsed = parseCursor(cursor);
    if (known !== undefined || !parsed) return known ?? -1;
    return this.#published.findLastIndex((one) => {
      const at = parseCursor(one.cursor);
      return at?.epoch === parsed.epoch && comparePositions(at.position, parsed.position) <= 0;
    });
  }

  /** The first publication of a followed topic after this place. */
  #nextOf(topic: string, place: number | undefined): number | undefined {
    if (place === undefined) return undefined;
    const ofTopic = this.#ofTopic.get(topic) ?? [];
    return ofTopic[firstAfter(ofTopic, place)];
  }

  /** How many publications of a topic are at these places, the last one not included. */
  #countOf(topic: string, from: number, to: number): number {
    const ofTopic = this.#ofTopic.get(topic) ?? [];
    return firstAfter(ofTopic, to - 1) - firstAfter(ofTopic, from - 1);
  }
}

/** The index of the first number in a sorted list that is greater. */
function firstAfter(sorted: readonly number[], place: number): number {
  let low = 0;
  let high = sorted.length;
  while (low < high) {
    const middle = Math.floor((low + high) / 2);
    if (sorted[middle]! > place) high = middle;
    else low = middle + 1;
  }
  return low;
}
