import type { Msg } from '@nats-io/transport-node';

import type { Cursor } from '../../protocol/cursor.js';
import { BackplaneError, messageOf } from '../backplane-error.js';
import type { Batch } from '../broker/batch.js';
import { Refused, type Sender, TooLarge } from '../broker/sender.js';
import { withTimeout } from '../broker/with-timeout.js';
import { ANSWER_TIMEOUT, type Connection } from './connection.js';
import type { NatsLog } from './log.js';
import { headersOf } from './message.js';
import type { OwnAppends } from './own-appends.js';

/** https://github.com/nats-io/nats-server/blob/main/server/errors.json: more bytes than the stream takes. */
const MESSAGE_TOO_LARGE = 10_054;

/** What a message has beside its entries: the protocol line, its headers, what is around them. */
const OVERHEAD = 512;

/** What JetStream answers to an append. */
interface Answer {
  readonly error?: { readonly err_code?: number; readonly description?: string };
  readonly seq?: number;
}

type Reject = (error: BackplaneError) => void;

/**
 * Appends to the log in NATS: a message for each batch, and no other before NATS has answered. What it has answered for is
 * settled when this node has read it.
 */
export class NatsSender implements Sender {
  /** What is not settled, on the present connection. */
  readonly #attempts = new Set<Reject>();
  #connection: Connection | undefined;

  /**
   * @param connection The connection, once this node has read everything that was stored while there was none: so an
   *   append that was on its way when one broke has been looked for in the log before it is sent again, however long that
   *   took.
   */
  constructor(
    private readonly log: NatsLog,
    private readonly ownAppends: OwnAppends,
    private readonly connection: () => Connection | undefined,
  ) {}

  open(): Promise<void> {
    if (this.connection()) return Promise.resolve();
    return Promise.reject(new BackplaneError('NATS cannot be reached', 'no'));
  }

  async send(batch: Batch, stored: () => void): Promise<Cursor> {
    const known = this.ownAppends.find(batch.uid);
    if (known) return known;
    const connection = this.connection();
    if (!connection) throw new BackplaneError('NATS cannot be reached', 'no');
    this.#assertFits(batch, connection);
    this.#assertInTime(batch);
    this.#watch(connection);
    let attempt: Reject;
    try {
      return await new Promise((resolve, reject: Reject) => {
        this.#attempts.add((attempt = reject));
        // What is read before the answer comes is settled as well.
        this.ownAppends.wait(batch, resolve);
        this.#append(connection, batch).then((message) => {
          if (!this.#attempts.has(attempt)) return;
          this.ownAppends.answered(batch.uid, message);
          stored();
        }, reject);
      });
    } catch (error) {
      this.ownAppends.failed(batch.uid, (error as BackplaneError).stored);
      throw error;
    } finally {
      this.#attempts.delete(attempt!);
    }
  }

  #assertFits({ count, bytes }: Batch, { nc }: Connection): void {
    const limit = nc.info?.max_payload ?? Infinity;
    if (bytes + count + OVERHEAD <= limit) return;
    throw new TooLarge(`The entry is ${bytes} bytes; the max_payload of the NATS server is ${limit}.`, 'no');
  }

  /** What was not found in the log must not get there for the second time. For so long NATS certainly remembers its ID. */
  #assertInTime({ uid }: Batch): void {
    const { ownAppends, log } = this;
    const doubt = ownAppends.doubtAbout(uid);
    if (!doubt || performance.now() - doubt.since <= log.duplicateWindow / 2) return;
    if (ownAppends.hasMissedSince(doubt.since)) {
      throw new Refused('What the log in NATS got meanwhile is gone, and may have held the entry', 'unknown');
    }
    if (!ownAppends.hasReadSince(doubt.last)) {
      throw new Refused('This node reads too far behind the log in NATS to tell whether it has the entry', 'unknown');
    }
  }

  /** When the connection is lost, all fails, also what was answered: a server that is back may have lost it. */
  #watch(connection: Connection): void {
    if (this.#connection === connection) return;
    this.#connection = connection;
    void connection.lost.then(({ message }) => {
      if (this.#connection !== connection) return;
      this.#connection = undefined;
      for (const reject of this.#attempts) reject(unknown(message));
    });
  }

  /** Answers with the sequence of the message. */
  async #append({ nc }: Connection, batch: Batch): Promise<number> {
    let message: Msg;
    try {
      const options = { headers: headersOf(batch), timeout: 2 * ANSWER_TIMEOUT };
      message = await withTimeout(nc.request(this.log.subjects.log, batch.text, options), ANSWER_TIMEOUT, 'NATS');
    } catch (error) {
      throw asBackplaneError(error);
    }
    const { error, seq } = message.json<Answer>();
    if (error) {
      const Kind = error.err_code === MESSAGE_TOO_LARGE ? TooLarge : BackplaneError;
      throw new Kind(`NATS refuses it: ${error.description}`, 'no');
    }
    if (seq === undefined) throw unknown('NATS answers with nonsense');
    return seq;
  }
}

/** By their names: a connection that was handed in may be of another copy of the client. */
function asBackplaneError(error: unknown): BackplaneError {
  const { cause } = error as Error;
  const { name, message } = (cause ?? {}) as Partial<Error>;
  if (name === 'NoRespondersError') return new BackplaneError('NATS has nobody who keeps the log', 'no', { cause });
  if (name === 'PermissionViolationError') return new BackplaneError(`NATS refuses it: ${message}`, 'no', { cause });
  return unknown(messageOf(error), error);
}

function unknown(message: string, cause?: unknown): BackplaneError {
  return new BackplaneError(message, 'unknown', { cause });
}
