import { expect } from '@jest/globals';
import { Logger } from '@nestjs/common';
import type { SSEConfig, SSEService } from 'nestjs-sse-hub';

import { processListeners, ProcessWatch, until, untilIdle } from '../baseline.js';
import { Checker } from '../checker.js';
import { note } from '../measures/figures.js';
import { startPlain } from '../plain-server.js';
import { platforms, startApp } from '../platforms.js';
import { buildStandalone, Standalone } from '../processes/standalone.js';
import { Follower } from '../readers/follower.js';
import { direct, nestSse } from '../stream-controllers.js';
import type { Broker, NodeOptions } from './brokers.js';

// That a broker is away is what these tests are about.
Logger.overrideLogger(['error', 'fatal']);

/** Milliseconds. */
export const DRAIN_TIMEOUT = 500;
export const RETRY_INTERVAL = 100;

const CONFIG: SSEConfig = {
  heartbeatInterval: 100,
  drainTimeout: DRAIN_TIMEOUT,
  retryInterval: RETRY_INTERVAL,
  retryJitter: 0,
  maxClients: 5_000,
  // Enough for whoever is away for long on a busy machine, so that no reset excuses anything.
  maxHistorySize: 1_000_000,
};

/** One that is in this process: `GET /events/<topics, separated by commas>`. */
export interface FaultNode {
  readonly sse: SSEService;
  readonly url: string;
  close(): Promise<void>;
}

/** The ways to serve streams. Nodes take turns with them. */
const faces: ((config: SSEConfig) => Promise<FaultNode>)[] = [
  startPlain,
  ...[direct, nestSse].flatMap((transport) =>
    platforms.map(
      (platform) => (config: SSEConfig) => startApp(platform, { config, controllers: [transport.controller()] }),
    ),
  ),
];

/** One broker with nodes, clients and publishers, and what came of it. */
export class FaultRun {
  static #started = 0;
  readonly checker = new Checker();
  readonly followers: Follower[] = [];
  published = 0;
  readonly #listeners = processListeners();
  readonly #watch = new ProcessWatch();
  readonly #endings: (() => unknown)[] = [];
  readonly #observing: (() => void)[] = [];
  readonly #nodes: FaultNode[] = [];
  readonly #processes: ProcessNode[] = [];
  /** What the witness has seen: the number of each event by its cursor, and in order. */
  readonly #seen = new Map<string, number>();
  readonly #misplaced: string[] = [];
  /** Who has published a number, and what the witness has seen last of each. */
  readonly #publisherOf = new Map<number, SSEService>();
  readonly #lastOf = new Map<SSEService, number>();
  /** Numbers that were published here, and that the witness has not seen yet. */
  readonly #unseen = new Set<number>();
  /** What `publish()` said where a number is. */
  readonly #resolved = new Map<string, number>();
  #n = 0;

  constructor(
    readonly row: string,
    readonly broker: Broker,
  ) {}

