import { type JetStreamClient, type JetStreamManager, jetstreamManager } from '@nats-io/jetstream';
import { connect, type NatsConnection, type Status } from '@nats-io/transport-node';

import { withTimeout } from '../broker/with-timeout.js';
import type { NatsBackplaneOptions } from './options.js';

/** Milliseconds, with the handshake. */
const CONNECT_TIMEOUT = 4_000;
/**
 * Milliseconds after which what NATS should answer at once will not be answered. A server says nothing to what comes
 * while it deletes a stream, so there has to be time for another attempt within the usual `publishTimeout`.
 */
export const ANSWER_TIMEOUT = 3_000;

const LOST: ReadonlySet<Status['type']> = new Set(['disconnect', 'staleConnection', 'close']);

/** One connection, one life: when it breaks there will be another, and what was sent on it may have to be sent again. */
export class Link {
  readonly js: JetStreamClient;
  /** Settles when the connection is lost, or of no use. */
  readonly lost: Promise<Error>;
  #alive = true;
  #lose: (error: Error) => void = () => {};

  constructor(
    readonly nc: NatsConnection,
    readonly jsm: JetStreamManager,
  ) {
    this.js = jsm.jetstream();
    this.lost = new Promise((resolve) => (this.#lose = resolve));
  }

  get alive(): boolean {
    return this.#alive && !this.nc.isClosed();
  }

  lose(): void {
    this.#alive = false;
    this.#lose(new Error('the connection to NATS was lost'));
  }
}

/** Opens connections, one at a time, shared by all who use the log in this process. */
export class Links {
  #current: Link | undefined;
  #opening: Promise<Link> | undefined;
  #unwatch: (() => void) | undefined;
  /** Counts connections, to tell whether one that opens late is still wanted. */
  #life = 0;

  constructor(
    private readonly options: NatsBackplaneOptions,
    private readonly onOpen: (link: Link) => void,
  ) {}

  /** The connection, if there is one. */
  get current(): Link | undefined {
    return this.#current?.alive ? this.#current : undefined;
  }

  /** Answers with a connection that works, or rejects within some seconds. */
  open(): Promise<Link> {
    if (this.current) return Promise.resolve(this.current);
    this.#opening ??= this.#open();
    return this.#opening;
  }

  /** Lets go of the connection, also of one that is just being opened; one of the application's stays open. */
  drop(): void {
    this.#life++;
    const link = this.#current;
    this.#current = undefined;
    this.#opening = undefined;
    this.#unwatch?.();
    this.#unwatch = undefined;
    if (!link) return;
    link.lose();
    this.#close(link.nc);
  }

  // Closing waits for a server that may not answer; nobody here needs to.
  #close(nc: NatsConnection): void {
    if (!this.options.connection) nc.close().catch(() => {});
  }

  async #open(): Promise<Link> {
    this.drop();
    const life = this.#life;
    try {
      const nc = this.options.connection ?? (await this.#connect());
      const link = await this.#try(nc);
      if (life !== this.#life) {
        this.#close(nc);
        throw new Error('the connection to NATS is not needed any more');
      }
      this.#current = link;
      this.#watch(link);
      this.onOpen(link);
      return link;
    } finally {
      if (life === this.#life) this.#opening = undefined;
    }
  }

  async #try(nc: NatsConnection): Promise<Link> {
    const { domain } = this.options;
    try {
      // One that was handed in may just be looking for its server.
      await withTimeout(nc.flush(), ANSWER_TIMEOUT, 'NATS');
      const where = domain === undefined ? {} : { domain };
      return new Link(nc, await jetstreamManager(nc, { checkAPI: false, timeout: ANSWER_TIMEOUT, ...where }));
    } catch (error) {
      this.#close(nc);
      throw error;
    }
  }

  #watch(link: Link): void {
    const changes = link.nc.status() as AsyncIterable<Status> & { stop(): void };
    this.#unwatch = () => changes.stop();
    const watch = async (): Promise<void> => {
      for await (const { type } of changes) if (LOST.has(type)) link.lose();
    };
    void watch().finally(() => link.lose());
  }

  /**
   * The client must neither connect again by itself nor keep for later what is published meanwhile: then nobody could
   * tell what became of an append.
   */
  #connect(): Promise<NatsConnection> {
    const { servers, options } = this.options;
    const own = { reconnect: false, timeout: CONNECT_TIMEOUT, waitOnFirstConnect: false };
    const where = servers === undefined ? {} : { servers: [servers].flat() };
    // A stack trace for every request would cost more than the request.
    return connect({ name: 'nestjs-sse-hub', noAsyncTraces: true, ...options, ...where, ...own });
  }
}
