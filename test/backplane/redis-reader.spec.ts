import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { RedisBackplane, type RedisBackplaneOptions } from 'nestjs-sse-hub/redis';

import { until } from '../support/baseline.js';
import { BrokerProxy } from '../support/broker-proxy.js';
import { LogRecorder } from '../support/log-recorder.js';
import { Proxy } from '../support/proxy.js';
import { RedisServer } from '../support/redis.js';
import { isInstalled } from '../support/server-process.js';
import { event } from '../support/test-hub.js';

const isThere = await isInstalled('redis-server');

(isThere ? describe : describe.skip)('who reads the log in Redis', () => {
  let server: RedisServer;
  let prefix = '';
  const started: [RedisBackplane, LogRecorder][] = [];

  beforeAll(async () => {
    server = await RedisServer.start({ persistent: false });
  });
  afterAll(() => server.remove());
  beforeEach(() => {
    prefix = randomUUID();
  });
  afterEach(async () => {
    for (const [log, reader] of started.splice(0)) await log.close(reader);
  });

  async function start(options: RedisBackplaneOptions = {}): Promise<{ log: RedisBackplane; reader: LogRecorder }> {
    const log = new RedisBackplane({ url: server.url, prefix, ...options });
    const reader = new LogRecorder();
    started.push([log, reader]);
    await log.start(reader);
    return { log, reader };
  }

  it('gets what was added without a script while another life began, and stays in that life', async () => {
    await server.run((redis) => redis.call('ACL', 'SETUSER', 'plain', 'on', '>secret', '~*', '+@all', '-@scripting'));
    const proxy = await BrokerProxy.start(server.port);
    try {
      const a = await start();
      const plain = await start({ url: `redis://plain:secret@127.0.0.1:${proxy.port}` });
      await plain.log.append(event('0'), 'timeout');
      proxy.hold(/hmget/);
      const late = plain.log.append(event('late'), 'timeout');
      await until('it has asked which life it is', () => proxy.holds);
      await delay(100);
      await server.run((redis) => redis.flushall());
      await until('another one begins', () => a.reader.epochs.length === 2);
      await a.log.append(event('1'), 'timeout');
      proxy.release();
      await late;
      await a.log.append(event('2'), 'timeout');
      const readers = [a.reader, plain.reader, (await start()).reader];
      for (const { data, entries } of readers) {
        await until('all have come', () => readers.every((reader) => reader.data.length === 3));
        expect(data).toEqual(['1', 'late', '2']);
        expect(entries.slice(1).map(({ previous }) => previous)).toEqual(
          entries.slice(0, -1).map(({ position }) => position),
        );
      }
      await delay(1_200);
      expect(new Set(readers.map(({ epochs }) => epochs.at(-1))).size).toBe(1);
      expect(a.reader.epochs).toHaveLength(2);
    } finally {
      await proxy.close();
    }
  });

  it('asks for less when what it asked for does not arrive in time', async () => {
    const { log } = await start();
    const events = Array.from({ length: 100 }, (_, i) => event(String(i).padEnd(60_000)));
    await Promise.all(events.map((entry) => log.append(entry, 'timeout')));
    const far = await Proxy.start(server.url);
    far.toClient.bytesPerSecond = 1_000_000;
    try {
      const { reader } = await start({ url: far.url.replace('http:', 'redis:'), publishTimeout: 100 });
      await until('all have come', () => reader.data.length === events.length);
      expect(reader.data).toEqual(events.map(({ data }) => data));
    } finally {
      far.close();
    }
  });
});
