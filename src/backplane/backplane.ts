import type { Position } from '../protocol/cursor.js';

/** An event, serialised. */
export interface EventEntry {
  readonly kind: 'event';
  /** Absent for an event to everybody. */
  readonly topic?: string | undefined;
  readonly event?: string | undefined;
  readonly id?: string | undefined;
  readonly data: string;
  /** `data` is the application's own string rather than its serialised value. */
  readonly text?: boolean | undefined;
  readonly retry?: number | undefined;
  readonly comment?: string | undefined;
  readonly metadata?: Record<string, unknown> | undefined;
  readonly timestamp: string;
  readonly except?: readonly string[] | undefined;
  readonly exceptGroup?: string | undefined;
}

/** A topic is finished, or starts over. */
export interface TopicEntry {
  readonly kind: 'close' | 'open';
  readonly topic: string;
}

/** The clients of a group are to be disconnected, on every node. */
export interface GroupEntry {
  readonly kind: 'removeGroup';
  readonly group: string;
  readonly reconnect: boolean;
}

/** What a hub appends to the log: plain, JSON-safe objects. */
export type Entry = EventEntry | TopicEntry | GroupEntry;

/** An entry that has its place in the log. */
export interface LogEntry {
  /** The life of the log it belongs to. */
  readonly epoch: string;
  readonly position: Position;
  /** The position of the entry before it, so that a reader can tell when it has missed one. */
  readonly previous: Position;
  readonly entry: Entry;
}

/** The hub's side: how a backplane hands over what it reads. */
export interface LogReader {
  /** A life of the log begins for this reader: what it knew before is void, and what is not after `from` is unknown. */
  begin(epoch: string, from: Position): void;
  /** What follows, in log order, each entry once. The only entrance to local delivery. */
  deliver(entries: readonly LogEntry[]): void;
  /** The retained window has been delivered: clients may start. */
  ready(): void;
}

/**
 * One totally ordered log, shared by all hubs that use it.
 *
 * The contract:
 * - `start` reports `begin`, then the retained entries, then `ready`, then each new entry as it is appended, always in
 *   log order. After a failure it goes on behind the last entry that it delivered.
 * - `append` settles when the log has the entry, and not before. A rejected append may still have been stored; when it
 *   was, it is delivered like any other, once. The appends of one publisher keep their order.
 * - Every entry comes back through `deliver`, also on the node that appended it: nothing is delivered only locally.
 * - Positions strictly increase, whatever clocks do. An epoch is never used for two histories.
 * - `end` is the position of the log's last entry, asked of the log itself.
 */
export interface Backplane {
  readonly kind: string;
  readonly status: 'up' | 'down';
  start(reader: LogReader): Promise<void>;
  append(entry: Entry): Promise<Position>;
  end(): Promise<Position>;
  /** Stops reading for this reader, and lets go of what was opened for it. Idempotent. */
  close(reader: LogReader): Promise<void>;
}
