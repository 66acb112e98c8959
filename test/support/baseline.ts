import type { Server } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { runInThisContext } from 'node:vm';

import { afterAll, afterEach, beforeEach, expect } from '@jest/globals';
import type { SSEService } from 'nestjs-sse-hub';
import { openStream, type TestStream } from 'nestjs-sse-hub/testing';

import { recordHub } from './measures/figures.js';
import { PATIENCE } from './patience.js';
import { type AppOptions, closeAll, type Platform, type RunningApp, runningApps, startApp } from './platforms.js';
import { closeStreams, type EventStream, open, type OpenOptions } from './readers/event-stream.js';

// What a test knows as `process` is Jest's copy, whose listeners hear nothing.
const realProcess = runInThisContext('process') as NodeJS.Process;

/** Whoever leaves has to be noticed because of that, and not because there is something to be written to it now and then. */
const SILENT = { heartbeatInterval: 0, slowTimeout: 600_000 };

const TROUBLES = ['warning', 'unhandledRejection', 'uncaughtException'] as const;

/** Writes down what went wrong in this process although no test was waiting for it. */
export class ProcessWatch {
  readonly troubles: string[] = [];
  readonly #listeners = TROUBLES.map((name) => ({ name, note: (trouble: unknown) => this.#note(name, trouble) }));

  constructor() {
    // `on` has an overload per event, and none for several.
    for (const { name, note } of this.#listeners) realProcess.on(name as 'warning', note);
  }

  forgive(trouble: RegExp): void {
    const left = this.troubles.filter((text) => !trouble.test(text));
    this.troubles.splice(0, this.troubles.length, ...left);
  }

  stop(): void {
    for (const { name, note } of this.#listeners) realProcess.off(name, note);
  }

  #note(name: string, trouble: unknown): void {
    // Node's own, about --experimental-vm-modules, which Jest needs.
    if (trouble instanceof Error && trouble.name === 'ExperimentalWarning') return;
    if ((trouble as { name?: unknown } | undefined)?.name === 'ExperimentalWarning') return;
    // undici's, about one of the readers.
    if (/EventSource is experimental/.test(String(trouble))) return;
    this.troubles.push(`${name}: ${String(trouble)}`);
  }
}

/** How many listeners the process has, by event. */
export function processListeners(): Record<string, number> {
  return Object.fromEntries(realProcess.eventNames().map((name) => [String(name), realProcess.listenerCount(name)]));
}

/** Waits until something holds; what is asked for in vain is in the message. */
export async function until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = performance.now() + PATIENCE;
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`Not within ${PATIENCE} ms: ${what}.`);
    await delay(5);
  }
}

/** Waits until nobody is connected and nothing is followed or observed. */
export async function untilIdle(sse: SSEService): Promise<void> {
  const idle = (): boolean => sse.stats().clients === 0 && sse.stats().topics === 0;
  await until('no clients and no topics', idle).catch(() => {});
  expect({ clients: sse.getClients().map(({ id }) => id), topics: sse.stats().topics }).toEqual({
    clients: [],
    topics: 0,
  });
  expect(sse.getClientCount()).toBe(0);
}

/** What makes applications and clients, and knows all of them. */
export interface Bench {
  /** Opens a stream that leaves when the test is over. */
  stream: (...args: Parameters<typeof openStream>) => Promise<TestStream>;
  start(platform: Platform, options?: AppOptions): Promise<RunningApp>;
  open(url: string, options?: OpenOptions): Promise<EventStream>;
  /** The same, and waits until the stream is open. */
  connect(url: string, options?: OpenOptions): Promise<EventStream>;
  /** A hub without Nest, shut down and checked like the others. */
  watch(sse: SSEService): SSEService;
  /** Takes a trouble that the test has made on purpose off the record. */
  forgive(trouble: RegExp): void;
  /** To be called when the test is over, before the applications are closed. */
  onEnd(act: () => void): void;
}

/**
 * After each test of the file: all clients leave; then clients, topics, connections and the listeners of
 * the process must be where they were, and nothing may have happened behind the tests' back. Applications that a test
 * has started without the bench count too.
 */
export function returnToBaseline(): Bench {
  const watch = new ProcessWatch();
  const apps = new Set<RunningApp>();
  const watched: SSEService[] = [];
  const endings: (() => void)[] = [];
  let listeners: Record<string, number> = {};

  beforeEach(() => {
    listeners = processListeners();
  });

  afterEach(async () => {
    for (const end of endings.splice(0)) end();
    closeStreams();
    const all = [...new Set([...apps, ...runningApps()])];
    apps.clear();
    const hubs = [...all.map(({ sse }) => sse), ...watched.splice(0)];
    try {
      for (const sse of hubs) await untilIdle(sse);
    } finally {
      await closeAll();
    }
    for (const sse of hubs) await sse.shutdown();
    for (const { app } of all) expect(await connectionsOf(app.getHttpServer() as Server)).toBe(0);
    expect(processListeners()).toEqual(listeners);
    expect(watch.troubles).toEqual([]);
  });

  afterAll(() => {
    watch.stop();
    expect(watch.troubles).toEqual([]);
  });

  const bench: Bench = {
    async stream(target, path, request) {
      const stream = await openStream(target, path, { timeout: PATIENCE, ...request });
      endings.push(() => stream.close());
      return stream;
    },
    async start(platform, options) {
      const running = await startApp(platform, { ...options, config: { ...SILENT, ...options?.config } });
      apps.add(running);
      return running;
    },
    async open(url, options) {
      const stream = await open(url, options);
      // A stream that the server cuts off, or that the test leaves, is no failure of the test.
      stream.request.on('error', () => {});
      return stream;
    },
    async connect(url, options) {
      const stream = await bench.open(url, options);
      await stream.until(() => stream.ofType('sse.open').length === 1);
      return stream;
    },
    watch(sse) {
      watched.push(sse);
      endings.push(() => recordHub(sse));
      return sse;
    },
    forgive: (trouble) => watch.forgive(trouble),
    onEnd: (act) => void endings.push(act),
  };
  return bench;
}

export function connectionsOf(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.getConnections((error, count) => (error ? reject(error) : resolve(count)));
  });
}
