import type { ConnectionOptions, NatsConnection } from '@nats-io/transport-node';

import { anObjectWith, assertOptions, aWhole, type Check, type Checks, withDefaults } from '../../option-checks.js';
import { BROKER_DEFAULTS, OUTBOX_CHECKS } from '../broker/options.js';

/** The options of a `NatsBackplane`, all optional: where NATS is, how much the log keeps, and how long appends wait. */
export interface NatsBackplaneOptions {
  /**
   * Where NATS is: `nats://`, `tls://` or host and port, of one server or several of a cluster.
   *
   * @defaultValue `'nats://127.0.0.1:4222'`, unless `options` or `connection` say where.
   */
  readonly servers?: string | readonly string[] | undefined;
  /**
   * The client's own options, for authentication, TLS and whatever else. Reconnecting is the backplane's.
   *
   * @example
   * new NatsBackplane({ servers: 'tls://nats.example', options: { user: 'shop', pass: process.env['NATS_PASSWORD'] } });
   */
  readonly options?: ConnectionOptions | undefined;
  /**
   * A connection of the application's. It is shared, and stays the application's: the backplane never closes it. Excludes
   * `servers` and `options`.
   *
   * @example
   * new NatsBackplane({ connection: await connect({ servers: 'nats://localhost:4222' }) });
   */
  readonly connection?: NatsConnection | undefined;
  /**
   * The JetStream domain of the log, 1 to 64 letters, digits, `_` and `-`.
   *
   * @defaultValue that of the server
   */
  readonly domain?: string | undefined;
  /**
   * The name of the stream, and first token of its subject: 1 to 64 letters, digits, `_` and `-`. Hubs with the same
   * prefix share one log.
   *
   * @defaultValue `'sse'`
   */
  readonly prefix?: string | undefined;
  /**
   * How many entries the log keeps, about. Should be more than all topics' `maxHistorySize` together.
   *
   * @defaultValue `100_000`
   */
  readonly maxLength?: number | undefined;
  /**
   * Milliseconds that the log keeps an entry, 100 or more. Should be at least `maxHistoryAge`.
   *
   * @defaultValue `1_200_000` (20 minutes)
   */
  readonly maxAge?: number | undefined;
  /**
   * Bytes that the log keeps, 1,024 or more; `Infinity` for no limit but the server's.
   *
   * @defaultValue `Infinity`
   */
  readonly maxBytes?: number | undefined;
  /**
   * Where the server keeps a log that it has yet to make: `file` survives its restart, `memory` does not.
   *
   * @defaultValue `'file'`
   */
  readonly storage?: 'file' | 'memory' | undefined;
  /**
   * How many servers of the cluster keep a log that is yet to be made, 1 to 5.
   *
   * @defaultValue `1`
   */
  readonly replicas?: number | undefined;
  /**
   * Milliseconds after which `publish` rejects when NATS does not answer, and that a start waits for NATS.
   *
   * @defaultValue `5_000`
   */
  readonly publishTimeout?: number | undefined;
  /**
   * How many entries may wait for NATS; what is beyond is dropped, logged and counted.
   *
   * @defaultValue `10_000`
   */
  readonly maxPending?: number | undefined;
  /**
   * How many bytes may wait for NATS; what is beyond is dropped, logged and counted.
   *
   * @defaultValue `67_108_864` (64 MiB)
   */
  readonly maxPendingBytes?: number | undefined;
  /**
   * Bytes of one entry in NATS, as JSON with its data, comment and metadata. Larger ones are neither written nor read.
   * Should be well above `maxEventSize`. What the server takes (`max_payload`, 1 MiB unless configured) is a limit too.
   *
   * @defaultValue `8_388_608` (8 MiB)
   */
  readonly maxEntryBytes?: number | undefined;
}

/** The options that have a value, given or not; `domain` needs none. */
export type ResolvedNatsOptions = Required<
  Omit<NatsBackplaneOptions, 'servers' | 'options' | 'connection' | 'domain'>
> & { readonly domain: string | undefined };

const aName: Check = (value) =>
  typeof value === 'string' && /^[\w-]{1,64}$/.test(value)
    ? undefined
    : 'a text of 1 to 64 letters, digits, underscores and hyphens';

const aServer = (value: unknown): boolean => typeof value === 'string' && value !== '';

const CHECKS: Checks<NatsBackplaneOptions> = {
  servers: (value) =>
    aServer(value) || (Array.isArray(value) && value.length > 0 && value.every(aServer))
      ? undefined
      : "a URL like 'nats://127.0.0.1:4222', or a list of them",
  options: anObjectWith("the options of the client's connect()"),
  connection: (value) =>
    typeof (value as NatsConnection | undefined)?.subscribe === 'function' ? undefined : 'a NATS connection',
  domain: aName,
  prefix: aName,
  maxLength: aWhole(1, Number.MAX_SAFE_INTEGER, 'entries'),
  // As nanoseconds in 64 bits; and the server takes no less than 100 ms.
  maxAge: aWhole(100, 9e12, 'milliseconds'),
  maxBytes: (value) => (value === Infinity ? undefined : aWhole(1_024, Number.MAX_SAFE_INTEGER, 'bytes')(value)),
  storage: (value) => (value === 'file' || value === 'memory' ? undefined : "'file' or 'memory'"),
  replicas: aWhole(1, 5, 'servers'),
  ...OUTBOX_CHECKS,
};

/**
 * The options with their defaults.
 *
 * @throws `TypeError` for one that makes no sense, with its name, its value and what is allowed.
 */
export function resolveNatsOptions(options: NatsBackplaneOptions): ResolvedNatsOptions {
  assertOptions('NatsBackplane', options, CHECKS);
  if (options.connection && (options.servers !== undefined || options.options)) {
    throw new TypeError(
      'NatsBackplane options `servers` and `options` have no effect beside `connection`: leave them out.',
    );
  }
  return withDefaults<ResolvedNatsOptions>(options, {
    ...BROKER_DEFAULTS,
    domain: undefined,
    maxBytes: Infinity,
    storage: 'file',
    replicas: 1,
  });
}
