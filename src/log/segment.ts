import type { Position } from '../protocol/cursor.js';
import type { LogItem } from './publication.js';

export const SEGMENT_SIZE = 1_024;

/** A stretch of the log. Positions stand in typed arrays, because they outlive their items. */
export class Segment {
  readonly #ms = new Float64Array(SEGMENT_SIZE);
  readonly #seq = new Float64Array(SEGMENT_SIZE);
  #items: (LogItem | undefined)[] = [];
  #live = 0;

  /** How many items are left. */
  get live(): number {
    return this.#live;
  }

  set(index: number, position: Position, item: LogItem | undefined): void {
    const at = index % SEGMENT_SIZE;
    this.#ms[at] = position.ms;
    this.#seq[at] = position.seq;
    if (!item) return;
    this.#items[at] = item;
    this.#live++;
  }

  itemAt(index: number): LogItem | undefined {
    return this.#items[index % SEGMENT_SIZE];
  }

  positionAt(index: number): Position {
    const at = index % SEGMENT_SIZE;
    return { ms: this.#ms[at]!, seq: this.#seq[at]! };
  }

  delete(index: number): LogItem | undefined {
    const at = index % SEGMENT_SIZE;
    const item = this.#items[at];
    this.#items[at] = undefined;
    if (item && --this.#live === 0) this.#items = [];
    return item;
  }
}
