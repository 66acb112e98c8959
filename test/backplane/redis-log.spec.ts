import { randomUUID } from 'node:crypto';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';

import { resolveRedisOptions } from '../../src/backplane/redis/options.js';
import { RedisLog } from '../../src/backplane/redis/redis-log.js';
import { RedisServer } from '../support/redis.js';
import { isInstalled } from '../support/server-process.js';

const isThere = await isInstalled('redis-server');

/** Something else happens in Redis after every command. */
class Interrupted extends Redis {
  meanwhile: (() => Promise<unknown>) | undefined;

  override async sendCommand(...args: Parameters<Redis['sendCommand']>): Promise<unknown> {
    const answer: unknown = await super.sendCommand(...args);
    await this.meanwhile?.();
    return answer;
  }
}

(isThere ? describe : describe.skip)('the log in Redis', () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await RedisServer.start({ persistent: false });
  });
  afterAll(() => server.remove());

  it('knows every topic that is closed while others are opened or forgotten, oldest first', async () => {
    const log = new RedisLog(
      () => Promise.reject(new Error('It opens nothing.')),
      resolveRedisOptions({ prefix: randomUUID() }),
      () => {},
    );
    const topics = Array.from({ length: 5_000 }, (_, i) => `topic ${i}`);
    await server.run((redis) => redis.zadd(log.keys.closed, ...topics.flatMap((topic, i) => [i, topic])));
    const connection = new Interrupted(server.url);
    const other = new Redis(server.url);
    try {
      await connection.ping();
      let opened = 0;
      connection.meanwhile = async () => {
        if (opened < 2_000) await other.zrem(log.keys.closed, ...topics.slice(opened, (opened += 500)));
      };
      const closed = await log.closed(connection);
      const names = closed.map(([topic]) => topic);
      expect(names.filter((topic) => topics.indexOf(topic) >= 2_000)).toEqual(topics.slice(2_000));
      expect(names).toEqual(topics.filter((topic) => names.includes(topic)));
      expect(closed.at(-1)).toEqual(['topic 4999', 4_999]);
    } finally {
      connection.disconnect();
      other.disconnect();
    }
  });

  for (const rule of ['+@scripting', '-@scripting']) {
    it(`begins one other life, however many nodes find that it has lost something: ${rule}`, async () => {
      await server.run((redis) => redis.call('ACL', 'SETUSER', 'user', 'on', '>secret', '~*', '+@all', rule));
      const connection = new Redis(server.url.replace('//', '//user:secret@'));
      const log = new RedisLog(
        () => Promise.resolve(connection),
        resolveRedisOptions({ prefix: randomUUID() }),
        () => {},
      );
      try {
        const { epoch } = await log.begin(connection);
        await log.renew(connection, epoch);
        const next = await log.begin(connection);
        expect(next.epoch).not.toBe(epoch);
        await log.renew(connection, epoch);
        expect(await log.begin(connection)).toEqual(next);
      } finally {
        connection.disconnect();
      }
    });
  }
});
