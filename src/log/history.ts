import { ORIGIN, type Position } from '../protocol/cursor.js';

/** How much of a topic is kept. */
export interface Retention {
  /** Events. */
  readonly maxSize: number;
  /** Milliseconds. */
  readonly maxAge: number;
}

/** The newest entry of a topic that the log has let go of. Whoever stands before it has missed something. */
export interface Floor {
  readonly index: number;
  readonly position: Position;
  /** The how-manieth eviction of the log this was: evictions of several topics are not in the order of the log. */
  readonly eviction: number;
}

/** Told apart by identity: a log that begins with a gap has its floor before the first index, too. */
export const NO_FLOOR: Floor = Object.freeze({ index: -1, position: ORIGIN, eviction: 0 });

/** Which entries of one topic the log still has: their indexes, oldest first. */
export class History {
  floor: Floor;
  /** How many hold on to this history although it may be empty. */
  holders = 0;
  #indexes: number[] = [];
  #first = 0;
  #marks = 0;

  constructor(
    readonly topic: string | undefined,
    public retention: Retention,
    floor: Floor,
  ) {
    this.floor = floor;
  }

  get size(): number {
    return this.#indexes.length - this.#first;
  }

  get overfull(): boolean {
    return this.size - this.#marks > this.retention.maxSize;
  }

  get oldest(): number | undefined {
    return this.#indexes[this.#first];
  }

  get newest(): number | undefined {
    return this.size - this.#marks > 0 ? this.#indexes.at(-1) : undefined;
  }

  /** The first entry from `index` on. */
  nextFrom(index: number): number | undefined {
    let low = this.#first;
    let high = this.#indexes.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#indexes[middle]! < index) low = middle + 1;
      else high = middle;
    }
    return this.#indexes[low];
  }

  /** What closes or opens the topic drives out no event, and stays however few are kept. */
  push(index: number, isMark: boolean): void {
    // A list that grows begins with room for seventeen, and most topics of a million have one event.
    if (this.#indexes.length === 0) this.#indexes = [index];
    else this.#indexes.push(index);
    if (isMark) this.#marks++;
  }

  /** Lets go of the oldest entry, which thereby becomes the floor. */
  evictOldest(position: Position, eviction: number, isMark: boolean): void {
    const index = this.#indexes[this.#first++];
    if (index === undefined) return;
    if (isMark) this.#marks--;
    this.floor = { index, position, eviction };
    if (this.#first * 2 > this.#indexes.length) {
      this.#indexes = this.#indexes.slice(this.#first);
      this.#first = 0;
    }
  }
}
