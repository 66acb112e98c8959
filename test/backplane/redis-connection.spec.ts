import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Cluster, type ClusterOptions, Redis, type RedisOptions } from 'ioredis';
import { RedisBackplane, type RedisBackplaneOptions } from 'nestjs-sse-hub/redis';

import { until } from '../support/baseline.js';
import { LogRecorder } from '../support/brokers/log-recorder.js';
import { RedisSentinel, RedisServer } from '../support/brokers/redis-server.js';
import { isInstalled } from '../support/brokers/server-process.js';
import { event } from '../support/test-hub.js';

const isThere = await isInstalled('redis-server');

/** Duplicates as ioredis 5 does: `redisOptions` that are given replace its own. */
class ClusterOfVersion5 extends Cluster {
  constructor(
    private readonly port: number,
    options: ClusterOptions,
  ) {
    super([{ host: '127.0.0.1', port }], options as object);
  }

  override duplicate(_: unknown, options?: object): Cluster {
    return new ClusterOfVersion5(this.port, { ...this.options, ...options });
  }
}

async function expectToWork(options: RedisBackplaneOptions, meanwhile = () => Promise.resolve()): Promise<void> {
  const log = new RedisBackplane({ prefix: randomUUID(), ...options });
  const reader = new LogRecorder();
  try {
    await log.start(reader);
    await meanwhile();
    expect(reader.warnings).toEqual([]);
    expect(log.status).toBe('up');
    await log.append(event('0'), 'timeout');
    await until('it comes', () => reader.data.length === 1);
  } finally {
    await log.close(reader);
  }
}

(isThere ? describe : describe.skip)('the connections of RedisBackplane', () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await RedisServer.start({ persistent: false });
  });
  afterAll(() => server.remove());

  for (const name of ['commandTimeout', 'socketTimeout', 'blockingTimeout'] as const) {
    it(`wait for entries for longer than the application waits for answers: ${name}`, () =>
      expectToWork({ url: server.url, options: { [name]: 200 } }, () => delay(1_200)));
  }

  it('are as they have to be, whatever the URL says', () =>
    expectToWork({ url: `${server.url}?commandTimeout=200&socketTimeout=200` }, () => delay(1_200)));

  for (const [how, optionsWith] of [
    ['in the options', (options) => ({ options })],
    ['of a client that was handed in', (options) => ({ client: new Redis({ ...options, lazyConnect: true }) })],
  ] as [string, (options: RedisOptions) => RedisBackplaneOptions][]) {
    it(`find their way past a sentinel that does not answer: ${how}`, async () => {
      const silent = net.createServer().listen(0, '127.0.0.1');
      await once(silent, 'listening');
      const sockets = new Set<net.Socket>();
      silent.on('connection', (socket) => {
        sockets.add(
          socket
            .resume()
            .on('error', () => {})
            .on('close', () => sockets.delete(socket)),
        );
      });
      const sentinel = await RedisSentinel.start(server.port);
      const { port } = silent.address() as net.AddressInfo;
      const sentinels = [port, sentinel.port].map((ofSentinel) => ({ host: '127.0.0.1', port: ofSentinel }));
      const log = new RedisBackplane({ prefix: randomUUID(), ...optionsWith({ sentinels, name: 'sse' }) });
      const reader = new LogRecorder();
      try {
        await log.start(reader);
        await until('it is up', () => log.status === 'up');
        await log.append(event('0'), 'queue');
        await until('it comes', () => reader.data.length === 1);
        await until('nobody waits for the silent one', () => sockets.size === 0);
      } finally {
        await log.close(reader);
        for (const socket of sockets) socket.destroy();
        silent.close();
        await sentinel.remove();
      }
    });
  }

  it("have the application's credentials on a cluster, with ioredis 5 too", async () => {
    const node = await RedisServer.start({
      persistent: false,
      args: ['--cluster-enabled', 'yes', '--cluster-announce-ip', '127.0.0.1'],
    });
    const options = { lazyConnect: true, redisOptions: { password: 'secret' } };
    const cluster = new ClusterOfVersion5(node.port, options);
    try {
      await node.run(async (redis) => {
        await redis.call('CLUSTER', 'ADDSLOTSRANGE', '0', '16383');
        await until('the cluster is ready', async () => (await redis.cluster('INFO')).includes('cluster_state:ok'));
        await redis.config('SET', 'requirepass', 'secret');
      });
      await expectToWork({ client: cluster });
    } finally {
      cluster.disconnect();
      await node.remove();
    }
  });
});
