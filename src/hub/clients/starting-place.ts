import type { EventLog } from '../../log/event-log.js';
import { type Floor, NO_FLOOR } from '../../log/history.js';
import { Publication } from '../../log/publication.js';
import type { Run, Runs } from '../../log/runs.js';
import {
  comparePositions,
  type Cursor,
  FOREIGN_CURSOR,
  NEW_CURSOR,
  parseCursor,
  type Position,
} from '../../protocol/cursor.js';
import { singleLineFault } from '../../protocol/event.js';
import type { OnGap, ResetReason, Resumed } from '../../sse.client.js';
import type { Following } from '../topics/following.js';

/** Where a client wants to begin. */
export interface StartWish {
  readonly lastEventId: string;
  /** Milliseconds since 1970: what is newer. */
  readonly since: number | undefined;
  /** Milliseconds since 1970: nothing older, whatever the cursor. */
  readonly notBefore: number | undefined;
  /** The first event of a run that it is to get; of other topics, all that is retained. */
  readonly from: number | undefined;
  readonly runs: Runs;
  readonly onGap: OnGap;
  /** The head when it connected. */
  readonly head: number;
}

/** Something a client has to be told: events are gone. */
export interface Loss {
  readonly reason: ResetReason;
  /** Of these topics and patterns; without them, of whatever it follows when it is told. */
  readonly names: readonly string[] | undefined;
}

export interface Start {
  /** The index of the first entry that it gets. */
  readonly next: number;
  readonly resumed: Resumed;
  readonly loss?: Loss;
  /** It has everything up to here, which is before the window. */
  readonly has?: Position;
  /** It begins anew: what is gone by now needs no telling beyond `loss`. */
  readonly anew?: boolean;
  /** Events to everybody before this index are not for it, and of topics that were started over only the present life. */
  readonly broadcastsFrom?: number;
}

/** This node has not read as far as the client has. */
export interface Ahead {
  readonly ahead: Position;
}

/** Finds the place of a client in the log, and what is missing there. */
export function resolveStart(log: EventLog, following: Following, wish: StartWish): Start | Ahead {
  if (wish.lastEventId === '') return freshStart(log, following, wish);
  const cursor = parseCursor(wish.lastEventId);
  return cursor ? startAfter(log, following, wish, cursor) : startAfterOwnId(log, following, wish);
}

function startAfter(log: EventLog, following: Following, wish: StartWish, cursor: Cursor): Start | Ahead {
  if (cursor.epoch !== log.epoch) return startAfterGap(log, following, wish, 'epoch');
  const located = log.locate(cursor.position);
  switch (located.at) {
    case 'window':
      return withInitial(cursor, startAt(log, following, wish, located.index));
    case 'before':
      return withInitial(cursor, startAt(log, following, wish, log.start, cursor.position));
    case 'ahead':
      return { ahead: cursor.position };
    case 'diverged':
      return startAfterGap(log, following, wish, 'diverged');
  }
}

/** Nothing is missing, but for what it was to get before everything else: in that it begins. */
function withInitial({ initialDue }: Cursor, start: Start): Start {
  return initialDue && start.resumed === 'full' ? { ...start, resumed: 'none' } : start;
}

function freshStart(log: EventLog, following: Following, wish: StartWish): Start {
  if (wish.from !== undefined) return startInRun(log, following, wish, wish.from);
  if (wish.since === undefined) return { ...startAt(log, following, wish, wish.head), resumed: 'none' };
  // "All that is retained" is what was asked for: nothing older can be missing.
  const next = Math.max(log.indexAtTime(wish.since, true), firstAllowed(log, wish));
  return { next, resumed: 'none', anew: true, broadcastsFrom: wish.head };
}

/** Like "all that is retained", but whoever asks for a run from an event on is told when that is gone. */
function startInRun(log: EventLog, following: Following, wish: StartWish, from: number): Start {
  const next = Math.max(log.start, firstAllowed(log, wish));
  const names = [...following.topics].filter((topic) => {
    const run = wish.runs.get(topic);
    return run && (firstRetainedOf(log, run) ?? run.events) > from;
  });
  const start = { next, anew: true, broadcastsFrom: wish.head };
  if (names.length === 0) return { ...start, resumed: 'none' };
  return { ...start, resumed: 'reset', loss: { reason: 'trimmed', names } };
}

/** The number of the first event of a run that the log has. */
function firstRetainedOf(log: EventLog, { id, topic, index }: Run): number | undefined {
  const history = log.historyOf(topic);
  for (let i = history?.nextFrom(index); i !== undefined; i = history?.nextFrom(i + 1)) {
    const item = log.itemAt(i);
    if (item instanceof Publication && item.entry.run === id) return item.entry.n;
  }
  return undefined;
}

/**
 * Without control events, a reader that ignores blocks without data comes back with the id of an event rather than with
 * the cursor behind it; with them, one that was cut between the two.
 */
