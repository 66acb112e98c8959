import type { AsyncResource } from 'node:async_hooks';

import type { ClosedTopics } from '../../log/closed-topics.js';
import type { EventLog } from '../../log/event-log.js';
import type { Runs } from '../../log/runs.js';
import type { Position } from '../../protocol/cursor.js';
import type { DisconnectReason } from '../../sse.client.js';
import type { Envelopes } from '../envelopes.js';
import type { Reporter } from '../reporting/reporter.js';
import type { TimerWheel } from '../timer-wheel.js';
import type { Turn } from '../turn.js';
import type { ClientSettings } from './client-settings.js';
import type { ControlFrames } from './control-frames.js';
import type { Member } from './followers.js';
import type { MergingContext } from './merging.js';

/** What reading the log takes, the same for all clients of a hub. */
export interface ReaderContext {
  readonly log: EventLog;
  readonly closedTopics: ClosedTopics;
  readonly reporter: Reporter;
  readonly envelopes: Envelopes;
  readonly turn: Turn;
  readonly merging: MergingContext;
}

/** What a client sees of its hub. */
export interface ClientContext extends ReaderContext {
  readonly runs: Runs;
  readonly timers: TimerWheel;
  /** Whether the window of the log is known. */
  readonly ready: boolean;
  /** Bytes. */
  readonly highWaterMark: number;
  /** Milliseconds. */
  readonly slowTimeout: number;
  /** A `retry` that spreads those who come back together. */
  retry(interval: number): number;
  /** Keeps it waiting until this node has read that far, or the log is known never to have got there. */
  hold(client: Member, position: Position): void;
  /** It is gone. */
  left(client: Member, reason: DisconnectReason): void;
  /** The same for one that nobody has been told of. */
  withdraw(client: Member): void;
}

/** A client, as its own reader sees it. */
export interface ReaderOwner {
  readonly id: string;
  readonly group: string | undefined;
  readonly settings: ClientSettings;
  /** The asynchronous context that it came in: its own request's. */
  readonly origin: AsyncResource;
  readonly control: ControlFrames;
  /** What is before this index, it had missed when it came. */
  readonly missedBefore: number;
  /** A cursor to come back with, for somebody who has everything before `index`. */
  cursorAt(index: number): string;
}
