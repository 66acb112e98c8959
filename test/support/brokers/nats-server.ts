import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';

import { freePort } from '../processes/free-port.js';
import { ServerProcess } from './server-process.js';
import { findServer, type SharedBroker } from './shared-server.js';

export interface NatsServerOptions {
  /** Has what it had when it starts again. Default: `true`. */
  readonly persistent?: boolean;
  /** Lines of its configuration. Default: it takes messages of 64 MiB. */
  readonly limits?: readonly string[];
}

const MORE_THAN_USUAL = ['max_payload: 64MB', 'max_pending: 128MB'];

/** NATS with JetStream, on a free port. */
export class NatsServer extends ServerProcess {
  private constructor(
    port: number,
    private readonly monitor: number,
    folder: string,
    private readonly options: NatsServerOptions,
  ) {
    super(port, folder);
  }

  static async start(options: NatsServerOptions = {}): Promise<NatsServer> {
    const server = await NatsServer.prepare(options);
    await server.start();
    return server;
  }

  /** One that is not started yet. */
  static async prepare(options: NatsServerOptions = {}): Promise<NatsServer> {
    const folder = await mkdtemp(join(tmpdir(), 'nestjs-sse-hub-nats-'));
    return new NatsServer(await freePort(), await freePort(), folder, options);
  }

  override get url(): string {
    return `nats://127.0.0.1:${this.port}`;
  }

  get #data(): string {
    return join(this.folder, 'data');
  }

  override async start(): Promise<void> {
    if (this.options.persistent === false) await rm(this.#data, { recursive: true, force: true });
    await this.#launchWithData();
  }

  async #launchWithData(): Promise<void> {
    const config = join(this.folder, 'nats.conf');
    const lines = [
      `listen: "127.0.0.1:${this.port}"`,
      `http: "127.0.0.1:${this.monitor}"`,
      `jetstream: { store_dir: "${this.#data}" }`,
      ...(this.options.limits ?? MORE_THAN_USUAL),
    ];
    await writeFile(config, lines.join('\n'));
    await this.launch('nats-server', ['-c', config]);
  }

  /** Does something as an operator would. */
  async run<T>(act: (jsm: JetStreamManager, nc: NatsConnection) => Promise<T>): Promise<T> {
    return runAt(this.url, act);
  }

  /** Connections that were ever opened. */
  async connections(): Promise<number> {
    return (await this.#statistics()).total_connections;
  }

  /** Connections that are open. */
  async openConnections(): Promise<number> {
    return (await this.#statistics()).connections;
  }

  async #statistics(): Promise<{ connections: number; total_connections: number }> {
    const response = await fetch(`http://127.0.0.1:${this.monitor}/varz`);
    return (await response.json()) as { connections: number; total_connections: number };
  }

  /** Copies what it has at this moment, as a snapshot of its disk would. */
  async copyTo(folder: string): Promise<void> {
    await this.freeze();
    await cp(this.#data, folder, { recursive: true });
    this.thaw();
  }

  /** Goes on, or begins, with what was copied. */
  async startWith(folder: string): Promise<void> {
    await this.kill();
    await rm(this.#data, { recursive: true, force: true });
    await cp(folder, this.#data, { recursive: true });
    await this.#launchWithData();
  }

  protected override async answers(): Promise<boolean> {
    return this.run(async (jsm) => (await jsm.getAccountInfo()).streams >= 0);
  }
}

async function runAt<T>(url: string, act: (jsm: JetStreamManager, nc: NatsConnection) => Promise<T>): Promise<T> {
  const nc = await connect({ servers: url, reconnect: false, timeout: 2_000 });
  try {
    return await act(await jetstreamManager(nc, { checkAPI: false }), nc);
  } finally {
    await nc.close();
  }
}

async function forgetStreams({ streams }: JetStreamManager, prefix: string): Promise<void> {
  for (const name of [prefix, `${prefix}-epoch`, `${prefix}-marks`]) await streams.delete(name).catch(() => false);
}

export async function findNats(): Promise<SharedBroker | undefined> {
  const server = await findServer({
    broker: 'NATS',
    variable: 'NATS_URL',
    command: 'nats-server',
    version: '2.9',
    start: () => NatsServer.start(),
  });
  return server && { ...server, forget: (prefix) => runAt(server.url, (jsm) => forgetStreams(jsm, prefix)) };
}
