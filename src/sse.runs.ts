import type { Observable } from 'rxjs';

import type { RunOutcome } from './protocol/entry.js';
import type { SSEEvent } from './protocol/event.js';

/** What a run gets its values from: an async iterable (a generator, a stream of Node or the web, an SDK's), or an Observable. */
export type RunSource<Value> = AsyncIterable<Value> | Iterable<Value> | Observable<Value>;

/**
 * The work of a run: answers where its values come from. `signal` is aborted when the run is cancelled, or has failed: hand
 * it on to whatever does the work.
 */
export type RunWork<Value> = (signal: AbortSignal) => RunSource<Value> | Promise<RunSource<Value>>;

/**
 * Says of several neighbours what they are together, or `undefined` for those that do not go together. It has the type of a
 * method, so that a function which knows what the chunks are may stand where nobody else does.
 */
export type Merge<Data = unknown> = { of(chunks: readonly Data[]): Data | undefined }['of'];

/** The data of what a source gives: of whole events, theirs. */
export type DataOfValue<Value> = Value extends { readonly event: string; readonly data: infer Data } ? Data : Value;

export interface RunOptions<Name extends string = string, Event = SSEEvent, Data = unknown> {
  /**
   * The name of its events: each value is the data of one.
   *
   * @defaultValue none: a value that is an object of `event` and `data` (and `id`, `retry`, `comment`, `metadata`,
   * `timestamp`, and nothing else) is a whole event; any other is the data of an event without a name
   */
  event?: Name | undefined;
  /**
   * What its viewers get when it has finished, before the end; such as `{ data: '[DONE]' }`.
   *
   * @defaultValue none
   */
  last?: Event | undefined;
  /**
   * What its viewers get when it has failed, before the end, whichever node says so.
   *
   * @defaultValue an event `failed` with `{ message }`, which gives nothing away
   */
  failed?: Event | undefined;
  /**
   * What its viewers get when it is cancelled, before the end.
   *
   * @defaultValue none
   */
  cancelled?: Event | undefined;
  /**
   * Where a run is going on there already, on whichever node: `'join'` follows that one and starts nothing; `'replace'`
   * cancels it first; `'reject'` is the error `RUN_EXISTS` (409).
   *
   * @defaultValue `'join'`
   */
  onRunning?: 'join' | 'replace' | 'reject' | undefined;
  /**
   * Gives those who come late fewer and larger events: what they are behind by is handed to this, as the data of
   * neighbours. Who is there gets each event. Holds for those who follow what `run()` returns, and `getRun()` on a node that
   * has called it; others have an option `merge` of their own, because code does not travel between nodes.
   *
   * @defaultValue none: everybody gets each event
   */
  merge?: Merge<Data> | undefined;
}

/** A run that has been started or joined. A handler of `@EventStream()` may return it: its clients get all of it. */
export interface SSERun {
  /**
   * Names the run on all nodes. Where another node began one on the topic in the same moment, it is known only when
   * `started` settles whose it is.
   */
  readonly id: string;
  readonly topic: string;
  /**
   * Settles when the log has it, so that it is the one run that is going on there. Rejects with `RUN_EXISTS`,
   * `BACKPLANE_UNAVAILABLE`, `SHUTTING_DOWN`; then nothing runs. Need not be awaited.
   */
  readonly started: Promise<void>;
  /** How it came out, on whichever node it is. Rejects as `started` does, and with `SHUTTING_DOWN` where that is not known. */
  readonly done: Promise<RunOutcome>;
}

/** What is known of a run. A handler of `@EventStream()` may return it. */
export interface SSERunState {
  readonly id: string;
  readonly topic: string;
  readonly state: 'running' | RunOutcome;
  /** When it began; ISO 8601. Absent where this node was started later, and the log has let go of that. */
  readonly since?: string | undefined;
  /** A name of the node that it is on; each has another one after a restart. */
  readonly node: string;
  /** How many events it has had. */
  readonly events: number;
  /** Why it was cancelled or has failed: what `cancelRun` was given, or `replaced`, `closed`, `source`, `shutdown`, `lost` (its node is gone). */
  readonly reason?: string | undefined;
}

/** Which run to cancel, and why. */
export interface CancelRunOptions {
  /**
   * Only this run: a newer one goes on.
   *
   * @defaultValue the one that is going on
   */
  id?: string | undefined;
  /**
   * For `signal.reason`, and for the state of the run. At most 256 bytes.
   *
   * @defaultValue none
   */
  reason?: string | undefined;
}
