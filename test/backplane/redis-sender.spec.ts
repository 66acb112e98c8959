import { randomUUID } from 'node:crypto';

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { RedisBackplane, type RedisBackplaneOptions } from 'nestjs-sse-hub/redis';

import { type Batch, encodeBatch } from '../../src/backplane/broker/batch.js';
import { openerOf, shareConnection } from '../../src/backplane/redis/connection.js';
import { formatId } from '../../src/backplane/redis/keys.js';
import { messageOfReply, RedisLog } from '../../src/backplane/redis/log.js';
import { resolveRedisOptions } from '../../src/backplane/redis/options.js';
import { RedisSender } from '../../src/backplane/redis/sender.js';
import { encodeEntry } from '../../src/protocol/entry.js';
import { until } from '../support/baseline.js';
import { LogRecorder } from '../support/brokers/log-recorder.js';
import { RedisServer } from '../support/brokers/redis-server.js';
import { isInstalled } from '../support/brokers/server-process.js';
import { MiB } from '../support/measures/memory.js';
import { event } from '../support/test-hub.js';

const isThere = await isInstalled('redis-server');

function batchOf(n: number, ...data: string[]): Batch {
  const text = encodeBatch(data.map((one) => encodeEntry(event(one))));
  return { n, uid: `publisher-${n}`, count: data.length, text, bytes: text.length };
}

describe('what Redis says', () => {
  for (const message of [
    "READONLY You can't write against a read only replica.",
    "@user_script: 61: -READONLY You can't write against a read only replica.",
    "ERR Error running script (call to f_1a2b): @user_script:61: @user_script: 61: -READONLY You can't write against a read only replica.",
  ]) {
    it(`is the same in a script, before version 7 too: ${message}`, () => {
      expect(messageOfReply(new Error(message))).toBe("READONLY You can't write against a read only replica.");
    });
  }
});

(isThere ? describe : describe.skip)('who appends to the log in Redis', () => {
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

  async function start(options: RedisBackplaneOptions): Promise<{ log: RedisBackplane; reader: LogRecorder }> {
    const log = new RedisBackplane({ prefix, ...options });
    const reader = new LogRecorder();
    started.push([log, reader]);
    await log.start(reader);
    return { log, reader };
  }

  /** Lets a user of its own do everything but what the rules forbid, and answers with its URL. */
  async function allow(name: string, ...rules: string[]): Promise<string> {
    await server.run((redis) => redis.call('ACL', 'SETUSER', name, 'on', '>secret', '~*', '+@all', ...rules));
    return server.url.replace('//', `//${name}:secret@`);
  }

  it('stores a batch once, and none behind one that followed it', async () => {
    const log = new RedisLog(resolveRedisOptions({ prefix }), () => {});
    const connection = shareConnection(() => openerOf({ url: server.url })('test'));
    const sender = new RedisSender(log, connection);
    await sender.open();
    try {
      const first = await sender.send(batchOf(1, '0', '1'));
      expect(await sender.send(batchOf(1, '0', '1'))).toEqual(first);
      const second = await sender.send(batchOf(5, '2'));
      await expect(sender.send(batchOf(1, '0', '1'))).rejects.toMatchObject({ stored: 'no' });
      await expect(sender.send(batchOf(4, 'late'))).rejects.toThrow(/STALE/);
      expect(await sender.send(batchOf(5, '2'))).toEqual(second);
      const stored = await server.run((redis) => redis.xrange(log.keys.log, '-', '+'));
      expect(stored.map(([id]) => id)).toEqual([first, second].map(({ position }) => formatId(position)));
    } finally {
      connection.drop();
    }
  });

  it('stores nothing more in a Redis that is full', async () => {
    const full = await RedisServer.start({ persistent: false, args: ['--maxmemory-policy', 'noeviction'] });
    const log = new RedisBackplane({ prefix, url: full.url, publishTimeout: 4_000 });
    const reader = new LogRecorder();
    await log.start(reader);
    try {
      for (let n = 0; n < 5; n++) await log.append(event(String(n)), 'timeout');
      const used = /used_memory:(\d+)/.exec(await full.run((redis) => redis.info('memory')))![1];
      await full.run((redis) => redis.config('SET', 'maxmemory', Number(used) + 2 * MiB));
      const attempts = Array.from({ length: 20 }, (_, n) => log.append(event(String(n).padEnd(MiB)), 'timeout'));
      const refused = (await Promise.allSettled(attempts)).filter(({ status }) => status === 'rejected');
      expect(refused.length).toBeGreaterThan(15);
      expect(reader.warnings).toEqual([expect.stringMatching(/^Redis refuses what is published.*OOM/)]);
    } finally {
      await log.close(reader);
      await full.remove();
    }
  });

  for (const command of ['pexpire', 'lindex', 'xtrim', 'evalsha']) {
    it(`stores nothing that Redis refuses for want of the right to ${command}`, async () => {
      const { log, reader } = await start({ url: await allow(command), publishTimeout: 4_000 });
      await log.append(event('0'), 'timeout');
      await allow(command, `-${command}`);
      await expect(log.append(event('1'), 'timeout')).rejects.toMatchObject({ stored: 'no' });
      expect(await server.run((redis) => redis.xlen(`{${prefix}}:log`))).toBe(1);
      expect(reader.warnings).toEqual([expect.stringMatching(/^Redis refuses what is published/)]);
      await allow(command);
      await log.append(event('2'), 'queue');
      await until('it has come', () => reader.data.length === 2);
      expect(reader.data).toEqual(['0', '2']);
    });
  }
});
