import type { Cluster, Redis, RedisOptions } from 'ioredis';

import { anObjectWith, assertOptions, aWhole, type Checks, withDefaults } from '../../option-checks.js';
import { BROKER_DEFAULTS, OUTBOX_CHECKS } from '../broker/options.js';

/** The options of a `RedisBackplane`, all optional: where Redis is, how much the log keeps, and how long appends wait. */
export interface RedisBackplaneOptions {
  /**
   * Where Redis is: a URL that begins with `redis://` or `rediss://` (TLS), or the path of a Unix socket, as ioredis takes
   * it.
   *
   * @defaultValue `'redis://127.0.0.1:6379'`, unless `options` or `client` say where.
   */
  readonly url?: string | undefined;
  /**
   * ioredis' own options, for Sentinel, TLS and whatever a URL cannot say. With `url`, they are added to it.
   *
   * @example
   * new RedisBackplane({ options: { sentinels: [{ host: 'sentinel-1', port: 26379 }], name: 'primary' } });
   */
  readonly options?: RedisOptions | undefined;
  /**
   * A client of the application's, or a cluster. It stays the application's: it is only duplicated (`duplicate()`), for a
   * connection that appends and one that reads, which the backplane closes. Excludes `url` and `options`.
   *
   * @example
   * new RedisBackplane({ client: new Cluster([{ host: 'redis-1', port: 6379 }]) });
   */
  readonly client?: Redis | Cluster | undefined;
  /**
   * What all keys begin with, 1 to 200 characters without spaces and braces. Hubs with the same prefix share one log.
   *
   * @defaultValue `'sse'`
   */
  readonly prefix?: string | undefined;
  /**
   * How many entries the log keeps, about: Redis trims it in steps. Should be more than all topics' `maxHistorySize`
   * together.
   *
   * @defaultValue `100_000`
   */
  readonly maxLength?: number | undefined;
  /**
   * Milliseconds that the log keeps an entry, about: it is trimmed when something is appended. Should be at least
   * `maxHistoryAge`.
   *
   * @defaultValue `1_200_000` (20 minutes)
   */
  readonly maxAge?: number | undefined;
  /**
   * Milliseconds after which `publish` rejects when Redis does not answer, and that a start waits for Redis.
   *
   * @defaultValue `5_000`
   */
  readonly publishTimeout?: number | undefined;
  /**
   * How many entries may wait for Redis; what is beyond is dropped, logged and counted.
   *
   * @defaultValue `10_000`
   */
  readonly maxPending?: number | undefined;
  /**
   * How many bytes may wait for Redis; what is beyond is dropped, logged and counted.
   *
   * @defaultValue `67_108_864` (64 MiB)
   */
  readonly maxPendingBytes?: number | undefined;
  /**
   * Bytes of one entry in Redis, as JSON with its data, comment and metadata. Larger ones are neither written nor read.
   * Should be well above `maxEventSize`.
   *
   * @defaultValue `8_388_608` (8 MiB)
   */
  readonly maxEntryBytes?: number | undefined;
}

/** The options that have a value, given or not. */
export type ResolvedRedisOptions = Required<Omit<RedisBackplaneOptions, 'url' | 'options' | 'client'>>;

const CHECKS: Checks<RedisBackplaneOptions> = {
  url: (value) =>
    typeof value === 'string' && /^(rediss?:\/\/|unix:\/\/|\/)./.test(value)
      ? undefined
      : "a URL like 'redis://127.0.0.1:6379'",
  options: anObjectWith("ioredis' options"),
  client: (value) =>
    typeof (value as Redis | undefined)?.duplicate === 'function' ? undefined : 'an ioredis client or cluster',
  prefix: (value) =>
    typeof value === 'string' && /^[^{}\s]{1,200}$/.test(value)
      ? undefined
      : 'a text of 1 to 200 characters without spaces and braces',
  maxLength: aWhole(1, Number.MAX_SAFE_INTEGER, 'entries'),
  maxAge: aWhole(1, Number.MAX_SAFE_INTEGER, 'milliseconds'),
  ...OUTBOX_CHECKS,
};

/**
 * The options with their defaults.
 *
 * @throws `TypeError` for one that makes no sense, with its name, its value and what is allowed.
 */
export function resolveRedisOptions(options: RedisBackplaneOptions): ResolvedRedisOptions {
  assertOptions('RedisBackplane', options, CHECKS);
  if (options.client && (options.url !== undefined || options.options)) {
    throw new TypeError('RedisBackplane options `url` and `options` have no effect beside `client`: leave them out.');
  }
  return withDefaults<ResolvedRedisOptions>(options, BROKER_DEFAULTS);
}
