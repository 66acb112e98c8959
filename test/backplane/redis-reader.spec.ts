import { randomUUID } from 'node:crypto';

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { RedisBackplane, type RedisBackplaneOptions } from 'nestjs-sse-hub/redis';

import { until } from '../support/baseline.js';
import { LogRecorder } from '../support/brokers/log-recorder.js';
import { RedisServer } from '../support/brokers/redis-server.js';
import { isInstalled } from '../support/brokers/server-process.js';
import { Proxy } from '../support/network/proxy.js';
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

  it('hands out a bounded number of entries in one turn, however many are in the batches that it reads at a time', async () => {
    const { log } = await start();
    for (let n = 0; n < 1_000; n++) await log.append(event('alone'), 'timeout');
    for (let n = 0; n < 50; n++) {
      await Promise.all(Array.from({ length: 1_000 }, () => log.append(event('in company'), 'timeout')));
    }
    const late = new RedisBackplane({ url: server.url, prefix });
    const reader = new LogRecorder();
    const turns: number[] = [];
    let now: number | undefined;
    reader.deliver = (entries) => {
      if (now === undefined) {
        now = turns.push(0) - 1;
        setImmediate(() => (now = undefined));
      }
      turns[now]! += entries.length;
    };
    started.push([late, reader]);
    await late.start(reader);
    await until('all have come', () => turns.reduce((sum, count) => sum + count, 0) === 51_000);
    expect(Math.max(...turns)).toBeLessThanOrEqual(2_000);
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
