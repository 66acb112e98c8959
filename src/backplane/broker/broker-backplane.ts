import type { Cursor, Position } from '../../protocol/cursor.js';
import type { Entry } from '../../protocol/entry.js';
import { BackplaneError } from '../backplane-error.js';
import type { Backplane, LogListener, Patience } from '../backplane.js';
import type { Presence } from '../presence.js';
import { Outbox, type OutboxOptions } from './outbox.js';
import type { ReachabilityListener } from './reachability.js';
import { type HubReader, Readers } from './readers.js';
import type { Sender } from './sender.js';

/** Milliseconds that closing waits for entries which are still on their way. */
const CLOSE_PATIENCE = 1_000;

/** One broker's side of a backplane. */
export interface Broker {
  readonly presence: Presence;
  /** Appends for one outbox. */
  makeSender(): Sender;
  /** Reads for one hub. */
  makeReader(hub: LogListener, listener: ReachabilityListener): HubReader;
  /** The position of the log's last entry, asked of the log itself. */
  end(): Promise<Position>;
  /** Closes what is shared by all hubs. Whoever needs it afterwards opens it again. */
  disconnect(): void;
}

/** A backplane whose log is in a broker: the entries of all its hubs leave by one outbox, and each hub has its reader. */
export abstract class BrokerBackplane implements Backplane {
  abstract readonly kind: string;
  readonly presence: Presence;
  readonly #options: OutboxOptions;
  readonly #readers: Readers;
  readonly #broker: Broker;
  #outbox: Outbox;

  constructor(options: OutboxOptions, makeBroker: (readers: Readers) => Broker) {
    this.#options = options;
    this.#readers = new Readers(options.publishTimeout);
    this.#broker = makeBroker(this.#readers);
    this.presence = this.#broker.presence;
    this.#outbox = this.#makeOutbox();
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
    await this.#readers.start(hub, (start) => this.#broker.makeReader(hub, { ...start, up }));
  }

  append(entry: Entry, patience: Patience): Promise<Cursor> {
    return this.#outbox.append(entry, patience);
  }

  async end(): Promise<Position> {
    try {
      return await this.#broker.end();
    } catch (cause) {
      throw new BackplaneError(`${this.#options.broker} did not say where the log ends`, 'no', { cause });
    }
  }

  async close(hub: LogListener): Promise<void> {
    if (!this.#readers.has(hub)) return;
    const outbox = this.#outbox;
    const isLast = this.#readers.size === 1;
    // Before the reader, because with some brokers nothing can be sent while nobody reads.
    if (isLast) await outbox.close(CLOSE_PATIENCE);
    this.#readers.close(hub);
    if (this.#readers.size === 0) this.#broker.disconnect();
    // Another hub has started meanwhile.
    else if (isLast && this.#outbox === outbox) this.#outbox = this.#makeOutbox();
  }

  #makeOutbox(): Outbox {
    return new Outbox(this.#broker.makeSender(), this.#options);
  }
}
