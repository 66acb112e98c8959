import type { Cursor, Position } from '../protocol/cursor.js';
import { Entry } from '../protocol/entry.js';
import type { Presence } from './presence.js';

/** An entry that has its place in the log. */
export interface LogEntry {
  /** The epoch of the log it belongs to: one history, from its first entry on. */
  readonly epoch: string;
  readonly position: Position;
  /** The position of the entry before it, so that a reader can tell when it has missed one. */
  readonly previous: Position;
  /** `undefined` for one that this node cannot read, or will not: its place counts, and there is nothing in it for anybody. */
  readonly entry: Entry | undefined;
}

/** The hub's side: how a backplane hands over what it reads. */
export interface LogListener {
  /** An epoch begins for this reader: what it knew before is void, and what is not after `from` is unknown. */
  begin(epoch: string, from: Position): void;
  /** What follows, in log order, each entry once. The only entrance to local delivery. */
  deliver(entries: readonly LogEntry[]): void;
  /** The retained window has been delivered: clients may start. */
  ready(): void;
  /** So many entries were passed over that have no place in the log: somebody else has put them there. */
  skipped(count: number): void;
  /** Something that an operator should know, in a sentence or two. Said once, not for every event that it concerns. */
  warn(message: string): void;
}

/**
 * What becomes of an entry while the broker is away. `timeout`: it is rejected in time (`publishTimeout`), for callers
 * who wait for an answer. `queue`: it is kept, within bounds, and stored when the broker is back.
 */
export type Patience = 'timeout' | 'queue';

/**
 * One totally ordered log, shared by all hubs that use it.
 *
 * Reading:
 * - `start` reports `begin`, then the retained entries, then `ready`, then each new entry as it is appended, always in
 *   log order. After a failure it goes on behind the last entry that it delivered.
 * - An application must start although the broker is away: then `start` settles within some seconds with `status` at
 *   `down`, and `begin`, the retained entries and `ready` come when the broker does. It rejects only for what no waiting
 *   can mend.
 * - Every entry comes back through `deliver`, also on the node that appended it: nothing is delivered only locally.
 * - Positions strictly increase, whatever clocks do. An epoch is never used for two histories: when it turns out that
 *   entries which were handed out are gone (a flush, an older backup, a replica that lacked them), a new epoch begins.
 * - An entry that was lost before this reader had it shows in the next one's `previous`. `begin` is only for another
 *   epoch.
 * - What is over-large or unreadable is delivered without its `entry`, so that who comes with its cursor finds the place.
 *   What others have put into the broker is passed over, once, whatever it claims; it is no sign of another epoch.
 *
 * Appending:
 * - `append` settles when the log has the entry, and not before, with the epoch and the position that it has got.
 * - The appends of one publisher keep their order, whatever has to be sent again, and each is stored once.
 * - With `timeout` it rejects within `publishTimeout` milliseconds. With `queue` the entry waits until the broker is
 *   back; at most `maxPending` entries (and a number of bytes) wait, and what is beyond is rejected at once.
 * - It rejects with a `BackplaneError`, whose `stored` says whether the entry is known not to be in the log. One whose
 *   fate is `unknown` may still have been stored, or be stored later, and only then behind what its publisher appended
 *   after it; when it is, it is delivered like any other, once.
 *
 * `backplaneContract` in `nestjs-sse-hub/testing` checks what can be checked without stopping a broker.
 */
export interface Backplane {
  /** A name for `stats()`, such as `redis`. */
  readonly kind: string;
  /** Counts clients over all nodes; absent where that cannot be done. */
  readonly presence?: Presence | undefined;
  /** `up` while entries can be read and appended, as far as is known. */
  readonly status: 'up' | 'down';
  /** How far the reader was behind the end of the log when that was last asked for, in milliseconds. */
  readonly lag?: number | undefined;
  /** Starts to read for this reader, and says to it what is read. Idempotent. */
  start(reader: LogListener): Promise<void>;
  /** Adds an entry at the end of the log, and answers with its place. */
  append(entry: Entry, patience: Patience): Promise<Cursor>;
  /** The position of the log's last entry, asked of the log itself. */
  end(): Promise<Position>;
  /** Stops reading for this reader, and lets go of what was opened for it. Idempotent. */
  close(reader: LogListener): Promise<void>;
}
