import { type EventLog } from '../log/event-log.js';
import type { Floor } from '../log/history.js';
import { comparePositions, parseCursor, type Position } from '../protocol/cursor.js';
import type { ResetReason, Resumed } from './control-frames.js';
import type { Selection } from './selection.js';

/** What to do when events between a client's cursor and the retained ones are gone. */
export type OnGap = 'earliest' | 'latest';

/** Where a client wants to begin. */
export interface StartWish {
  readonly lastEventId: string;
  /** Milliseconds since 1970: what is newer. */
  readonly since: number | undefined;
  /** Milliseconds since 1970: nothing older, whatever the cursor. */
  readonly notBefore: number | undefined;
  readonly onGap: OnGap;
  /** The head when it connected. */
  readonly head: number;
}

/** Something a client has to be told: events up to and including `at` are gone. */
export interface Loss {
  readonly at: number;
  readonly reason: ResetReason;
  readonly topics: readonly string[];
}

export interface Start {
  /** The index of the first entry that it gets. */
  readonly next: number;
  readonly resumed: Resumed;
  readonly loss?: Loss;
  /** What is gone by now needs no further telling. */
  readonly knowsOfGap?: boolean;
  /** Events to everybody before this index are not for it. */
  readonly broadcastsFrom?: number;
}

/** This node has not read as far as the client has. */
export interface Ahead {
  readonly ahead: Position;
}

/** Where private events with an id of the application's were sent: id to cursor, bounded by its owner. */
export type PrivateIds = ReadonlyMap<string, string>;

/** Finds the place of a client in the log, and what is missing there. */
export function resolveStart(log: EventLog, ids: PrivateIds, selection: Selection, wish: StartWish): Start | Ahead {
  if (wish.lastEventId === '') return freshStart(log, selection, wish);
  const cursor = parseCursor(wish.lastEventId) ?? parseCursor(ids.get(wish.lastEventId) ?? '');
  if (!cursor) return startAfterOwnId(log, selection, wish);
  if (cursor.epoch !== log.epoch) return startAfterGap(log, selection, wish, 'epoch');
  const located = log.locate(cursor.position);
  switch (located.at) {
    case 'window':
      return startAt(log, selection, wish, located.index);
    case 'before':
      return startAt(log, selection, wish, log.start, cursor.position);
    case 'ahead':
      return { ahead: cursor.position };
    case 'diverged':
      return startAfterGap(log, selection, wish, 'diverged');
  }
}

function freshStart(log: EventLog, selection: Selection, wish: StartWish): Start {
  if (wish.since === undefined) return { ...startAt(log, selection, wish, wish.head), resumed: 'none' };
  // "All that is retained" is what was asked for: nothing older can be missing.
  const next = Math.max(log.indexAtTime(wish.since, true), firstAllowed(log, wish));
  return { next, resumed: 'none', knowsOfGap: true, broadcastsFrom: wish.head };
}

function startAfterOwnId(log: EventLog, selection: Selection, wish: StartWish): Start {
  const indexes = log.indexesOfId(wish.lastEventId).filter((index) => {
    const item = log.itemAt(index);
    return selection.empty || (item !== undefined && selection.concerns(item));
  });
  const [oldest, second] = indexes;
  if (oldest === undefined) return startAfterGap(log, selection, wish, 'foreign');
  if (second === undefined) return startAt(log, selection, wish, oldest + 1);
  const next = Math.max(oldest + 1, firstAllowed(log, wish));
  const loss: Loss = { at: next - 1, reason: 'ambiguous', topics: [...selection.names] };
  return { next, resumed: 'reset', knowsOfGap: true, loss };
}

/** A start at `index`, for a client that has everything up to `has` (or, without it, everything before the index). */
function startAt(log: EventLog, selection: Selection, wish: StartWish, index: number, has?: Position): Start {
  const next = Math.max(index, firstAllowed(log, wish));
  const lost = lostTopics(log, selection, (floor) => {
    if (wish.notBefore !== undefined && floor.position.ms < wish.notBefore) return false;
    return has ? comparePositions(floor.position, has) > 0 : floor.index >= next;
  });
  if (lost.topics.length === 0) return { next, resumed: 'full' };
  if (wish.onGap === 'latest') {
    return { next: log.head, resumed: 'reset', loss: { at: log.head - 1, reason: 'trimmed', topics: lost.topics } };
  }
  return { next, resumed: 'reset', loss: { at: lost.at, reason: 'trimmed', topics: lost.topics } };
}

export function startAfterGap(log: EventLog, selection: Selection, wish: StartWish, reason: ResetReason): Start {
  const retained = wish.onGap === 'earliest' ? firstRetained(log, selection) : log.head;
  const next = Math.max(retained, firstAllowed(log, wish));
  return { next, resumed: 'reset', knowsOfGap: true, loss: { at: next - 1, reason, topics: [...selection.names] } };
}

/** The followed topics whose floor is a loss, and the highest of these floors. */
export function lostTopics(
  log: EventLog,
  selection: Selection,
  isLoss: (floor: Floor, name: string) => boolean,
): { topics: string[]; at: number } {
  const topics = new Set<string>();
  let at = -1;
  for (const [name, floor] of floorsOf(log, selection)) {
    if (floor.index < 0 || !isLoss(floor, name)) continue;
    for (const lost of name === EVERYBODY ? selection.names : [name]) topics.add(lost);
    at = Math.max(at, floor.index);
  }
  return { topics: [...topics], at };
}

/** Stands for the events to everybody where topics are named. No topic is empty. */
const EVERYBODY = '';

/** The floor of everything that a selection gets, by the name it follows it with. */
export function* floorsOf(log: EventLog, selection: Selection): Generator<[name: string, floor: Floor]> {
  if (selection.empty) return;
  yield [EVERYBODY, log.floorOf(undefined)];
  for (const topic of selection.topics) yield [topic, log.floorOf(topic)];
  for (const pattern of selection.patterns.keys()) yield [pattern, log.floorOfMatching(selection.matcherOf(pattern))];
}

function firstAllowed(log: EventLog, { notBefore }: StartWish): number {
  return notBefore === undefined ? 0 : log.indexAtTime(notBefore);
}

/** Just at the first retained event of the followed topics, so that the cursor before it is past what is gone. */
function firstRetained(log: EventLog, selection: Selection): number {
  if (selection.empty) return log.start;
  if (!selection.hasPatterns) {
    const oldest = [...selection.topics, undefined].map((topic) => log.historyOf(topic)?.oldest ?? log.head);
    return Math.min(...oldest);
  }
  let index = log.nextItem(log.start);
  while (index < log.head && !selection.concerns(log.itemAt(index)!)) index = log.nextItem(index + 1);
  return index;
}

/** Whether a name that counts from now on passes over something that is retained, or gone, since `from`. */
export function skipsRetained(log: EventLog, selection: Selection, name: string, from: number): boolean {
  if (selection.topics.has(name)) {
    return (log.historyOf(name)?.newest ?? -1) >= from || log.floorOf(name).index >= from;
  }
  const matches = selection.matcherOf(name);
  if (log.floorOfMatching(matches).index >= from) return true;
  for (let i = log.nextItem(from); i < log.head; i = log.nextItem(i + 1)) {
    const topic = log.itemAt(i)?.topic;
    if (topic !== undefined && matches(topic)) return true;
  }
  return false;
}
