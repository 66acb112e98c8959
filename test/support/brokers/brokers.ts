import { copyFile } from 'node:fs/promises';
import { join } from 'node:path';

import type { Backplane } from 'nestjs-sse-hub';
import { RedisBackplane, type RedisBackplaneOptions } from 'nestjs-sse-hub/redis';

import { readEntry } from '../../../src/backplane/redis/entry.js';
import { parseId } from '../../../src/backplane/redis/keys.js';
import { formatCursor } from '../../../src/protocol/cursor.js';
import { until } from '../baseline.js';
import { pick } from '../seed.js';
import { forgedText } from './forged.js';
import { nats } from './nats-broker.js';
import { RedisServer } from './redis-server.js';
import { ServerBroker } from './server-broker.js';
import { isInstalled } from './server-process.js';
import { reportMissing } from './shared-server.js';

/** Limits of a backplane that tests choose. */
export interface NodeOptions {
  readonly publishTimeout?: number;
  readonly maxPending?: number;
  readonly maxLength?: number;
  readonly maxEntryBytes?: number;
  /** Where the node finds the broker, when something stands between them. */
  readonly port?: number;
}

/** A broker that a test may do anything to. */
export interface Broker {
  readonly port: number;
  /** A backplane for one more node. */
  backplane(options?: NodeOptions): Backplane;
  /** The same for `test/support/processes/standalone/broker-node.mjs`. */
  settings(options?: NodeOptions): unknown;
  /** Starts it again, with what it has on disk. */
  start(): Promise<void>;
  /** As when the machine loses its power. */
  kill(): Promise<void>;
  freeze(): Promise<void>;
  thaw(): void;
  /** Deletes everything, while it is running. */
  flush(): Promise<void>;
  /** Cuts every connection that is open. */
  /** Answers with how many it were. */
  killConnections(): Promise<number>;
  /** Connections that were ever opened. */
  connections(): Promise<number>;
  /** Keeps a copy of its present state. */
  backUp(): Promise<void>;
  /** Goes on with the copy. What came after it is gone. */
  restore(): Promise<void>;
  /** Another server that has all that this one has, and all that follows, until it is promoted. */
  replicate(): Promise<Replica>;
  /** Writes into the log what no node has written: nonsense, and one entry of so many bytes. Answers with their number. */
  intrude(bytes: number): Promise<number>;
  /** Writes one entry of which every field may be forged. Answers with the cursor of its place. */
  forge(random: () => number): Promise<string>;
  /** Entries that the log has. */
  entries(): Promise<number>;
  /** Lets the log's clock be far ahead until now: the places that it hands out follow each other closely. */
  runAhead(): Promise<void>;
  remove(): Promise<void>;
}

export interface Replica {
  readonly port: number;
  /** Has what the first one has by now, and goes its own way. */
  promote(): Promise<void>;
  remove(): Promise<void>;
}

export interface BrokerKind {
  readonly name: string;
  readonly isInstalled: boolean;
  /** What a node says on the connection that it appends on, and on the one that it reads on. */
  readonly said: { readonly appending: RegExp; readonly reading: RegExp };
  /** With `persistent: false` it forgets everything when it ends. Default: `true`. */
  start(options?: { persistent?: boolean }): Promise<Broker>;
}

const HOUR = 60 * 60_000;

