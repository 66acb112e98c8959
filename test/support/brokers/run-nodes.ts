import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

import { expect } from '@jest/globals';
import { type Backplane, type SSEConfig, SSEService } from 'nestjs-sse-hub';
import { TestLog } from 'nestjs-sse-hub/testing';

import { type Bench, until } from '../baseline.js';
import { type EventStream, open } from '../readers/event-stream.js';
import { brokerKinds } from './brokers.js';

/** Something that holds the log of several nodes of this process. */
export interface LogKind {
  readonly name: string;
  readonly isInstalled: boolean;
  start(): Promise<{ node(): Backplane; remove(): Promise<void> }>;
}

const memory: LogKind = {
  name: 'memory',
  isInstalled: true,
  start: () => {
    const log = new TestLog();
    return Promise.resolve({ node: () => log.node(), remove: () => Promise.resolve() });
  },
};

/** What concerns several nodes is tried with all of them. */
export const logKinds: readonly LogKind[] = [
  memory,
  ...brokerKinds.map((kind) => ({
    name: kind.name,
    isInstalled: kind.isInstalled,
    start: async () => {
      const broker = await kind.start({ persistent: false });
      return { node: () => broker.backplane(), remove: () => broker.remove() };
    },
  })),
];

/** A node with a server: `GET /<topic>` gives all of a run, and with `?merge` merged. */
export interface RunNode {
  readonly sse: SSEService;
  readonly url: string;
}

/** The text of several chunks that are text, and nothing for others. */
export function joined(chunks: readonly unknown[]): string | undefined {
  return chunks.every((chunk) => typeof chunk === 'string') ? chunks.join('') : undefined;
}

export async function serveRuns(bench: Bench, config: SSEConfig): Promise<RunNode> {
  const sse = bench.watch(new SSEService({ heartbeatInterval: 0, drainTimeout: 200, maxClients: 5_000, ...config }));
  const server = http.createServer((request, response) => {
    const { pathname, searchParams } = new URL(request.url!, 'http://localhost');
    sse.createClient(response, {
      topics: pathname.slice(1),
      from: 0,
      ...(searchParams.has('merge') && { merge: joined }),
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  await sse.start();
  bench.onEnd(() => {
    server.closeAllConnections();
    server.close();
  });
  return { sse, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

/** One who watches a topic on this node; may be cut off. */
export async function view({ url }: Pick<RunNode, 'url'>, topic: string, lastEventId?: string): Promise<EventStream> {
  const stream = await open(`${url}/${topic}`, lastEventId === undefined ? {} : { lastEventId });
  stream.request.on('error', () => {});
  await stream.until(() => stream.ofType('sse.open').length === 1 || stream.ended);
  return stream;
}

/** Work that gives `start` to `start + count - 1`, one each so many milliseconds, and then hangs, whatever its signal says. */
export class Numbers {
  readonly signals: AbortSignal[] = [];
  /** What it has given so far. */
  given = 0;
  #finish = (): void => {};
  readonly #finished = new Promise<void>((resolve) => (this.#finish = resolve));
  #isFinishing = false;

  constructor(
    private readonly count = 1,
    private readonly everyMs = 0,
    private readonly start = 0,
  ) {}

  get signal(): AbortSignal | undefined {
    return this.signals.at(-1);
  }

  readonly work = (signal: AbortSignal): AsyncGenerator<number> => {
    this.signals.push(signal);
    return this.#give();
  };

  /** Has it come to its end instead. */
  finish(): void {
    this.#isFinishing = true;
    this.#finish();
  }

  async *#give(): AsyncGenerator<number> {
    for (let n = this.start; n < this.start + this.count && !this.#isFinishing; n++) {
      this.given++;
      yield n;
      if (this.everyMs > 0) await delay(this.everyMs);
    }
    await this.#finished;
  }
}

/** Whether this one got just this, and then the end, once. */
export async function expectAll(viewer: EventStream, data: readonly unknown[]): Promise<void> {
  await until('the stream has ended', () => viewer.ended).catch((error: Error) => {
    throw new Error(`${error.message} ${JSON.stringify(viewer.events.slice(-5))}`);
  });
  expect(viewer.data).toEqual(data);
  expect(viewer.events.map(({ event }) => event).filter((event) => event.startsWith('sse.'))).toEqual(
    expect.arrayContaining(['sse.open', 'sse.end']),
  );
  expect(viewer.ofType('sse.end')).toHaveLength(1);
  expect(viewer.ofType('sse.reset')).toEqual([]);
}

/** The value below which so much of them are. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))]!;
}
