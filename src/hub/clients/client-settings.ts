import type { EventEntry } from '../../backplane/backplane.js';
import type { Filter } from './reader.js';
import type { OnGap } from './start.js';
import type { Ending } from '../../transport/transport.js';

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
  readonly group?: string;
  /** What it follows; patterns as text. */
  readonly topics: ReadonlySet<string>;
  readonly metadata: Record<string, unknown>;
  /** ISO 8601, like the other times. */
  readonly connectedAt: string;
  /** The cursor that was last sent to it. */
  readonly lastEventId?: string;
  readonly lastEventAt?: string;
  readonly lastHeartbeatAt?: string;
  /** The response that it was created with; direct transport only. */
  readonly response?: unknown;
}

/** What a client is, resolved: options of the call, filled up from the configuration. */
export interface ClientSettings {
  readonly id: string;
  readonly group: string | undefined;
  readonly metadata: Record<string, unknown> | undefined;
  readonly filter: Filter | undefined;
  readonly lastEventId: string;
  readonly since: number | undefined;
  readonly notBefore: number | undefined;
  readonly onGap: OnGap;
  /** Milliseconds since 1970; Infinity for never. */
  readonly expiresAt: number;
  readonly heartbeatInterval: number;
  readonly retryInterval: number;
  readonly controlEvents: boolean;
  /** How a stream ends that is to come back. */
  readonly plannedEnd: Ending;
  /** What it gets right after connecting, unless everything it missed is replayed. */
  readonly initial: ((client: SSEClient) => readonly EventEntry[] | Promise<readonly EventEntry[]>) | undefined;
}
