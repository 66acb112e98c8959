import type { Cursor, Position } from '../../protocol/cursor.js';
import type { Entry } from '../../protocol/entry.js';
import { BackplaneError } from '../backplane-error.js';
import type { Backplane, LogListener, Patience } from '../backplane.js';
import { CLOSE_PATIENCE, Outbox } from '../broker/outbox.js';
import { Readers } from '../broker/readers.js';
import { openerOf } from './connection.js';
import { RedisLog } from './log.js';
import { type RedisBackplaneOptions, type ResolvedRedisOptions, resolveRedisOptions } from './options.js';
import { RedisPresence } from './presence.js';
import { RedisReader } from './reader.js';
import { MAY_REPEAT, RedisSender } from './sender.js';

export type { RedisBackplaneOptions } from './options.js';

/**
 * The log in Redis Streams, shared by all nodes with the same Redis and `prefix`. Redis 6.2 or later, or Valkey, through
 * `ioredis` 5 or 6; Sentinel, TLS and clusters as ioredis does them. Needs two connections per node.
 *
 * While Redis is away, streams stay open, `publish` rejects within `publishTimeout`, and what is broadcast waits, in
 * order, up to `maxPending`. What Redis has lost for good (a flush, an older backup, a replica that lacked it), clients
 * are told with `sse.reset`. Throws a `TypeError` for options that make no sense.
 *
 * @example
 * SSEModule.forRoot({ backplane: new RedisBackplane({ url: 'redis://localhost:6379', prefix: 'shop' }) });
 */
export class RedisBackplane implements Backplane {
  readonly kind = 'redis';
  readonly presence: RedisPresence;
  readonly #options: ResolvedRedisOptions;
  readonly #log: RedisLog;
  readonly #readers: Readers<RedisReader>;
  #outbox: Outbox;
  readonly #sender: RedisSender;

  constructor(options: RedisBackplaneOptions = {}) {
    this.#options = resolveRedisOptions(options);
    this.#readers = new Readers(this.#options.publishTimeout);
    this.#log = new RedisLog(openerOf(options), this.#options, (message) => this.#readers.warn(message));
    this.#sender = new RedisSender(this.#log);
    this.#outbox = this.#makeOutbox();
    this.presence = new RedisPresence(this.#log.keys, () => this.#sender.connection());
  }

  get status(): 'up' | 'down' {
    return this.#readers.up && !this.#outbox.failing ? 'up' : 'down';
  }

  get lag(): number | undefined {
    return this.#readers.lag;
  }

  async start(hub: LogListener): Promise<void> {
    if (this.#readers.has(hub)) return;
    if (this.#readers.size === 0) this.#outbox = this.#makeOutbox();
    const up = (): void => this.#outbox.wake();
    await this.#readers.start(hub, (start) => new RedisReader(this.#log, hub, { ...start, up }));
  }

  append(entry: Entry, patience: Patience): Promise<Cursor> {
    return this.#outbox.append(entry, patience);
  }

  async end(): Promise<Position> {
    try {
      const connection = await this.#sender.connection();
      return ((await this.#log.head(connection)) ?? (await this.#log.begin(connection))).last;
    } catch (cause) {
      this.#sender.drop();
      throw new BackplaneError('Redis did not say where the log ends', 'no', { cause });
    }
  }

  async close(hub: LogListener): Promise<void> {
    if (!this.#readers.has(hub)) return;
    this.#readers.close(hub);
    if (this.#readers.size > 0) return;
    await this.#outbox.close(CLOSE_PATIENCE);
    this.#sender.drop();
  }

  #makeOutbox(): Outbox {
    return new Outbox(this.#sender, { broker: 'Redis', memory: MAY_REPEAT, ...this.#options });
  }
}
