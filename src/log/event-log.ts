import { comparePositions, formatCursor, ORIGIN, type Position } from '../protocol/cursor.js';
import { type Floor, History, NO_FLOOR, type Retention } from './history.js';
import { type IdUses, OwnIds } from './own-ids.js';
import { LogItem, Publication } from './publication.js';
import { Segments } from './segment.js';

/** Where a position is, as far as the window can tell. */
export type Located =
  | { readonly at: 'window'; /** of the entry after it */ readonly index: number }
  | { readonly at: 'before' | 'ahead' | 'diverged' };

export interface EventLogOptions {
  retentionOf(topic: string | undefined): Retention;
  /** For events, the book-keeping around them, and the positions of evicted ones. */
  readonly maxBytes: number;
}

/**
 * Milliseconds that letting go of what is old may take in one turn: a million events that grow old together would otherwise
 * have everybody wait for a second. Looked at after so many of them.
 */
const AGE_BUDGET = 5;
const AGE_STRIDE = 64;
/** Of a run that is going on. */
const WHOLE: Retention = Object.freeze({ maxSize: Infinity, maxAge: Infinity });
/** What a position without its event costs, in bytes. */
const SLOT_BYTES = 32;
/** What an event costs beside its data: objects, positions, its topic's history. Measured with a heap snapshot. */
const ITEM_BYTES = 512;

/**
 * The bounded, contiguous window of the log that this node has in memory.
 *
 * Entries are counted by an index that only grows; a client's place is such an index. An evicted entry leaves its
 * position behind as long as an older entry is retained, so the log can tell "evicted" from "never existed".
 */
export class EventLog {
  epoch = '';
  readonly #segments = new Segments();
  #start = 0;
  #head = 0;
  /** The position just before the window. */
  #origin: Position = ORIGIN;
  #last: Position = ORIGIN;
  /** How far the log's clock is ahead of `performance.now()`, by the entry that was read soonest after it was written. */
  #ahead = -performance.now();
  readonly #histories = new Map<string | undefined, History>();
  readonly #overfull = new Set<History>();
  /** Covers topics that nobody keeps a history for. */
  #globalFloor: Floor = NO_FLOOR;
  #newestFloor: Floor = NO_FLOOR;
  readonly #ownIds = new OwnIds();
  /** How far each age limit has been applied. */
  readonly #aged = new Map<number, number>();
  #itemBytes = 0;
  #bytesAdded = 0;
  #events = 0;
  /** The cursor that was last asked for. */
  #asked: { readonly position: Position; readonly cursor: string } | undefined;
  #evictions = 0;

  constructor(readonly options: EventLogOptions) {
    // Events to everybody concern every client, so their floor is never merged with that of others.
    this.#historyFor(undefined).holders++;
  }

  /** The index of the first entry in the window. */
  get start(): number {
    return this.#start;
  }

  /** The index that the next entry will get. */
  get head(): number {
    return this.#head;
  }

  get last(): Position {
    return this.#last;
  }

  /** Retained events. */
  get events(): number {
    return this.#events;
  }

  /** How many times something was let go of: what was is told apart from what will be. */
  get evictions(): number {
    return this.#evictions;
  }

  get bytes(): number {
    return this.#itemBytes + (this.#head - this.#start) * SLOT_BYTES;
  }

  /** Bytes of everything that was ever appended. */
  get bytesAdded(): number {
    return this.#bytesAdded;
  }

  /** Whether with this item, too, the log can hold all that was appended since it had got so many bytes. */
  holdsAllSince(bytesAdded: number, item: LogItem): boolean {
    return this.#bytesAdded - bytesAdded + bytesOf(item) + SLOT_BYTES <= this.options.maxBytes;
  }

  /** The newest entry that was ever evicted, of whatever topic. */
  get newestFloor(): Floor {
    return this.#newestFloor;
  }

  /** When the oldest retained entry was published, in milliseconds. */
  get oldest(): number | undefined {
    return this.#events > 0 ? this.#segments.positionAt(this.#start).ms : undefined;
  }

  /** The time on the log's own clock, which neither a change of the machine's clock nor reading late can turn back. */
  get now(): number {
    return performance.now() + this.#ahead;
  }

  /** When this was on the machine's clock, which the log's may be ahead of. Milliseconds since 1970. */
  timeOf(ms: number): number {
    return ms - Math.max(0, this.now - Date.now());
  }

