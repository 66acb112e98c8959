import { randomUUID } from 'node:crypto';
import { join } from 'node:path';

import { findNats } from '../brokers/nats-server.js';
import { findRedis } from '../brokers/redis-server.js';
import { RecordedEventSource } from '../readers/event-source.js';
import { Program } from './standalone.js';

/** A broker, as the sample application is told of it. */
export interface SampleBroker {
  readonly name: string;
  /** `undefined` where it is not there. */
  readonly url: string | undefined;
  readonly variable: 'REDIS_URL' | 'NATS_URL';
  forget(prefix: string): Promise<void>;
  stop(): Promise<void>;
}

export async function findSampleBrokers(): Promise<readonly SampleBroker[]> {
  const [redis, nats] = await Promise.all([findRedis(), findNats()]);
  const brokers = [
    { name: 'Redis', variable: 'REDIS_URL', shared: redis },
    { name: 'NATS', variable: 'NATS_URL', shared: nats },
  ] as const;
  return brokers.map(({ name, variable, shared }) => ({
    name,
    variable,
    url: shared?.url,
    forget: async (prefix) => shared?.forget(prefix),
    stop: async () => shared?.stop(),
  }));
}

export type SampleEnv = Readonly<Record<string, string>>;

/** The built sample application in a process of its own. Without more in `env`, its log is in memory. */
export function runSample(folder: string, env: SampleEnv = {}): Program {
  const file = join(folder, 'sample-app', 'dist', 'main.js');
  return new Program(file, [], { PORT: '0', REDIS_URL: '', NATS_URL: '', ...env });
}

/** A node of the sample application that listens. */
export class SampleNode {
  private constructor(
    readonly program: Program,
    readonly url: string,
  ) {}

  static async start(program: Program): Promise<SampleNode> {
    const [, port] = await program.printed(/http:\/\/localhost:(\d+)/);
    return new SampleNode(program, `http://127.0.0.1:${port}`);
  }

  async get<T>(path: string): Promise<T> {
    return (await (await fetch(this.url + path)).json()) as T;
  }

  async post<T>(path: string, body: unknown): Promise<T> {
    const headers = { 'content-type': 'application/json' };
    const response = await fetch(this.url + path, { method: 'POST', headers, body: JSON.stringify(body) });
    if (!response.ok) throw new Error(`${path} was answered ${response.status}.`);
    return (await response.json()) as T;
  }
}

/** Several nodes on one log, and the browsers that use them. */
export class SampleNodes {
  readonly #prefix = `test-${randomUUID()}`;
  readonly #programs: Program[] = [];
  readonly #sources: RecordedEventSource[] = [];

  constructor(
    private readonly folder: string,
    private readonly broker: SampleBroker,
  ) {}

  async start(): Promise<SampleNode> {
    const env = { [this.broker.variable]: this.broker.url!, BACKPLANE_PREFIX: this.#prefix };
    const program = runSample(this.folder, env);
    this.#programs.push(program);
    return SampleNode.start(program);
  }

  /** An EventSource that is open. Whatever node is `at` by then is the one that it comes back to. */
  async follow(at: { node: SampleNode }, path: string, ...events: string[]): Promise<RecordedEventSource> {
    const url = new URL(at.node.url);
    const route = (target: string | URL): URL => {
      const { pathname, search } = new URL(target);
      return new URL(pathname + search, at.node.url);
    };
    const source = new RecordedEventSource(new URL(path, url).href, events, route);
    this.#sources.push(source);
    await source.untilCount('sse.open', 1);
    return source;
  }

  /** All EventSources leave. */
  leave(): void {
    for (const source of this.#sources.splice(0)) source.close();
  }

  async end(): Promise<void> {
    this.leave();
    for (const program of this.#programs) program.kill();
    for (const program of this.#programs) await program.ended();
    await this.broker.forget(this.#prefix);
  }
}
