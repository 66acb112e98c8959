import { comparePositions, parseCursor } from '../../src/protocol/cursor.js';
import { record } from './measures/figures.js';
import type { ReceivedEvent } from './readers/event-stream.js';

interface Published {
  readonly cursor: string;
  readonly topic: string;
  readonly n: number;
}

/** How far a client has come in one of its topics. */
class Way {
  /** The place among those of the topic that comes next. */
  #next = 0;
  /** It was told of a loss, and nothing of the topic has come since. */
  told = false;

  constructor(private readonly places: readonly number[]) {}

  /** The publication that has to come next. */
  get expected(): number | undefined {
    return this.places[this.#next];
  }

  moveBehind(place: number): void {
    this.#next = Math.max(this.#next, firstAfter(this.places, place));
  }

  /** How many publications there are up to this place, that one not included. */
  countUpTo(place: number): number {
    return firstAfter(this.places, place - 1) - this.#next;
  }
}

/**
 * The one invariant: per client, positions strictly increase; what arrived is exactly what was published on its topics
 * since its starting point, in order, or an `sse.reset` says otherwise, before anything behind the first that is gone;
 * nothing of another topic arrived.
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
   * topics that it names, up to its own position, and, where there are others, up to what of them comes next: events of
   * the others may lie between.
   */
  faultsOf(topics: readonly string[], received: readonly ReceivedEvent[]): string[] {
    const faults: string[] = [];
    // A client that has to wait is given its cursor before.
    const first = received.find(({ event }) => event !== 'sse.cursor')?.event;
    if (first !== 'sse.open') faults.push(`begins with ${first ?? 'nothing'}`);
    const ways = new Map(topics.map((topic) => [topic, new Way(this.#ofTopic.get(topic) ?? [])]));
    const counts = { losses: 0, duplicates: 0 };
    let last = -1;
    let begun = false;
    for (const { event, data, lastEventId } of received) {
      const at = this.placeOf(lastEventId);
      if (event === 'sse.open') {
        // Only the first one says where it began; the others are where it was.
        if (!begun) for (const way of ways.values()) way.moveBehind(at);
        begun = true;
        last = Math.max(last, at);
        continue;
      }
      if (event === 'sse.reset') {
        const before = this.#placeBefore(lastEventId);
        for (const topic of (JSON.parse(data) as { topics: string[] }).topics) {
          const way = ways.get(topic);
          if (!way) faults.push(`${topic}: told of a loss, and not followed`);
          way?.moveBehind(before);
          if (way) way.told = topics.length > 1;
        }
        faults.push(...passedOver(ways, before, lastEventId));
        continue;
      }
      // It says again where the client is.
      if (event === 'sse.cursor') {
        if (at >= 0 && at < last) faults.push(`went back to ${at} from ${last}`);
        continue;
      }
      const published = this.#published[at];
      if (!published) {
        faults.push(`never published: ${lastEventId} ${data}`);
        continue;
      }
      const { topic, n } = published;
      const way = ways.get(topic);
      const expected = way?.expected;
      if (at !== expected && !(way?.told && expected !== undefined && at > expected)) {
        faults.push(`${topic}: expected publication ${expected}, got ${at}`);
        if (way && expected !== undefined && at > expected) counts.losses += way.countUpTo(at);
      }
      if (at <= last) {
        counts.duplicates++;
        faults.push(`${topic}: publication ${at} came after ${last}`);
      }
      if (JSON.stringify({ topic, n }) !== data) faults.push(`not what was published: ${data}`);
      way?.moveBehind(at);
      if (way) way.told = false;
      faults.push(...passedOver(ways, at, lastEventId));
      last = Math.max(last, at);
    }
    for (const [topic, way] of ways) {
      if (way.expected === undefined || way.told) continue;
      counts.losses += way.countUpTo(Infinity);
      faults.push(`${topic}: never arrived: publication ${way.expected} and what follows`);
    }
    record({ checked: 1, ...counts });
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
}

/** What a cursor claims although it neither came nor was told as lost: another node would believe it. */
function* passedOver(ways: ReadonlyMap<string, Way>, place: number, cursor: string): Generator<string> {
  if (ways.size < 2) return;
  for (const [topic, { expected, told }] of ways) {
    if (expected !== undefined && expected <= place && !told) {
      yield `${topic}: ${cursor} claims publication ${expected}, which neither came nor was told as lost`;
    }
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