  /** Another life of the log: everything known so far is void, and what is not after `from` is unknown. */
  begin(epoch: string, from: Position): void {
    this.#clear();
    this.epoch = epoch;
    this.#origin = from;
    this.#last = from;
    this.#ahead = from.ms - performance.now();
    const isWhole = comparePositions(from, ORIGIN) === 0;
    this.#globalFloor = isWhole ? NO_FLOOR : { index: this.#head - 1, position: from, eviction: ++this.#evictions };
    this.#newestFloor = this.#globalFloor;
    for (const [topic, { retention, holders }] of this.#histories) {
      const history = new History(topic, retention, this.#globalFloor);
      history.holders = holders;
      if (holders > 0) this.#histories.set(topic, history);
      else this.#histories.delete(topic);
    }
  }

  /** Something between the last entry and `previous` was never read: what is before it leaves the window. */
  hole(previous: Position): void {
    while (this.#start < this.#head) this.#evictFirst();
    const index = this.append(previous, undefined);
    const floor = { index, position: previous, eviction: ++this.#evictions };
    this.#globalFloor = floor;
    this.#newestFloor = floor;
    for (const history of this.#histories.values()) history.floor = floor;
    this.#trimStart();
  }

  /** Adds the next entry and answers with its index. Without an item only its position is kept. */
  append(position: Position, item: LogItem | undefined): number {
    const index = this.#head++;
    this.#segments.setPosition(index, position);
    // Of the same millisecond as the last one, it says nothing new of the clocks: it was read later.
    if (position.ms !== this.#last.ms) this.#ahead = Math.max(this.#ahead, position.ms - performance.now());
    this.#last = position;
    this.#bytesAdded += SLOT_BYTES;
    if (!item) {
      if (index === this.#start) this.#trimStart();
      return index;
    }
    const history = this.#historyFor(item.topic);
    this.#segments.setItem(index, item, history);
    history.push(index, !(item instanceof Publication));
    if (history.overfull) this.#overfull.add(history);
    const bytes = bytesOf(item);
    this.#itemBytes += bytes;
    this.#bytesAdded += bytes;
    this.#events++;
    if (item instanceof Publication && item.entry.id !== undefined) this.#ownIds.add(item.entry.id, index);
    // Whatever its size: an entry that was accepted is delivered.
    while (this.bytes > this.options.maxBytes && this.#start < index) this.#evictFirst();
    return index;
  }

  itemAt(index: number): LogItem | undefined {
    return index < this.#start || index >= this.#head ? undefined : this.#segments.itemAt(index);
  }

  /** The first index from `index` on that has an item, or the head. Passes over stretches of evicted entries. */
  nextItem(index: number): number {
    return this.#segments.nextItem(Math.max(index, this.#start), this.#head);
  }

  /** The same for items of these topics and for everybody. Takes no longer when there is more of others in between. */
  nextItemOf(topics: Iterable<string>, index: number): number {
    let next = this.#histories.get(undefined)?.nextFrom(index) ?? this.#head;
    for (const topic of topics) next = Math.min(next, this.#histories.get(topic)?.nextFrom(index) ?? next);
    return next;
  }

  /** The cursor of whoever has everything before `index`. */
  cursorBefore(index: number): string {
    const position = index > this.#start ? this.#segments.positionAt(index - 1) : this.#origin;
    // Many ask for the same one, above all those who begin at the head: let them share it.
    if (!this.#asked || comparePositions(position, this.#asked.position) !== 0) {
      this.#asked = { position, cursor: formatCursor(this.epoch, position) };
    }
    return this.#asked.cursor;
  }

  locate(position: Position): Located {
    if (comparePositions(position, this.#origin) < 0) return { at: 'before' };
    if (comparePositions(position, this.#last) > 0) return { at: 'ahead' };
    if (comparePositions(position, this.#origin) === 0) return { at: 'window', index: this.#start };
    const index = this.#search((other) => comparePositions(other, position) >= 0);
    const found = index < this.#head && comparePositions(this.#segments.positionAt(index), position) === 0;
    return found ? { at: 'window', index: index + 1 } : { at: 'diverged' };
  }

  /** The index of the first entry for which `ms` is at least (or, with `after`, beyond) this time. */
  indexAtTime(ms: number, after = false): number {
    return this.#search((position) => (after ? position.ms > ms : position.ms >= ms));
  }

  /** The events with this id of the application's. */
  usesOfId(id: string): IdUses {
    return this.#ownIds.find(id);
  }

  /** The newest entry of the topic that is gone. */
  floorOf(topic: string | undefined): Floor {
    return this.#histories.get(topic)?.floor ?? this.#globalFloor;
  }

  /** The same for all topics that match: the highest, of those that have let go of something since. */
  floorOfMatching(matches: (topic: string) => boolean, evictedAfter = -1): Floor {
    let highest = this.#globalFloor.eviction > evictedAfter ? this.#globalFloor : NO_FLOOR;
    for (const [topic, { floor }] of this.#histories) {
      if (floor.index <= highest.index || floor.eviction <= evictedAfter) continue;
      if (topic !== undefined && matches(topic)) highest = floor;
    }
    return highest;
  }

  historyOf(topic: string | undefined): History | undefined {
    return this.#histories.get(topic);
  }

  /** Lets go of nothing of the topic for its number or age, as long as there is room for all: a run is whole, or it is told. */
  keepWhole(topic: string): void {
    this.#historyFor(topic).retention = WHOLE;
  }

  /** From now on what is of the topic grows old, together. */
  keepForItsTime(topic: string): void {
    const history = this.#histories.get(topic);
    if (!history) return;
    const { maxAge } = this.options.retentionOf(topic);
    history.retention = { maxSize: Infinity, maxAge };
    // What is before this, its age has been looked at while it had none.
    const from = history.oldest ?? this.#head;
    this.#aged.set(maxAge, Math.min(this.#aged.get(maxAge) ?? from, from));
  }

  /** Keeps the topic's own floor, even while it has no events. Undone by `release`. */
  hold(topic: string): void {
    this.#historyFor(topic).holders++;
  }

  release(topic: string): void {
    const history = this.#histories.get(topic);
    if (!history) return;
    history.holders--;
    this.#collect(history);
  }

  /**
   * Applies the limits of number and age to what is before `keepFrom`. Answers `false` when its time was up before all that
   * is too old was gone, and there is more to do in another turn.
   */
  prune(keepFrom: number): boolean {
    for (const history of this.#overfull) {
      while (history.overfull && history.oldest! < keepFrom) this.#evictOldestOf(history);
      if (!history.overfull) this.#overfull.delete(history);
    }
    const until = performance.now() + AGE_BUDGET;
    let isDone = true;
    for (const maxAge of this.#aged.keys()) if (!this.#pruneAge(maxAge, keepFrom, until)) isDone = false;
    this.#trimStart();
    return isDone;
  }

  #pruneAge(maxAge: number, keepFrom: number, until: number): boolean {
    const deadline = this.now - maxAge;
    let i = Math.max(this.#aged.get(maxAge) ?? 0, this.#start);
    const end = Math.min(keepFrom, this.#head);
    let isDone = true;
    while (isDone && i < end && this.#segments.msAt(i) < deadline) {
      const history = this.#segments.historyAt(i);
      if (history?.retention.maxAge === maxAge) this.#evictOldestOf(history);
      i++;
      if (i % AGE_STRIDE === 0) isDone = performance.now() < until;
    }
    this.#aged.set(maxAge, i);
    return isDone;
  }

  #historyFor(topic: string | undefined): History {
    const known = this.#histories.get(topic);
    if (known) return known;
    const retention = this.options.retentionOf(topic);
    const history = new History(topic, retention, this.#globalFloor);
    this.#histories.set(topic, history);
    if (!this.#aged.has(retention.maxAge)) this.#aged.set(retention.maxAge, this.#start);
    return history;
  }

  #collect(history: History): void {
    if (history.size > 0 || history.holders > 0) return;
    this.#histories.delete(history.topic);
    this.#globalFloor = merged(this.#globalFloor, history.floor);
  }

  #evictFirst(): void {
    const history = this.#segments.historyAt(this.#start);
    if (history) this.#evictOldestOf(history);
    this.#trimStart();
  }

  #evictOldestOf(history: History): void {
    const index = history.oldest!;
    const item = this.#segments.delete(index)!;
    history.evictOldest(this.#segments.positionAt(index), ++this.#evictions, !(item instanceof Publication));
    if (index > this.#newestFloor.index) this.#newestFloor = history.floor;
    this.#itemBytes -= bytesOf(item);
    this.#events--;
    if (this.#ownIds.size > 0 && item instanceof Publication && item.entry.id !== undefined)
      this.#ownIds.evict(item.entry.id, index, item.topic);
    this.#collect(history);
  }

  /** The window begins at its oldest retained entry. */
  #trimStart(): void {
    const start = this.#events === 0 ? this.#head : this.nextItem(this.#start);
    if (start === this.#start) return;
    this.#origin = this.#segments.positionAt(start - 1);
    this.#start = start;
    this.#segments.dropBefore(start);
  }

  #clear(): void {
    this.#segments.clear(this.#head);
    this.#start = this.#head;
    this.#overfull.clear();
    this.#ownIds.clear();
    this.#itemBytes = 0;
    this.#events = 0;
    this.#asked = undefined;
  }

  /** The first index of the window whose position passes; all after it do too. */
  #search(passes: (position: Position) => boolean): number {
    return this.#segments.search(this.#start, this.#head, passes);
  }
}

/** Covers both: the higher of the two, as new as the newer. */
function merged(a: Floor, b: Floor): Floor {
  const higher = a.index >= b.index ? a : b;
  return higher.eviction >= Math.max(a.eviction, b.eviction) ? higher : { ...higher, eviction: b.eviction };
}

function bytesOf(item: LogItem): number {
  return ITEM_BYTES + (item instanceof Publication ? item.bytes : 2 * item.topic.length);
}
