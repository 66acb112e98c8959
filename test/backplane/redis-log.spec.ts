import { randomUUID } from 'node:crypto';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Redis } from 'ioredis';

import { RedisLog } from '../../src/backplane/redis/log.js';
import { resolveRedisOptions } from '../../src/backplane/redis/options.js';
import { RedisServer } from '../support/brokers/redis-server.js';
import { isInstalled } from '../support/brokers/server-process.js';

const isThere = await isInstalled('redis-server');

(isThere ? describe : describe.skip)('the log in Redis', () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await RedisServer.start({ persistent: false });
  });
  afterAll(() => server.remove());

  it('begins one other epoch, however many nodes find that it has lost something', async () => {
    const connection = new Redis(server.url);
    const log = new RedisLog(resolveRedisOptions({ prefix: randomUUID() }), () => {});
    try {
      const { epoch } = await log.head(connection);
      await log.renew(connection, epoch);
      const next = await log.head(connection);
      expect(next.epoch).not.toBe(epoch);
      await log.renew(connection, epoch);
      expect(await log.head(connection)).toEqual(next);
    } finally {
      connection.disconnect();
    }
  });
});
