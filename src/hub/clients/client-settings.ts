import type { EventEntry } from '../../protocol/entry.js';
import type { Filter, OnGap } from '../../sse.client.js';
import { SSEClient } from '../../sse.client.js';
import type { Merge } from '../../sse.runs.js';
import type { Ending } from '../../transport/transport.js';

/** What a client is, resolved: options of the call, filled up from the configuration. */
export interface ClientSettings {
  readonly id: string;
  readonly group: string | undefined;
  readonly metadata: Record<string, unknown> | undefined;
  readonly filter: Filter | undefined;
  readonly lastEventId: string;
  readonly since: number | undefined;
  readonly notBefore: number | undefined;
  /** The first event of its run that it is to get. */
  readonly from: number | undefined;
  readonly merge: Merge | undefined;
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
