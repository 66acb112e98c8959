import type { ContenderName } from './contenders/index.js';

/** What the parent asks the process of the server. */
export interface ServerRequests {
  start: { ask: { contender: ContenderName; history: boolean }; answer: { port: number } };
  clients: { ask: object; answer: { clients: number; connections: number } };
  /** After a garbage collection. */
  memory: { ask: object; answer: { rss: number; heap: number | undefined } };
  /** Collects garbage and starts the clocks. */
  begin: { ask: object; answer: object };
  publish: { ask: PublishRequest; answer: object };
  /** CPU time since `begin` in microseconds, and the 99th percentile of the event loop's delay in milliseconds. */
  end: { ask: object; answer: { cpu: number; delay: number } };
  close: { ask: object; answer: object };
}

export interface PublishRequest {
  readonly turns: number;
  /** Events to each of the topics in a turn. */
  readonly perTurn: number;
  readonly topics: readonly string[];
  /** Bytes of an event's data. */
  readonly size: number;
  /** How many turns may be on their way; each `go` lets as many more follow. */
  readonly window: number;
  /** Milliseconds between two turns; 0 for the next turn of the event loop. */
  readonly every: number;
}

/** What the parent asks the process of the load generator. */
export interface GeneratorRequests {
  connect: { ask: ConnectRequest; answer: object };
  /** The `Content-Encoding` of the first answer. */
  encoding: { ask: object; answer: { encoding: string } };
  /** Counts from now on. Sends `progress` after each `ackEvery` events. */
  expect: { ask: { events: number; ackEvery: number; latency: boolean }; answer: object };
  delivered: { ask: object; answer: DeliveredAnswer };
  churn: { ask: { port: number; connections: number; concurrency: number }; answer: object };
  /** Connects, waits for one event, and answers with its ID. */
  probe: { ask: { port: number; path: string }; answer: { id: string } };
  drop: { ask: object; answer: object };
}

export interface ConnectRequest {
  readonly port: number;
  readonly clients: number;
  /** Taken in turns. */
  readonly paths: readonly string[];
  readonly gzip: boolean;
  /** Clients of socket.io, over WebSocket, instead of event streams. */
  readonly socketIo?: boolean;
  /** All of them are streams of one HTTP/2 connection, as behind a proxy that multiplexes. */
  readonly http2?: boolean;
  readonly lastEventId?: string;
  /** Connections that may be under way at a time. */
  readonly concurrency: number;
}

export interface DeliveredAnswer {
  /** CPU time of the generator since `expect`, in microseconds. */
  readonly cpu: number;
  /** Milliseconds from publishing to reading. */
  readonly p50: number;
  readonly p99: number;
}

export interface Call {
  readonly call: number;
  readonly op: string;
  readonly ask: unknown;
}

export interface Answer {
  readonly call: number;
  readonly answer?: unknown;
  readonly error?: string;
}

export type Note = 'go' | 'progress';