function startAfterOwnId(log: EventLog, following: Following, wish: StartWish): Start {
  const { retained, gone } = log.usesOfId(wish.lastEventId);
  const mayBe = (item: { topic: string | undefined }): boolean => following.empty || following.concerns(item);
  const published = retained.filter((index) => mayBe(log.itemAt(index)!));
  // It may have been that one: then what came before the next with this id is not known to have arrived.
  const evicted = gone && mayBe(gone) ? gone : undefined;
  const oldest = published[0];
  if (oldest === undefined) return startAfterGap(log, following, wish, 'foreign');
  if (published.length === 1 && !evicted) return startAt(log, following, wish, oldest + 1);
  const first = Math.max(Math.min(oldest, evicted?.index ?? oldest) + 1, log.start);
  return anewAt(Math.max(first, firstAllowed(log, wish)), 'ambiguous');
}

/** A start at `index`, for a client that has everything up to `has` (or, without it, everything before the index). */
function startAt(log: EventLog, following: Following, wish: StartWish, index: number, has?: Position): Start {
  const next = Math.max(index, firstAllowed(log, wish));
  const loss = lossOf(log, following, 'trimmed', (floor) => {
    if (wish.notBefore !== undefined && floor.position.ms < wish.notBefore) return false;
    return has ? comparePositions(floor.position, has) > 0 : floor.index >= index;
  });
  if (!loss) return { next, resumed: 'full', ...(has && { has }) };
  if (wish.onGap === 'latest') return anewAt(log.head, 'trimmed');
  return { next, resumed: 'reset', loss, ...(has && { has }) };
}

export function startAfterGap(log: EventLog, following: Following, wish: StartWish, reason: ResetReason): Start {
  const retained = wish.onGap === 'earliest' ? firstRetained(log, following) : log.head;
  return anewAt(Math.max(retained, firstAllowed(log, wish)), reason);
}

export function anewAt(next: number, reason: ResetReason): Start {
  return { next, resumed: 'reset', anew: true, loss: { reason, names: undefined } };
}

/** What is gone of what is followed, by the floors; only what was let go of after so many evictions of the log. */
export function lossOf(
  log: EventLog,
  following: Following,
  reason: ResetReason,
  isLoss: (floor: Floor, name: string) => boolean,
  evictedAfter = -1,
): Loss | undefined {
  const names: string[] = [];
  for (const [name, floor] of floorsOf(log, following, evictedAfter)) {
    if (floor.eviction <= evictedAfter || floor === NO_FLOOR || !isLoss(floor, name)) continue;
    if (name === EVERYBODY) return { reason, names: undefined };
    names.push(name);
  }
  return names.length > 0 ? { reason, names } : undefined;
}

/** Stands for the events to everybody where topics are named. No topic is empty. */
const EVERYBODY = '';

/** The floor of everything that a following gets, by the name it follows it with. */
function* floorsOf(log: EventLog, following: Following, evictedAfter: number): Generator<[string, Floor]> {
  if (following.empty) return;
  yield [EVERYBODY, log.floorOf(undefined)];
  for (const topic of following.topics) yield [topic, log.floorOf(topic)];
  for (const pattern of following.patternTexts) {
    yield [pattern, log.floorOfMatching(following.matcherOf(pattern), evictedAfter)];
  }
}

function firstAllowed(log: EventLog, { notBefore }: StartWish): number {
  return notBefore === undefined ? 0 : log.indexAtTime(notBefore);
}

/** Just at the first retained event of the followed topics, so that the cursor before it is past what is gone. */
function firstRetained(log: EventLog, following: Following): number {
  return following.empty ? log.start : following.firstIn(log, log.start);
}

/**
 * What a client comes back with that was refused, or sent away before it was open: that moves nobody. It is what it came
 * with, and means what it meant. Who came without anything, and wanted only what is new, gets that from now on.
 */
export function cursorOfUnopened(
  log: EventLog,
  isWindowKnown: boolean,
  {
    lastEventId,
    since,
    from,
    initial,
  }: Pick<StartWish, 'lastEventId' | 'since' | 'from'> & { readonly initial: unknown },
): string {
  if (lastEventId !== '') return singleLineFault(lastEventId, Infinity) ? FOREIGN_CURSOR : lastEventId;
  // Who is to get something before what is new has not got it yet.
  if (!isWindowKnown || since !== undefined || from !== undefined || initial) return NEW_CURSOR;
  return log.cursorBefore(log.head);
}

/** Whether a name that counts from index `at` on passes over something that was published since the client's start. */
export function skipsRetained(log: EventLog, following: Following, name: string, start: Start, at: number): boolean {
  const from = start.anew ? 0 : start.next;
  const isSkipped = (floor: Floor): boolean => {
    if (floor === NO_FLOOR) return false;
    return start.has ? comparePositions(floor.position, start.has) > 0 : floor.index >= from;
  };
  if (following.topics.has(name)) {
    return (log.historyOf(name)?.nextFrom(from) ?? Infinity) < at || isSkipped(log.floorOf(name));
  }
  const matches = following.matcherOf(name);
  if (isSkipped(log.floorOfMatching(matches))) return true;
  for (let i = log.nextItem(from); i < at; i = log.nextItem(i + 1)) {
    const topic = log.itemAt(i)?.topic;
    if (topic !== undefined && matches(topic)) return true;
  }
  return false;
}
