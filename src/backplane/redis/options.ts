import type { Cluster, Redis, RedisOptions } from 'ioredis';

import { anObjectWith, assertOptions, aWhole, type Checks, withDefaults } from '../../option-checks.js';
import { BROKER_DEFAULTS, OUTBOX_CHECKS } from '../broker/options.js';

/** Everything is optional; without `url`, `options` and `client` it is `redis://127.0.0.1:6379`. */
export interface RedisBackplaneOptions {
  /** `redis://` or `rediss://` (TLS), as ioredis takes it. */
  readonly url?: string;
  /** ioredis' own options, for Sentinel, TLS and whatever a URL cannot say. With `url`, they are added to it. */
  readonly options?: RedisOptions;
  /**
   * A client of the application's, or a cluster. It stays the application's: it is only duplicated (`duplicate()`),
   * for a connection that appends and one that reads, which the backplane closes.
   */
  readonly client?: Redis | Cluster;
  /** Beginning of all keys; hubs with the same prefix share one log. Without braces. Default: `sse`. */
  readonly prefix?: string;
  /** Entries that the log keeps, about. Should be more than all topics' `maxHistorySize` together. Default: 100,000. */
  readonly maxLength?: number;
  /** Milliseconds that the log keeps an entry, about; should be at least `maxHistoryAge`. Default: 20 minutes. */
  readonly maxAge?: number;
  /** Milliseconds after which `publish` rejects when Redis does not answer. Default: 5,000. */
  readonly publishTimeout?: number;
  /** Entries that wait while Redis is away; what is beyond is dropped, logged and counted. Default: 10,000. */
  readonly maxPending?: number;
  /** The same in bytes. Default: 64 MiB. */
  readonly maxPendingBytes?: number;
  /**
   * Bytes of one entry in Redis, JSON with data, comment and metadata: larger ones are neither written nor read. Should
   * be well above `maxEventSize`. Default: 8 MiB.
   */
  readonly maxEntryBytes?: number;
}

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

/** Fills in the defaults. Throws a `TypeError` that names the option, its value, and what is allowed. */
export function resolveRedisOptions(options: RedisBackplaneOptions): ResolvedRedisOptions {
  assertOptions('RedisBackplane', options, CHECKS);
  if (options.client && (options.url !== undefined || options.options)) {
    throw new TypeError('RedisBackplane options `url` and `options` have no effect beside `client`: leave them out.');
  }
  return withDefaults<ResolvedRedisOptions>(options, BROKER_DEFAULTS);
}
