import { BrokerBackplane } from '../broker/broker-backplane.js';
import { BrokerReader } from '../broker/broker-reader.js';
import { openerOf, shareConnection } from './connection.js';
import { RedisLog } from './log.js';
import { type RedisBackplaneOptions, resolveRedisOptions } from './options.js';
import { RedisPresence } from './presence.js';
import { RedisReader } from './reader.js';
import { MAY_REPEAT, RedisSender } from './sender.js';

export type { RedisBackplaneOptions } from './options.js';

/**
 * A backplane whose log is in Redis Streams, shared by all nodes with the same Redis and `prefix`. It takes Redis 6.2 or
 * later, or Valkey, through `ioredis` 5 or 6, with Sentinel, TLS and clusters as ioredis does them, and needs two
 * connections per node.
 *
 * While Redis is away, streams stay open, `publish` rejects within `publishTimeout`, and what is broadcast waits, in
 * order, up to `maxPending`. What Redis has lost for good (a flush, an older backup, a replica that lacked it), clients
 * are told with `sse.reset`.
 *
 * @example
 * SSEModule.forRoot({ backplane: new RedisBackplane({ url: 'redis://localhost:6379', prefix: 'shop' }) });
 */
export class RedisBackplane extends BrokerBackplane {
  readonly kind = 'redis';

  /**
   * Opens nothing yet: the hub does that when it starts.
   *
   * @throws `TypeError` for an option that makes no sense, with its name, its value and what is allowed.
   */
  constructor(options: RedisBackplaneOptions = {}) {
    const resolved = resolveRedisOptions(options);
    super({ broker: 'Redis', memory: MAY_REPEAT, ...resolved }, (readers) => {
      const open = openerOf(options);
      const log = new RedisLog(resolved, (message) => readers.warn(message));
      const connection = shareConnection(() => open(`${resolved.prefix}-append`));
      const presence = new RedisPresence(log.keys, connection);
      const onQuestion = (id: string, fields: readonly string[]): void => presence.answer(id, fields);
      return {
        presence,
        makeSender: () => new RedisSender(log, connection),
        makeReader: (hub, listener) =>
          new BrokerReader('Redis', hub, listener, (progress) => new RedisReader(log, open, progress, onQuestion)),
        end: async () => {
          try {
            const shared = await connection.open();
            return ((await log.headIfBegun(shared)) ?? (await log.head(shared))).last;
          } catch (error) {
            // It may be the connection that does not answer.
            connection.drop();
            throw error;
          }
        },
        disconnect: () => connection.drop(),
      };
    });
  }
}
