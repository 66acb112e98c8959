import type { SSEEvent } from './protocol/event.js';

/** How much of what a client missed it gets: nothing to get, everything, or not everything. */
export type Resumed = 'none' | 'full' | 'reset';

/**
 * Why events between a client's cursor and what follows are gone:
 * `foreign` the last event ID is not one of ours; `epoch` it is from another life of the log (memory: the process was
 * restarted); `trimmed` the events are older than what is retained; `diverged` the log's history is another one;
 * `slow` the client fell behind what is retained; `late` a topic was added after the replay; `ambiguous` several events
 * have this id; `filter` a filter of the application failed.
 */
export type ResetReason = 'foreign' | 'epoch' | 'trimmed' | 'diverged' | 'slow' | 'late' | 'ambiguous' | 'filter';

/** What to do when events between a client's cursor and the retained ones are gone. */
export type OnGap = 'earliest' | 'latest';

/**
 * Lets an event through for one client, in the asynchronous context of that client's own request. One that throws, or
 * answers anything but `true` or `false` (a promise above all), hides the event and ends that client.
 */
export type Filter = (event: SSEEvent) => boolean;

/**
 * Why a stream ended: `closed` the other side left; `finished` its topics are closed; `removed` by the application;
 * `evicted` its group was full; `replaced` by a client with the same id; `expired` at `expiresAt`; `age` at
 * `maxConnectionAge`; `slow` it accepted nothing for `slowTimeout`; `shutdown`; `error` a filter or `initial` failed.
 */
export type DisconnectReason =
  'closed' | 'finished' | 'removed' | 'evicted' | 'replaced' | 'expired' | 'age' | 'slow' | 'shutdown' | 'error';

/** One open event stream, as applications see it: a read-only view. */
export interface SSEClient {
  readonly id: string;
  readonly connected: boolean;
  /** Whose client it is. */
  readonly group?: string | undefined;
  /** What it follows; patterns as text. */
  readonly topics: ReadonlySet<string>;
  readonly metadata: Record<string, unknown>;
  /** ISO 8601, like the other times. */
  readonly connectedAt: string;
  /** The cursor that was last sent to it. */
  readonly lastEventId?: string | undefined;
  readonly lastEventAt?: string | undefined;
  readonly lastHeartbeatAt?: string | undefined;
  /**
   * How many entries of the log are newer than what it was handed, those of topics that it does not follow too: 0 while it
   * keeps up, and when it has gone. It gets behind when its connection takes no more, and while it is sent what it has
   * missed. What its connection has taken counts as handed over, though it may still be on its way.
   *
   * @example
   * const slow = sse.getClients().filter(({ behind }) => behind > 100);
   */
  readonly behind: number;
  /** The response that it was created with; direct transport only. */
  readonly response?: unknown;
}

/** A connection opened or ended. */
export interface ConnectionChange {
  readonly type: 'connect' | 'disconnect';
  readonly client: SSEClient;
  readonly reason?: DisconnectReason | undefined;
}

/** A group that follows a topic, over all nodes. */
export interface GroupOfTopic {
  readonly group: string;
  /** How many of its clients follow the topic. */
  readonly streams: number;
  /** Of its newest client that has some. */
  readonly metadata?: Record<string, unknown> | undefined;
}