  /** A node in this process. */
  async node(options?: NodeOptions, config?: SSEConfig): Promise<FaultNode> {
    const serve = faces[FaultRun.#started++ % faces.length]!;
    const served = await serve({ ...CONFIG, ...config, backplane: this.broker.backplane(options) });
    const { sse, url } = served;
    let closed: Promise<void> | undefined;
    const node = { sse, url, close: () => (closed ??= served.close()) };
    this.#nodes.push(node);
    this.#endings.push(() => node.close());
    await sse.start();
    return node;
  }

  /** A node in a process of its own. */
  async process({ clockAhead, ...options }: NodeOptions & { clockAhead?: number } = {}): Promise<ProcessNode> {
    const node = await ProcessNode.start({ broker: this.broker.settings(options), config: CONFIG, clockAhead });
    this.#processes.push(node);
    this.#endings.push(() => node.kill());
    return node;
  }

  /** Takes this node's word for what the log has, in its order. */
  witness({ sse }: FaultNode, ...topics: string[]): void {
    const observing = sse.observe<{ topic: string; n: number }>(topics).subscribe(({ id, data: { topic, n } }) => {
      if (this.#seen.has(id!)) this.#misplaced.push(`observed twice: ${id!}`);
      this.#seen.set(id!, n);
      this.#unseen.delete(n);
      const publisher = this.#publisherOf.get(n);
      if (publisher) {
        const last = this.#lastOf.get(publisher) ?? -1;
        if (n <= last) this.#misplaced.push(`${n} was published before ${last}, and comes behind it`);
        this.#lastOf.set(publisher, n);
      }
      this.checker.recordPublished(id!, topic, n);
    });
    this.#observing.push(() => observing.unsubscribe());
  }

  /** Numbers that the witness has seen. */
  get observed(): readonly number[] {
    return [...this.#seen.values()];
  }

  /** A client that goes from node to node; connected when this returns. */
  async follow(topics: readonly string[], urls: () => readonly string[], first = 0): Promise<Follower> {
    const follower = new Follower(topics, urls, first);
    this.followers.push(follower);
    await until('the client is connected', () => follower.opened);
    return follower;
  }

  /** Publishes so many and waits until the log has them. */
  async publish(sse: SSEService, topic: string, count: number): Promise<string[]> {
    const cursors = Array.from({ length: count }, async () => {
      const n = this.#next(sse);
      const cursor = await sse.publish(topic, 'n', { topic, n });
      this.#resolved.set(cursor, n);
      return cursor;
    });
    return Promise.all(cursors);
  }

  broadcast(sse: SSEService, topic: string, count: number): void {
    for (let i = 0; i < count; i++) sse.broadcast(topic, 'n', { topic, n: this.#next(sse) });
  }

  /** The next number, which this hub is to publish. */
  #next(publisher: SSEService): number {
    this.published++;
    this.#publisherOf.set(this.#n, publisher);
    this.#unseen.add(this.#n);
    return this.#n++;
  }

  /** Publishes until it is told to stop; what is rejected may be in the log or not. Answers with what was rejected. */
  publishing(sse: SSEService, topic: string, everyMs = 2): () => Promise<unknown[]> {
    let going = true;
    const rejected: unknown[] = [];
    const pending: Promise<unknown>[] = [];
    const timer = setInterval(() => {
      if (!going) return;
      pending.push(this.publish(sse, topic, 1).catch((error: unknown) => rejected.push(error)));
    }, everyMs);
    this.#endings.push(() => clearInterval(timer));
    return async () => {
      going = false;
      clearInterval(timer);
      await Promise.all(pending);
      return rejected;
    };
  }

  /** Waits until the witness knows of everything that was published, and every client has it. */
  async untilCaughtUp(topics: readonly string[]): Promise<void> {
    const newest = (): number => this.checker.newestOf(topics);
    const observed = (): boolean => this.#unseen.size === 0 && this.#seen.size >= this.published;
    await until('the log has everything', observed);
    const behind = (): Follower[] =>
      this.followers.filter(({ lastEventId }) => this.checker.placeOf(lastEventId) < newest());
    await until('all clients have everything', () => newest() >= 0 && behind().length === 0).catch((error: Error) => {
      const places = behind().map(({ lastEventId, resets, connections }) => {
        const place = this.checker.placeOf(lastEventId);
        return { place, lastEventId, connections, resets: resets.map(({ reason }) => reason) };
      });
      throw new Error(`${error.message} ${JSON.stringify({ newest: newest(), behind: places.slice(0, 5) })}`);
    });
  }

  /** What is wrong with what the clients got; and the figures go to the report. */
  faults(topics: readonly string[]): string[] {
    const faults = this.followers.flatMap(({ received }) => this.checker.faultsOf(topics, received));
    const losses = faults.filter((fault) => /expected publication|never arrived/.test(fault)).length;
    this.report(losses);
    return [...this.#misplaced, ...this.#misled(), ...faults].slice(0, 5);
  }

  /** Publishers who were told of another place than that where their event is. */
  #misled(): string[] {
    const wrong = [...this.#resolved].filter(([cursor, n]) => this.#seen.get(cursor) !== n);
    return wrong.map(([cursor, n]) => `${n} is not at ${cursor}, as publish() said`);
  }

  report(losses = 0): void {
    let [delivered, duplicates, resets, connections] = [0, 0, 0, 0];
    for (const follower of this.followers) {
      const { messages } = follower;
      delivered += messages.length;
      duplicates += messages.length - new Set(messages.map(({ lastEventId }) => lastEventId)).size;
      resets += follower.resets.length;
      connections += follower.connections;
    }
    note(
      `${this.row}: ${Math.max(this.published, this.checker.size)} published, ${delivered} delivered to ${this.followers.length} clients over ` +
        `${connections} connections, ${resets} resets, ${losses} losses, ${duplicates} duplicates`,
    );
  }

  /** Everybody leaves, and nothing may be left behind: no client, no topic, no listener, and no trouble. */
  async end(): Promise<void> {
    await Promise.all(this.followers.map((follower) => follower.stop()));
    try {
      for (const stop of this.#observing) stop();
      for (const { sse } of this.#nodes) await untilIdle(sse);
    } finally {
      for (const end of this.#endings.toReversed()) await end();
      await this.broker.remove();
      this.#watch.stop();
    }
    expect(processListeners()).toEqual(this.#listeners);
    expect([...this.#watch.troubles, ...this.#processes.flatMap(({ troubles }) => troubles)]).toEqual([]);
  }
}

/** `test/support/processes/standalone/broker-node.mjs`. */
export class ProcessNode {
  static #built: ReturnType<typeof buildStandalone> | undefined;

  private constructor(
    readonly url: string,
    private readonly program: Standalone,
  ) {}

  /** To be called before them: it takes a while. */
  static async build(): Promise<void> {
    await (this.#built ??= buildStandalone());
  }

  static async start(settings: object): Promise<ProcessNode> {
    this.#built ??= buildStandalone();
    const program = new Standalone((await this.#built).folder, JSON.stringify(settings), 'broker-node.mjs');
    return new ProcessNode((await program.said('url')) as string, program);
  }

  /** To be called when the tests of the file are over. */
  static async clean(): Promise<void> {
    await (await this.#built)?.remove();
  }

  async do(action: string, parameters: Record<string, string | number> = {}): Promise<unknown> {
    const query = new URLSearchParams(
      Object.entries(parameters).map(([name, value]): [string, string] => [name, String(value)]),
    );
    const response = await fetch(`${this.url}/${action}?${query.toString()}`);
    const answer: unknown = await response.json();
    if (!response.ok) throw new Error(JSON.stringify(answer));
    return answer;
  }

  /** Stands still, as a machine that swaps or a container that is paused. */
  freeze(): void {
    this.program.signal('SIGSTOP');
  }

  thaw(): void {
    this.program.signal('SIGCONT');
  }

  /** What it has said of its own accord. */
  get messages(): readonly Record<string, unknown>[] {
    return this.program.messages;
  }

  /** What it has to complain of. */
  get troubles(): string[] {
    return [
      ...this.program.output.split('\n').filter((line) => line.includes('"trouble"')),
      this.program.stderr,
    ].filter((text) => text !== '');
  }

  /** `kill -9`. */
  kill(): void {
    this.program.kill();
  }

  /** As an orchestrator asks it to end. */
  async terminate(): Promise<void> {
    this.program.signal('SIGTERM');
    expect(await this.program.ended()).toEqual({ code: 0, signal: null });
  }
}
