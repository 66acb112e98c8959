import { Logger } from '@nestjs/common';
import type { SSEConfig, SSEService } from 'nestjs-sse-hub';

import { until } from './baseline.js';
import type { Broker, NodeOptions } from './brokers.js';
import { Checker } from './checker.js';
import { note } from './figures.js';
import { Follower } from './follower.js';
import { type PlainServer, startPlain } from './plain-server.js';
import { buildStandalone, Standalone } from './standalone.js';

// That a broker is away is what these tests are about.
Logger.overrideLogger(['error', 'fatal']);

const CONFIG: SSEConfig = {
  heartbeatInterval: 100,
  drainTimeout: 500,
  retryInterval: 100,
  maxClients: 5_000,
  // Enough for whoever is away for long on a busy machine, so that no reset excuses anything.
  maxHistorySize: 1_000_000,
};

/** One broker with nodes, clients and publishers, and what came of it. */
export class FaultRun {
  readonly checker = new Checker();
  readonly followers: Follower[] = [];
  published = 0;
  readonly #endings: (() => unknown)[] = [];
  readonly #seen = new Set<string>();
  readonly #twice: string[] = [];
  #n = 0;

  constructor(
    readonly row: string,
    readonly broker: Broker,
  ) {}

  /** A node in this process. */
  async node(options?: NodeOptions, config?: SSEConfig): Promise<PlainServer> {
    const node = await startPlain({ ...CONFIG, ...config, backplane: this.broker.backplane(options) });
    this.#endings.push(() => node.close());
    await node.sse.start();
    return node;
  }

  /** A node in a process of its own. */
  async process(more: { clockAhead?: number } = {}): Promise<ProcessNode> {
    const node = await ProcessNode.start({ broker: this.broker.settings(), config: CONFIG, ...more });
    this.#endings.push(() => node.kill());
    return node;
  }

  /** Takes this node's word for what the log has, in its order. */
  witness({ sse }: PlainServer, ...topics: string[]): void {
    sse.observe<{ topic: string; n: number }>(topics).subscribe(({ id, data }) => {
      if (this.#seen.has(id!)) this.#twice.push(`observed twice: ${id!}`);
      this.#seen.add(id!);
      this.checker.recordPublished(id!, data.topic, data.n);
    });
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
    const cursors = Array.from({ length: count }, () => sse.publish(topic, 'n', { topic, n: this.#n++ }));
    this.published += count;
    return Promise.all(cursors);
  }

  broadcast(sse: SSEService, topic: string, count: number): void {
    for (let i = 0; i < count; i++) sse.broadcast(topic, 'n', { topic, n: this.#n++ });
    this.published += count;
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
  async untilCaughtUp(topics: readonly string[], patience = 30_000): Promise<void> {
    const newest = (): number => this.checker.newestOf(topics);
    await until('the log has everything', () => this.checker.size >= this.published, patience);
    const behind = (): Follower[] =>
      this.followers.filter(({ lastEventId }) => this.checker.placeOf(lastEventId) < newest());
    await until('all clients have everything', () => newest() >= 0 && behind().length === 0, patience).catch(
      (error: Error) => {
        const places = behind().map(({ lastEventId, resets, connections }) => {
          const place = this.checker.placeOf(lastEventId);
          return { place, lastEventId, connections, resets: resets.map(({ reason }) => reason) };
        });
        throw new Error(`${error.message} ${JSON.stringify({ newest: newest(), behind: places.slice(0, 5) })}`);
      },
    );
  }

  /** What is wrong with what the clients got; and the figures go to the report. */
  faults(topics: readonly string[]): string[] {
    const faults = this.followers.flatMap(({ received }) => this.checker.faultsOf(topics, received));
    const losses = faults.filter((fault) => /expected publication|never arrived/.test(fault)).length;
    this.report(losses);
    return [...this.#twice, ...faults].slice(0, 5);
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

  async end(): Promise<void> {
    await Promise.all(this.followers.map((follower) => follower.stop()));
    for (const end of this.#endings.toReversed()) await end();
    await this.broker.remove();
  }
}

/** `test/fixtures/broker-node.mjs`. */
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
    return new ProcessNode((await program.said('url', 30_000)) as string, program);
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

  /** `kill -9`. */
  kill(): void {
    this.program.kill();
  }

  /** As an orchestrator asks it to end. */
  async terminate(): Promise<void> {
    this.program.signal('SIGTERM');
    await this.program.ended();
  }
}
