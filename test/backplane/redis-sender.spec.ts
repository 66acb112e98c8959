import { randomUUID } from 'node:crypto';

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { RedisBackplane, type RedisBackplaneOptions } from 'nestjs-sse-hub/redis';

import type { Outgoing } from '../../src/backplane/broker/sender.js';
import { openerOf, shareConnection } from '../../src/backplane/redis/connection.js';
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

function outgoing(n: number, after: number): Outgoing {
  const entry = event(String(n));
  const text = encodeEntry(entry);
  return { n, uid: `publisher-${n}`, entry, text, bytes: text.length, after };
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

  it('forgets what it has appended without counting through all that was given up meanwhile', async () => {
    const log = new RedisLog(resolveRedisOptions({ prefix }), () => {});
    const open = openerOf({ url: server.url });
    const connection = shareConnection(() => open('test'));
    const sender = new RedisSender(log, connection);
    const forgotten = async (): Promise<number> => {
      const info = await server.run((redis) => redis.info('commandstats'));
      return Number(/cmdstat_hdel:calls=(\d+)/.exec(info)?.[1] ?? 0);
    };
    await sender.open();
    try {
      const before = await forgotten();
      const [waiting, later, last] = [1, 1_000_000, 2_000_000];
      await Promise.all(sender.send([outgoing(waiting, 0), outgoing(later, waiting)], waiting));
      await Promise.all(sender.send([outgoing(later + 1, later)], later + 1));
      await Promise.all(sender.send([outgoing(last, 0)], last));
      expect((await forgotten()) - before).toBe(3);
      const remembered = await server.run((redis) => redis.hkeys(log.keys.publisher('publisher')));
      expect(remembered.toSorted()).toEqual([String(last), 'floor', 'top']);
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

  for (const command of ['hdel', 'pexpire', 'xtrim', 'evalsha']) {
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
