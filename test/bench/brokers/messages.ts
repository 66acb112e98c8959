export type BrokerKind = 'redis' | 'nats';
export type NodeKind = 'hub' | 'socket.io' | 'orpc';

/** The log that nodes share; without a URL, there is one node, and its log is in its memory. */
export interface NodeOptions {
  readonly broker?: { readonly kind: BrokerKind; readonly url: string } | undefined;
  /** Nodes with the same are one system. */
  readonly prefix: string;
  /** Code on this node gets what is published on `OBSERVED`. */
  readonly observes: boolean;
}

/** Nobody but an observer follows it. */
export const OBSERVED = 'observed';

/** What the parent asks the process of a node. */
export interface NodeRequests {
  start: { ask: NodeOptions & { kind: NodeKind }; answer: { port: number } };
  clients: { ask: object; answer: { clients: number } };
  /** Collects garbage and starts the clock. */
  begin: { ask: object; answer: object };
  publish: { ask: PublishRequest; answer: object };
  /** CPU time since `begin` in microseconds. */
  end: { ask: object; answer: { cpu: number } };
}

export interface PublishRequest {
  readonly topic: string;
  readonly events: number;
  /** Bytes of an event's data. */
  readonly size: number;
  /** Milliseconds between two events; without it, as fast as it goes within `window`. */
  readonly every?: number;
  /** Milliseconds before the first, so that nodes don't publish at the same time. */
  readonly after?: number;
  readonly window: number;
  /** The most that are published in one turn of the event loop. */
  readonly perTurn?: number;
  /** How many events each `go` lets follow; without it, each event that the log has lets one follow. */
  readonly perGo?: number;
}

/** What the parent asks the process that has a broker. */
export interface BrokerRequests {
  start: { ask: { kind: BrokerKind; prefix: string }; answer: { url: string; version: string } };
  /** CPU time so far in microseconds, where the broker was started here. */
  cpu: { ask: object; answer: { cpu?: number } };
  close: { ask: object; answer: object };
}
