import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { headers } from '@nats-io/transport-node';
import type { Backplane } from 'nestjs-sse-hub';
import { NatsBackplane, type NatsBackplaneOptions } from 'nestjs-sse-hub/nats';

import { formatCursor } from '../../../src/protocol/cursor.js';
import { BrokerProxy } from '../network/broker-proxy.js';
import { pick } from '../seed.js';
import type { Broker, BrokerKind, NodeOptions, Replica } from './brokers.js';
import { forgedText } from './forged.js';
import { NatsServer } from './nats-server.js';
import { ServerBroker } from './server-broker.js';
import { isInstalled } from './server-process.js';

class NatsBroker extends ServerBroker<NatsServer> implements Broker {
  private constructor(
    server: NatsServer,
    /** NATS has no command that cuts others' connections, so all go through here. */
    private readonly proxy: BrokerProxy,
    private readonly backup: string,
  ) {
    super(server);
  }

  static async start(options?: { persistent?: boolean }): Promise<NatsBroker> {
    const server = await NatsServer.start(options);
    const backup = await mkdtemp(join(tmpdir(), 'nestjs-sse-hub-nats-'));
    return new NatsBroker(server, await BrokerProxy.start(server.port), backup);
  }

  #options({ port = this.proxy.port, ...limits }: NodeOptions = {}): NatsBackplaneOptions {
    return { servers: `nats://127.0.0.1:${port}`, prefix: this.prefix, ...limits };
  }

  backplane(options?: NodeOptions): Backplane {
    return new NatsBackplane(this.#options(options));
  }

  settings(options?: NodeOptions): unknown {
    return { kind: 'nats', options: this.#options(options) };
  }

  async flush(): Promise<void> {
    await this.server.run(({ streams }) => streams.delete(this.prefix));
  }

  killConnections(): Promise<number> {
    return Promise.resolve(this.proxy.cut());
  }

  connections(): Promise<number> {
    return this.server.connections();
  }

  async backUp(): Promise<void> {
    await rm(this.backup, { recursive: true, force: true });
    await this.server.copyTo(this.backup);
  }

  restore(): Promise<void> {
    return this.server.startWith(this.backup);
  }

  /** What a server of a cluster would have that got nothing since it was promoted. */
  async replicate(): Promise<Replica> {
    const replica = await NatsServer.prepare();
    return {
      port: replica.port,
      promote: async () => {
        await this.backUp();
        await replica.startWith(this.backup);
      },
      remove: () => replica.remove(),
    };
  }

  async intrude(bytes: number): Promise<number> {
    const prefix = this.prefix;
    await this.server.run(async (jsm) => {
      const js = jsm.jetstream();
      await js.publish(`${prefix}.log`, 'not ours');
      await js.publish(`${prefix}.log`, '[1,{"kind":"event"', { msgID: 'theirs-17' });
      await js.publish(`${prefix}.log`, '[1,{"kind":"close","topic":"t"}]', { msgID: randomUUID() });
      await js.publish(`${prefix}.log`, 'x'.repeat(bytes), { msgID: 'abcdefghijkl-1.1' });
    });
    return 4;
  }

  forge(random: () => number): Promise<string> {
    const { prefix } = this;
    return this.server.run(async (jsm, nc) => {
      const { epoch } = (await jsm.streams.getMessage(`${prefix}-epoch`, { last_by_subj: `${prefix}.epoch` }))!.json<{
        epoch: string;
      }>();
      const last = await jsm.streams.getMessage(prefix, { last_by_subj: `${prefix}.log` });
      const [, publisher = 'nobody', n = 0] = /^(.*)-(\d+)\.\d+$/.exec(last?.header.get('Nats-Msg-Id') ?? '') ?? [];
      const count = pick(random, [1, 1, 1, 0, 2, 1_000, 1_001, 9_999]);
      const ids = [
        ...['', 'theirs-17', randomUUID(), `abcdefghijkl-${Math.floor(random() * 1e9)}`],
        `abcdefghijkl-${Math.floor(random() * 1e9)}.${count}`,
        `${publisher}-${Number(n) + 1e9}.${count}`,
      ];
      const fields = headers();
      const id = pick(random, ids);
      if (id) fields.set('Nats-Msg-Id', id);
      const answer = await nc.request(`${prefix}.log`, forgedText(random), { headers: fields, timeout: 5_000 });
      const { seq } = answer.json<{ seq: number }>();
      const { time } = (await jsm.streams.getMessage(prefix, { seq }))!;
      return formatCursor(epoch, { ms: time.getTime(), seq: seq * 1_024 });
    });
  }

  /** Each message says how many it has. */
  entries(): Promise<number> {
    return this.server.run(async ({ streams }) => {
      const { first_seq, last_seq } = (await streams.info(this.prefix)).state;
      let count = 0;
      for (let seq = first_seq; seq <= last_seq; seq++) {
        const message = await streams.getMessage(this.prefix, { seq });
        count += Number(message?.header.get('Nats-Msg-Id').split('.')[1]);
      }
      return count;
    });
  }

  // The server's clock is the machine's. Its sequences follow each other closely anyway.
  runAhead(): Promise<void> {
    return Promise.resolve();
  }

  override async remove(): Promise<void> {
    await this.proxy.close();
    await super.remove();
    await rm(this.backup, { recursive: true, force: true });
  }
}

export const nats: BrokerKind = {
  name: 'NATS JetStream',
  isInstalled: await isInstalled('nats-server'),
  // One connection for all; it says something every second.
  said: { appending: /Nats-Msg-Id/, reading: /CONNECT|PING|STREAM\.INFO|MSG\.NEXT/ },
  start: (options) => NatsBroker.start(options),
};
