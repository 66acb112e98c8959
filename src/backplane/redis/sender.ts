import type { Cursor } from '../../protocol/cursor.js';
import { BackplaneError, messageOf } from '../backplane-error.js';
import type { Batch } from '../broker/batch.js';
import { Refused, type Sender, TooLarge } from '../broker/sender.js';
import type { SharedConnection } from '../broker/shared-connection.js';
import { withTimeout } from '../broker/with-timeout.js';
import { randomEpoch } from '../epoch.js';
import type { Connection } from './connection.js';
import { parseId } from './keys.js';
import { COMMAND_TIMEOUT, isReplyError, messageOfReply, type RedisLog } from './log.js';
import { APPEND } from './script.js';

/** How long a publisher's appends are remembered after the last one. */
const REMEMBERED = 24 * 60 * 60_000;
/** For this long they may be repeated: well before they are forgotten. */
export const MAY_REPEAT = REMEMBERED / 2;

/** Sequence numbers that may be jumped over within one millisecond; see `APPEND`. */
const JUMP = 2 ** 20;

/** Errors by which a server, or a service in front of it, refuses this batch for its size, and always will. */
const TOO_LARGE = /^ERR .*(max request size|invalid bulk length|too large)/i;

/** Errors that operators need not hear of: the next attempt mends them. */
const PASSING = /^NOSCRIPT/;

/** Milliseconds without a refusal after which the next one is worth a message. */
const QUIET = 60_000;

/** Appends to the log in Redis: a batch is one call of the script `APPEND`. */
export class RedisSender implements Sender {
  /** The connection that has been sent the text of the script, so its name will do. */
  #introducedTo: Connection | undefined;
  #refusedAt = -Infinity;

  constructor(
    private readonly log: RedisLog,
    private readonly connection: SharedConnection<Connection>,
  ) {}

  async open(): Promise<void> {
    await this.connection.open();
  }

  async send(batch: Batch): Promise<Cursor> {
    const connection = this.connection.current;
    if (!connection) throw new BackplaneError('The connection to Redis is lost', 'no');
    try {
      return this.#cursorIn(await this.#runScript(connection, batch));
    } catch (error) {
      if (error instanceof BackplaneError) throw error;
      if (isReplyError(error)) throw this.#refusalOf(error);
      // No answer: what is on its way there may still arrive, but whatever is sent from now on goes another way.
      if (this.connection.current === connection) this.connection.drop();
      throw new BackplaneError(`The connection to Redis was lost: ${messageOf(error)}`, 'unknown');
    }
  }

  #runScript(connection: Connection, { uid, n, count, text }: Batch): Promise<unknown> {
    const { keys, options } = this.log;
    const places = [keys.log, keys.head, keys.marks, keys.publisher(publisherOf(uid))] as const;
    const jump = Math.floor(Math.random() * JUMP);
    const limits = [options.maxLength, options.maxAge, REMEMBERED];
    const args = [...places, text, count, n, randomEpoch(), jump, ...limits];
    const isKnown = this.#introducedTo === connection;
    this.#introducedTo = connection;
    const answer = isKnown
      ? connection.evalsha(APPEND.sha, places.length, ...args)
      : connection.eval(APPEND.text, places.length, ...args);
    return withTimeout(answer, COMMAND_TIMEOUT, 'Redis');
  }

  #cursorIn(place: unknown): Cursor {
    const [epoch = '', id = ''] = String(place).split(' ');
    const position = parseId(id);
    if (position) return { epoch, position };
    throw new Refused(`The stream ${this.log.keys.log} in Redis is at ${id}, beyond exact numbers`, 'unknown');
  }

  #refusalOf(error: Error): BackplaneError {
    const message = messageOfReply(error);
    if (message.startsWith('STALE')) return new Refused(message, 'no');
    if (TOO_LARGE.test(message)) return new TooLarge(`Redis refuses it: ${message}`, 'no');
    if (!PASSING.test(message)) this.#warnOnce(message);
    if (message.startsWith('NOSCRIPT')) this.#introducedTo = undefined;
    // A replica, or a node that is not ready: another connection finds the one that is in charge.
    if (/^(READONLY|MASTERDOWN|LOADING|CLUSTERDOWN)/.test(message)) this.connection.drop();
    return new BackplaneError(`Redis refuses it: ${message}`, 'no');
  }

  /** Tells operators once for all refusals in a row. */
  #warnOnce(message: string): void {
    const now = performance.now();
    const isNew = now - this.#refusedAt > QUIET;
    this.#refusedAt = now;
    if (!isNew) return;
    this.log.warn(`Redis refuses what is published (${message}). What is broadcast waits; it is tried again.`);
  }
}

/** The publisher of a batch: an outbox that is being closed may still send beside the one that comes after it. */
function publisherOf(uid: string): string {
  return uid.slice(0, uid.lastIndexOf('-'));
}
