import type { Platform } from './contenders/nest-app.js';

export interface SoakSample {
  /** Bytes in use after a garbage collection: the lowest of a few in a row. */
  readonly heap: number;
  readonly rss: number;
  /** Of the event loop, in milliseconds, since the last sample and without the collections for it. */
  readonly delay: { readonly p99: number; readonly max: number };
  readonly clients: number;
  readonly published: number;
  readonly delivered: number;
  /** Clients that were given up because they accepted nothing. */
  readonly slow: number;
}

export interface SoakRequests {
  start: { ask: { platform: Platform }; answer: { port: number } };
  sample: { ask: object; answer: SoakSample };
}
