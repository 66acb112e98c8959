import type { Position } from '../protocol/cursor.js';
import type { History } from './history.js';
import type { LogItem } from './publication.js';

const SEGMENT_SIZE = 1_024;

/** A stretch of entries. Positions stand in typed arrays, because they outlive their items. */
class Segment {
  readonly #ms = new Float64Array(SEGMENT_SIZE);
  readonly #seq = new Float64Array(SEGMENT_SIZE);
  #items: (LogItem | undefined)[] = [];
  #histories: (History | undefined)[] = [];
  #live = 0;

  /** How many items are left. */
  get live(): number {
    return this.#live;
  }

  setPosition(index: number, { ms, seq }: Position): void {
    const at = index % SEGMENT_SIZE;
    this.#ms[at] = ms;
    this.#seq[at] = seq;
  }

  setItem(index: number, item: LogItem, history: History): void {
    const at = index % SEGMENT_SIZE;
    this.#items[at] = item;
    this.#histories[at] = history;
    this.#live++;
  }

  itemAt(index: number): LogItem | undefined {
    return this.#items[index % SEGMENT_SIZE];
  }

  historyAt(index: number): History | undefined {
    return this.#histories[index % SEGMENT_SIZE];
  }

  msAt(index: number): number {
    return this.#ms[index % SEGMENT_SIZE]!;
  }

  positionAt(index: number): Position {
    const at = index % SEGMENT_SIZE;
    return { ms: this.#ms[at]!, seq: this.#seq[at]! };
  }

  delete(index: number): LogItem | undefined {
    const at = index % SEGMENT_SIZE;
    const item = this.#items[at];
    this.#items[at] = undefined;
    this.#histories[at] = undefined;
    if (item && --this.#live === 0) {
      this.#items = [];
      this.#histories = [];
    }
    return item;
  }
}

/** The entries of the window by index, in stretches: what is before the window is let go of a stretch at a time. */
export class Segments {
  #segments: Segment[] = [];
  /** The number of the first one, counted from index 0. */
  #first = 0;

  /** Forgets everything. What comes next has this index. */
  clear(next: number): void {
    this.#segments = [];
    this.#first = numberOf(next);
  }

  /** The place of the next entry. */
  setPosition(index: number, position: Position): void {
    const at = numberOf(index) - this.#first;
    while (this.#segments.length <= at) this.#segments.push(new Segment());
    this.#segments[at]!.setPosition(index, position);
  }

  /** What is there, and the history of its topic: to look that up again for every event that leaves would take longer. */
  setItem(index: number, item: LogItem, history: History): void {
    this.#at(index).setItem(index, item, history);
  }

  itemAt(index: number): LogItem | undefined {
    return this.#at(index).itemAt(index);
  }

  historyAt(index: number): History | undefined {
    return this.#at(index).historyAt(index);
  }

  positionAt(index: number): Position {
    return this.#at(index).positionAt(index);
  }

  /** The milliseconds of its position. */
  msAt(index: number): number {
    return this.#at(index).msAt(index);
  }

  /** Lets go of an item. Its position stays. */
  delete(index: number): LogItem | undefined {
    return this.#at(index).delete(index);
  }

  /** The first index from `index` on that has an item, or `end`. Passes over stretches without any. */
  nextItem(index: number, end: number): number {
    let i = index;
    while (i < end) {
      const segment = this.#at(i);
      if (segment.live === 0) i = (numberOf(i) + 1) * SEGMENT_SIZE;
      else if (segment.itemAt(i) === undefined) i++;
      else return i;
    }
    return end;
  }

  /** Lets go of the stretches that end before this index. */
  dropBefore(index: number): void {
    const dropped = numberOf(index) - this.#first;
    if (dropped === 0) return;
    this.#segments.splice(0, dropped);
    this.#first += dropped;
  }

  /** The first index from `low` up to `high` whose position passes; all after it do too. */
  search(low: number, high: number, passes: (position: Position) => boolean): number {
    let [from, to] = [low, high];
    while (from < to) {
      const middle = Math.floor((from + to) / 2);
      if (passes(this.positionAt(middle))) to = middle;
      else from = middle + 1;
    }
    return from;
  }

  #at(index: number): Segment {
    return this.#segments[numberOf(index) - this.#first]!;
  }
}

function numberOf(index: number): number {
  return Math.floor(index / SEGMENT_SIZE);
}
