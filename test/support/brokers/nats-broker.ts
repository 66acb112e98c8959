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
      await js.publish(`${prefix}.t.t`, 'not ours');
      await js.publish(`${prefix}.t.t`, '{"kind":"event"', { msgID: 'theirs-17' });
      await js.publish(`${prefix}.everybody`, '{"kind":"close","topic":"t"}', { msgID: randomUUID() });
      await js.publish(`${prefix}.t.t`, 'x'.repeat(bytes));
    });
    return 4;
  }

  forge(random: () => number): Promise<string> {
    const { prefix } = this;
    return this.server.run(async (jsm, nc) => {
      const { epoch } = (await jsm.streams.getMessage(`${prefix}-epoch`, { last_by_subj: `${prefix}.epoch` }))!.json<{
        epoch: string;
      }>();
      const last = await jsm.streams.getMessage(prefix, { last_by_subj: `${prefix}.t.t` });
      const [publisher = 'nobody', n = 0] = last?.header.get('Nats-Msg-Id').split(/-(?=\d+$)/) ?? [];
      const ids = [
        '',
        'theirs-17',
        randomUUID(),
        `abcdefghijkl-${Math.floor(random() * 1e9)}`,
        `${publisher}-${Number(n) + 1e9}`,
      ];
      const fields = headers();
      const id = pick(random, ids);
      if (id) fields.set('Nats-Msg-Id', id);
      const subject = pick(random, ['t.t', 't.forged', 'everybody', 'group']);
      const answer = await nc.request(`${prefix}.${subject}`, forgedText(random), { headers: fields, timeout: 5_000 });
      const { seq } = answer.json<{ seq: number }>();
      const { time } = (await jsm.streams.getMessage(prefix, { seq }))!;
      return formatCursor(epoch, { ms: time.getTime(), seq });
    });
  }

  async entries(): Promise<number> {
    const { state } = await this.server.run((jsm) => jsm.streams.info(this.prefix));
    return state.messages;
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
