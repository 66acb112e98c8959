import { type Cluster, Redis, type RedisOptions } from 'ioredis';

import { SharedConnection } from '../broker/shared-connection.js';
import { withTimeout } from '../broker/with-timeout.js';
import type { RedisBackplaneOptions } from './options.js';

/** Milliseconds that connecting may take, with the handshake. */
const CONNECT_TIMEOUT = 4_000;

/**
 * What the backplane needs, whatever the application's options say. A connection that breaks is never mended: whoever uses
 * it opens another, and knows what has to be sent again. ioredis must neither keep commands for later nor send them twice,
 * because then nobody could tell what became of an append.
 */
const OWN: RedisOptions = {
  lazyConnect: true,
  retryStrategy: null,
  sentinelRetryStrategy: () => null,
  disconnectTimeout: 100,
  maxRetriesPerRequest: null,
  enableOfflineQueue: false,
  autoResendUnfulfilledCommands: false,
  enableAutoPipelining: false,
  reconnectOnError: null,
  stringNumbers: false,
  // The replies of one protocol, whatever the version of ioredis.
  protocol: 2,
  connectTimeout: CONNECT_TIMEOUT,
  // The application's are for commands that are answered at once. Every answer is waited for with a limit of its own.
  commandTimeout: undefined,
  socketTimeout: undefined,
  blockingTimeout: undefined,
};

export type Connection = Redis | Cluster;

/** Answers with a connection that is ready, or rejects within some seconds. */
export type Open = (name: string) => Promise<Connection>;

/** The connection for everything but reading, which needs one of its own because it blocks. */
export function shareConnection(open: () => Promise<Connection>): SharedConnection<Connection> {
  return new SharedConnection({
    open,
    isAlive: ({ status }) => status === 'ready',
    close: (connection) => connection.disconnect(),
  });
}

/** Opens connections as these options say. */
export function openerOf({ url, options, client }: RedisBackplaneOptions): Open {
  const given = options ?? (client as Redis | undefined)?.options;
  /** In the order in which they are asked: one that does not answer takes all the time that there is to connect. */
  let sentinels = given?.sentinels ?? [];
  const make = (connectionName: string): Connection => {
    const own: RedisOptions = { ...OWN, connectionName };
    if (sentinels.length > 0) {
      own.sentinels = sentinels;
      own.sentinelCommandTimeout = given?.sentinelCommandTimeout ?? CONNECT_TIMEOUT;
    }
    // What a URL says in its query is above what stands beside it, but not above what a duplicate is given.
    if (url !== undefined) return new Redis(url, { ...options, ...own }).duplicate(own);
    if (!client) return new Redis({ ...options, ...own });
    if (!client.isCluster) return (client as Redis).duplicate(own);
    // A cluster opens the connections to its nodes itself, so commands have to wait for that; none is sent twice.
    const { lazyConnect, enableOfflineQueue: _, ...ownOfNodes } = own;
    // ioredis 5 does not merge them.
    const redisOptions = { ...(client as Cluster).options.redisOptions, ...ownOfNodes };
    const ofCluster = { lazyConnect, scaleReads: 'master', retryDelayOnFailover: 0 } as const;
    return (client as Cluster).duplicate([], { ...ofCluster, clusterRetryStrategy: () => null, redisOptions });
  };
  return async (name) => {
    const asked = sentinels;
    const connection = make(name);
    let failure: Error | undefined;
    // What goes wrong is told by the commands that fail. Without a listener ioredis would print it.
    connection.on('error', (error: Error) => {
      failure = error;
    });
    try {
      await withTimeout(connection.connect(), CONNECT_TIMEOUT, 'connecting to Redis');
      return connection;
    } catch (error) {
      connection.disconnect();
      // Once for all attempts that were made in this order, or two at a time would pass over one.
      if (sentinels === asked) sentinels = [...asked.slice(1), ...asked.slice(0, 1)];
      throw failure ?? error;
    }
  };
}
