import type { ConnectionOptions, NatsConnection } from '@nats-io/transport-node';

import { anObjectWith, assertOptions, aWhole, type Check, type Checks, withDefaults } from '../../option-checks.js';
import { BROKER_DEFAULTS, OUTBOX_CHECKS } from '../broker/options.js';

/** Everything is optional; without `servers`, `options` and `connection` it is `nats://127.0.0.1:4222`. */
export interface NatsBackplaneOptions {
  /** `nats://`, `tls://` or host and port, one or several of a cluster. */
  readonly servers?: string | readonly string[];
  /** The client's own options, for authentication, TLS and whatever else. Reconnecting is the backplane's. */
  readonly options?: ConnectionOptions;
  /** A connection of the application's. It is shared, and stays the application's: the backplane never closes it. */
  readonly connection?: NatsConnection;
  /** JetStream domain. */
  readonly domain?: string;
  /**
   * Name of the stream, and first token of its subjects; hubs with the same prefix share one log. Letters, digits, `_`
   * and `-`. Default: `sse`.
   */
  readonly prefix?: string;
  /** Entries that the log keeps. Should be more than all topics' `maxHistorySize` together. Default: 100,000. */
  readonly maxLength?: number;
  /** Milliseconds that the log keeps an entry; should be at least `maxHistoryAge`. Default: 20 minutes. */
  readonly maxAge?: number;
  /** Bytes that the log keeps; `Infinity` for no limit but the server's. Default: `Infinity`. */
  readonly maxBytes?: number;
  /** Where the server keeps the log: `file` survives its restart, `memory` does not. For a new stream. Default: `file`. */
  readonly storage?: 'file' | 'memory';
  /** Servers of the cluster that keep the log, 1 to 5. For a new stream. Default: 1. */
  readonly replicas?: number;
  /** Milliseconds after which `publish` rejects when NATS does not answer. Default: 5,000. */
  readonly publishTimeout?: number;
  /** Entries that wait while NATS is away; what is beyond is dropped, logged and counted. Default: 10,000. */
  readonly maxPending?: number;
  /** The same in bytes. Default: 64 MiB. */
  readonly maxPendingBytes?: number;
  /**
   * Bytes of one entry in NATS, JSON with data, comment and metadata: larger ones are neither written nor read. What the
   * server takes (`max_payload`, 1 MiB unless configured) is a limit too. Default: 8 MiB.
   */
  readonly maxEntryBytes?: number;
}

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

/** Fills in the defaults. Throws a `TypeError` that names the option, its value, and what is allowed. */
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