class RedisBroker extends ServerBroker<RedisServer> implements Broker {
  #options({ port = this.port, ...limits }: NodeOptions = {}): RedisBackplaneOptions {
    return { url: `redis://127.0.0.1:${port}`, prefix: this.prefix, ...limits };
  }

  backplane(options?: NodeOptions): Backplane {
    return new RedisBackplane(this.#options(options));
  }

  settings(options?: NodeOptions): unknown {
    return { kind: 'redis', options: this.#options(options) };
  }

  async flush(): Promise<void> {
    await this.server.run((redis) => redis.flushall());
  }

  async killConnections(): Promise<number> {
    return Number(await this.server.run((redis) => redis.call('CLIENT', 'KILL', 'TYPE', 'normal', 'SKIPME', 'yes')));
  }

  async connections(): Promise<number> {
    const info = await this.server.run((redis) => redis.info('stats'));
    return Number(/total_connections_received:(\d+)/.exec(info)?.[1]);
  }

  async backUp(): Promise<void> {
    await this.server.run((redis) => redis.save());
    await copyFile(join(this.server.folder, 'dump.rdb'), join(this.server.folder, 'backup.rdb'));
  }

  async restore(): Promise<void> {
    await this.kill();
    await copyFile(join(this.server.folder, 'backup.rdb'), join(this.server.folder, 'dump.rdb'));
    await this.start();
  }

  async replicate(): Promise<Replica> {
    const replica = await RedisServer.start({
      persistent: false,
      args: ['--replicaof', '127.0.0.1', String(this.port), '--repl-diskless-sync-delay', '0'],
    });
    return {
      port: replica.port,
      promote: async () => {
        // It may still be copying what was there before it.
        await until(
          'the replica has everything',
          async () => (await this.server.run((redis) => redis.wait(1, 500))) === 1,
        );
        await replica.run((redis) => redis.replicaof('NO', 'ONE'));
      },
      remove: () => replica.remove(),
    };
  }

  async intrude(bytes: number): Promise<number> {
    const log = `{${this.prefix}}:log`;
    await this.server.run(async (redis) => {
      await redis.xadd(log, '*', 'not', 'ours');
      await redis.xadd(log, '*', 'e', 'another', 'x', 'y');
      await redis.xadd(log, '*', 'd', '{"kind":"event"');
      await redis.xadd(log, '*', 'large', 'x'.repeat(bytes));
    });
    return 4;
  }

  forge(random: () => number): Promise<string> {
    const [log, head] = [`{${this.prefix}}:log`, `{${this.prefix}}:head`];
    return this.server.run(async (redis) => {
      const [epoch, last] = (await redis.hmget(head, 'epoch', 'last')) as [string, string];
      const [top] = (await redis.xrevrange(log, '+', '-', 'COUNT', 1)).map(([id]) => id);
      const some = (await redis.xrange(log, '-', '+', 'COUNT', 200)).map(([id]) => id);
      const { ms, seq } = parseId(top!)!;
      const previous = pick(random, [
        ...['0-0', 'nonsense', '9999999999999-0', `${ms}-${seq + 1}`, `${ms - 1}-5`, top!, last, last, last],
        ...[some[0]!, pick(random, some), some.at(-2) ?? '0-0', some.at(-3) ?? '0-0'],
      ]);
      const fields = [
        ['e', pick(random, [epoch, epoch, 'x', 'NO EPOCH', ''])],
        ['p', previous],
        ['n', pick(random, ['1', '1', '1', '2', '0', '-1', '1e9', 'x', '1000'])],
        ['d', forgedText(random)],
      ].filter(() => random() > 0.05);
      const at = pick(random, ['*', '*', '*', `${ms}-${seq + 1 + Math.floor(random() * 1_000)}`, `${ms + 3_000}-0`]);
      const id = await redis.xadd(log, at, ...(fields.length > 0 ? fields.flat() : ['not', 'ours']));
      return formatCursor(epoch, parseId(id!)!);
    });
  }

  async entries(): Promise<number> {
    const batches = await this.server.run((redis) => redis.xrange(`{${this.prefix}}:log`, '-', '+'));
    return batches.reduce((sum, [id, fields]) => sum + (readEntry(id, fields)?.count ?? 0), 0);
  }

  async runAhead(): Promise<void> {
    const last = `${Date.now() + HOUR}-0`;
    await this.server.run((redis) => redis.hset(`{${this.prefix}}:head`, 'epoch', 'ahead', 'last', last));
  }
}

const redis: BrokerKind = {
  name: 'Redis',
  isInstalled: await isInstalled('redis-server'),
  said: { appending: /evalsha/, reading: /xread/ },
  start: async (options) => new RedisBroker(await RedisServer.start(options)),
};

/** Every row of faults is tried on all of them. */
export const brokerKinds: readonly BrokerKind[] = [redis, nats];

const missing = brokerKinds.filter(({ isInstalled }) => !isInstalled).map(({ name }) => name);
if (missing.length > 0) {
  reportMissing(`No faults of ${missing.join(' and ')} are tried: apt-get install redis-server nats-server.`);
}
