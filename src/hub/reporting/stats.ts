import type { ResetReason } from '../../sse.client.js';

/** Figures since the start, safe for JSON. */
export interface SSEStats {
  /** `shutting down` from the beginning of `shutdown()` on, for good; `off` with `enabled: false`. */
  readonly state: 'running' | 'shutting down' | 'off';
  /** Open streams now. */
  readonly clients: number;
  /** Topics that are followed or observed now. */
  readonly topics: number;
  /** Runs whose work this node does now. */
  readonly runs: number;
  /** Events that this node has read from the log. */
  readonly published: number;
  /** Events written to clients, each one counted per client. */
  readonly delivered: number;
  /** Bytes handed to transports, before compression and TLS. */
  readonly bytes: number;
  /** Deliveries of events that were older than the connection. */
  readonly replayed: number;
  readonly heartbeats: number;
  /** `sse.reset`s by reason. */
  readonly resets: Record<string, number>;
  /** Connections turned away. */
  readonly refused: number;
  /** Streams given up because they accepted nothing for `slowTimeout`. */
  readonly slow: number;
  /**
   * What no client could get: entries of the log for a closed topic, unreadable ones, what others put there, and what
   * was broadcast on this node and still waited for the broker when it shut down.
   */
  readonly dropped: number;
  /** What `broadcast` and its like could not append to the log, e.g. because too much waited for the broker already. */
  readonly publishFailures: number;
  readonly history: {
    readonly events: number;
    readonly bytes: number;
    /** When the oldest retained event was published; ISO 8601. */
    readonly oldest?: string | undefined;
  };
  /** `lag`: milliseconds that this node was behind the end of the log when it last asked. */
  readonly backplane: { readonly kind: string; readonly status: 'up' | 'down'; readonly lag?: number };
}

/** What is counted as it happens. */
export class Counters {
  published = 0;
  delivered = 0;
  bytes = 0;
  replayed = 0;
  heartbeats = 0;
  refused = 0;
  slow = 0;
  dropped = 0;
  publishFailures = 0;
  readonly resets: Partial<Record<ResetReason, number>> = {};

  countReset(reason: ResetReason): void {
    this.resets[reason] = (this.resets[reason] ?? 0) + 1;
  }
}
