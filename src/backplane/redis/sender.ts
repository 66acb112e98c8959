import type { Cursor } from '../../protocol/cursor.js';
import { BackplaneError } from '../backplane-error.js';
import { type Outgoing, Refused, type Sender } from '../broker/sender.js';
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

/** Errors by which a server, or a service in front of it, refuses this entry for its size, and always will. */
const TOO_LARGE = /^ERR .*(max request size|invalid bulk length|too large)/i;

/** Errors that operators need not hear of: they follow from another, or the next attempt mends them. */
const PASSING = /^(GAP|NOSCRIPT)/;

/** Milliseconds without a refusal after which the next one is worth a message. */
const QUIET = 60_000;

type Answers = readonly [Error | null, unknown][];

/** Appends to the log in Redis: a batch is one pipeline, and each entry in it one call of the script `APPEND`. */
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

  send(batch: readonly Outgoing[], oldest: number): readonly Promise<Cursor>[] {
    const answers = this.#sendAll(batch, oldest);
    return batch.map(async (_, i) => this.#cursorIn(await answers, i));
  }

  async #sendAll(batch: readonly Outgoing[], oldest: number): Promise<Answers> {
    const connection = this.connection.current;
    if (!connection) throw new BackplaneError('The connection to Redis is lost', 'no');
    try {
      return await this.#runScript(connection, batch, oldest);
    } catch (error) {
      // No answer: what is on its way there may still arrive, but whatever is sent from now on goes another way.
      if (this.connection.current === connection) this.connection.drop();
      throw error;
    }
  }

  async #runScript(connection: Connection, batch: readonly Outgoing[], oldest: number): Promise<Answers> {
    const { keys, options } = this.log;
    const limits = [options.maxLength, options.maxAge, REMEMBERED];
    const pipeline = connection.pipeline();
    for (const { uid, text, n, after } of batch) {
      const places = [keys.log, keys.head, keys.publisher(publisherOf(uid))] as const;
      const jump = Math.floor(Math.random() * JUMP);
      const args = [...places, text, n, after, oldest, randomEpoch(), jump, ...limits];
      if (this.#introducedTo === connection) pipeline.evalsha(APPEND.sha, places.length, ...args);
      else pipeline.eval(APPEND.text, places.length, ...args);
      this.#introducedTo = connection;
    }
    return (await withTimeout(pipeline.exec(), COMMAND_TIMEOUT, 'Redis')) ?? [];
  }

  #cursorIn(answers: Answers, i: number): Cursor {
    const [error, place] = answers[i] ?? [new Error('Redis did not answer'), undefined];
    if (error) throw this.#failureOf(error);
    const [epoch = '', id = ''] = String(place).split(' ');
    const position = parseId(id);
    if (position) return { epoch, position };
    throw new Refused(`The stream ${this.log.keys.log} in Redis is at ${id}, beyond exact numbers`, 'unknown');
  }

  #failureOf(error: Error): BackplaneError {
    if (!isReplyError(error))
      return new BackplaneError(`The connection to Redis was lost: ${error.message}`, 'unknown');
    const message = messageOfReply(error);
    if (message.startsWith('STALE')) return new Refused(message, 'no');
    if (TOO_LARGE.test(message)) return new Refused(`Redis refuses it: ${message}`, 'no');
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

/** The publisher of an entry: an outbox that is being closed may still send beside the one that comes after it. */
function publisherOf(uid: string): string {
  return uid.slice(0, uid.lastIndexOf('-'));
}
