import type { Cursor, Position } from '../../protocol/cursor.js';
import type { Entry } from '../../protocol/entry.js';
import { BackplaneError } from '../backplane-error.js';
import type { Backplane, LogListener, Patience } from '../backplane.js';
import { CLOSE_PATIENCE, Outbox } from '../broker/outbox.js';
import { Readers } from '../broker/readers.js';
import { Links } from './connection.js';
import { millisOf, NatsLog } from './log.js';
import { type NatsBackplaneOptions, type ResolvedNatsOptions, resolveNatsOptions } from './options.js';
import { OwnAppends } from './own-appends.js';
import { NatsPresence } from './presence.js';
import { NatsReader } from './reader.js';
import { NatsSender } from './sender.js';
import { Subjects } from './subjects.js';

export type { NatsBackplaneOptions } from './options.js';

/**
 * The log in NATS JetStream, shared by all nodes with the same servers and `prefix`. NATS 2.9 or later with JetStream,
 * through `@nats-io/transport-node` and `@nats-io/jetstream` 3. Needs one connection per node.
 *
 * While NATS is away, streams stay open, `publish` rejects within `publishTimeout`, and what is broadcast waits, in
 * order, up to `maxPending`. What NATS has lost for good (a stream that was deleted, an older backup, a server without
 * its disk), clients are told with `sse.reset`. Throws a `TypeError` for options that make no sense.
 *
 * @example
 * SSEModule.forRoot({ backplane: new NatsBackplane({ servers: 'nats://localhost:4222', prefix: 'shop' }) });
 */
export class NatsBackplane implements Backplane {
  readonly kind = 'nats';
  readonly presence: NatsPresence;
  readonly #options: ResolvedNatsOptions;
  readonly #links: Links;
  readonly #log: NatsLog;
  readonly #ownAppends = new OwnAppends(() => this.#outbox.publisher);
  readonly #readers: Readers<NatsReader>;
  #outbox: Outbox;

  constructor(options: NatsBackplaneOptions = {}) {
    this.#options = resolveNatsOptions(options);
    this.#readers = new Readers(this.#options.publishTimeout);
    const subjects = new Subjects(this.#options.prefix);
    const presence = new NatsPresence(subjects);
    this.presence = presence;
    this.#links = new Links(options, (link) => presence.attach(link));
    this.#log = new NatsLog(subjects, this.#options, (message) => this.#readers.warn(message));
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
    await this.#readers.start(
      hub,
      (start) => new NatsReader(this.#links, this.#log, this.#ownAppends, hub, { ...start, up }),
    );
  }

  append(entry: Entry, patience: Patience): Promise<Cursor> {
    return this.#outbox.append(entry, patience);
  }

  async end(): Promise<Position> {
    try {
      const { last, lastNanos } = await this.#log.head(await this.#links.open());
      const read = this.#readers.first?.position;
      // Positions only grow, even if the clock of the server stepped back before the last entry.
      if (read && read.seq >= last) return read;
      return { ms: Math.max(millisOf(lastNanos), read?.ms ?? 0), seq: last };
    } catch (cause) {
      throw new BackplaneError('NATS did not say where the log ends', 'no', { cause });
    }
  }

  async close(hub: LogListener): Promise<void> {
    if (!this.#readers.has(hub)) return;
    const outbox = this.#outbox;
    const isLast = this.#readers.size === 1;
    // First, because it can only be sent while somebody reads.
    if (isLast) await outbox.close(CLOSE_PATIENCE);
    this.#readers.close(hub);
    if (this.#readers.size === 0) this.#links.drop();
    // Another hub has started meanwhile.
    else if (isLast && this.#outbox === outbox) this.#outbox = this.#makeOutbox();
  }

  #makeOutbox(): Outbox {
    const link = () => (this.#readers.up ? this.#links.current : undefined);
    const sender = new NatsSender({ log: this.#log, ownAppends: this.#ownAppends, link });
    return new Outbox(sender, { broker: 'NATS', memory: Infinity, ...this.#options });
  }
}
