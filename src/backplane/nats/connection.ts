import { type JetStreamClient, type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { connect, type NatsConnection, type Status } from '@nats-io/transport-node';

import { SharedConnection } from '../broker/shared-connection.js';
import { withTimeout } from '../broker/with-timeout.js';
import type { NatsBackplaneOptions } from './options.js';

/** Milliseconds that connecting may take, with the handshake. */
const CONNECT_TIMEOUT = 4_000;
/**
 * Milliseconds after which what NATS should answer at once will not be answered. A server says nothing to what comes
 * while it deletes a stream, so there has to be time for another attempt within the usual `publishTimeout`.
 */
export const ANSWER_TIMEOUT = 3_000;

/** What the client says of a connection that will not hold. */
const LOST: ReadonlySet<Status['type']> = new Set(['disconnect', 'staleConnection', 'close']);

/** A connection to NATS, as long as it holds: when it breaks, the next is another. */
export class Connection {
  readonly js: JetStreamClient;
  /** Settles when the connection is lost, or abandoned. */
  readonly lost: Promise<Error>;
  readonly #changes: AsyncIterable<Status> & { stop(): void };
  #isLost = false;
  #lose: (error: Error) => void = () => {};

  constructor(
    readonly nc: NatsConnection,
    readonly jsm: JetStreamManager,
  ) {
    this.js = jsm.jetstream();
    this.lost = new Promise((resolve) => (this.#lose = resolve));
    this.#changes = nc.status() as AsyncIterable<Status> & { stop(): void };
    void this.#watch().finally(() => this.#end());
  }

  get alive(): boolean {
    return !this.#isLost && !this.nc.isClosed();
  }

  /** Counts as lost from now on, whatever becomes of it: nobody here uses it any more. */
  abandon(): void {
    this.#changes.stop();
    this.#end();
  }

  async #watch(): Promise<void> {
    for await (const { type } of this.#changes) if (LOST.has(type)) this.#end();
  }

  #end(): void {
    this.#isLost = true;
    this.#lose(new Error('the connection to NATS was lost'));
  }
}

/** The connection for everything, the application's where one was handed in. */
export function shareConnection(
  options: NatsBackplaneOptions,
  onOpen?: (connection: Connection) => void,
): SharedConnection<Connection> {
  // Not waited for: closing needs an answer of the server, which may be what is missing.
  const close = (nc: NatsConnection): void => {
    if (!options.connection) nc.close().catch(() => {});
  };
  const open = async (): Promise<Connection> => {
    const nc = options.connection ?? (await connectTo(options));
    try {
      // One that was handed in may just be looking for its server.
      await withTimeout(nc.flush(), ANSWER_TIMEOUT, 'NATS');
      const { domain } = options;
      const where = domain === undefined ? {} : { domain };
      return new Connection(nc, await jetstreamManager(nc, { checkAPI: false, timeout: ANSWER_TIMEOUT, ...where }));
    } catch (error) {
      close(nc);
      throw error;
    }
  };
  return new SharedConnection(
    {
      open,
      isAlive: ({ alive }) => alive,
      close: (connection) => {
        connection.abandon();
        close(connection.nc);
      },
    },
    onOpen,
  );
}

/**
 * The client must neither connect again by itself nor keep for later what is published meanwhile: then nobody could tell
 * what became of an append.
 */
function connectTo({ servers, options }: NatsBackplaneOptions): Promise<NatsConnection> {
  const own = { reconnect: false, timeout: CONNECT_TIMEOUT, waitOnFirstConnect: false };
  const where = servers === undefined ? {} : { servers: [servers].flat() };
  // A stack trace for every request would cost more than the request.
  return connect({ name: 'nestjs-sse-hub', noAsyncTraces: true, ...options, ...where, ...own });
}
