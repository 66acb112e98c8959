import type { Position } from '../../protocol/cursor.js';
import { MissingRight } from '../broker/broker-reader.js';
import { withTimeout } from '../broker/with-timeout.js';
import { randomEpoch } from '../epoch.js';
import type { Connection } from './connection.js';
import type { Evidence } from './entry.js';
import { formatId, Keys, parseId } from './keys.js';
import type { ResolvedRedisOptions } from './options.js';
import { BEGIN, EVIDENCE, RENEW, type Script } from './script.js';

/** Milliseconds after which a command that Redis should answer at once will not be answered. */
export const COMMAND_TIMEOUT = 4_000;

/** Where the log stands: its epoch, and its last entry. */
export interface Head {
  readonly epoch: string;
  readonly last: Position;
  /** Where the epoch began: what is before that may be of earlier ones. */
  readonly since: Position;
}

/** The log in Redis: a stream, and beside it a hash with its epoch and where it ends. */
export class RedisLog {
  readonly keys: Keys;

  constructor(
    readonly options: ResolvedRedisOptions,
    readonly warn: (message: string) => void,
  ) {
    this.keys = new Keys(options.prefix);
  }

  /** Where the log stands; one that has not begun does now. Rejects with `MissingRight` when this user may not run scripts. */
  async head(connection: Connection): Promise<Head> {
    const head = headOf((await this.#run(connection, BEGIN, randomEpoch())) as (string | null)[]);
    if (!head) throw new Error(`the stream ${this.keys.log} is beyond exact numbers; delete it`);
    return head;
  }

  /** Where the log stands, or `undefined` when there is none: it was never begun, or flushed. */
  async headIfBegun(connection: Connection): Promise<Head | undefined> {
    return headOf(await ask(connection.hmget(this.keys.head, 'epoch', 'last', 'since')));
  }

  /** What the log says of an entry, and of the one that was read before it. */
  async evidenceOf(connection: Connection, position: Position, last: Position = position): Promise<Evidence> {
    const answers = await this.#run(connection, EVIDENCE, formatId(position), formatId(last));
    const [isOurs, hasLast] = (answers as number[]).map((answer) => answer === 1);
    return { isOurs: isOurs!, hasLast: hasLast! };
  }

  /** Ends this epoch of the log, unless it is over: entries that were handed out in it are gone. */
  async renew(connection: Connection, epoch: string): Promise<void> {
    await this.#run(connection, RENEW, epoch, randomEpoch());
  }

  async #run(connection: Connection, { text }: Script, ...args: string[]): Promise<unknown> {
    try {
      return await ask(connection.eval(text, 2, this.keys.log, this.keys.head, ...args));
    } catch (cause) {
      if (!isForbidden(cause)) throw cause;
      const { message } = cause as Error;
      throw new MissingRight(
        `RedisBackplane needs the right to run scripts, which this user of Redis has not (${message}). Allow it EVAL ` +
          `and EVALSHA on every node, as with ACL SETUSER <user> +eval +evalsha.`,
        'no',
        { cause },
      );
    }
  }
}

function headOf([epoch, ...ids]: readonly (string | null)[]): Head | undefined {
  const [last, since] = ids.map((id) => parseId(id ?? ''));
  return epoch && last && since ? { epoch, last, since } : undefined;
}

/** An error that Redis has answered with, other than one of the connection. */
interface ReplyError extends Error {
  readonly name: 'ReplyError';
}

function ask<T>(answer: Promise<T>): Promise<T> {
  return withTimeout(answer, COMMAND_TIMEOUT, 'Redis');
}

export function isReplyError(error: unknown): error is ReplyError {
  return error instanceof Error && error.name === 'ReplyError';
}

/** What Redis says; before version 7 it puts where in a script something was refused before that. */
export function messageOfReply({ message }: Error): string {
  return message.replace(/^.*@user_script: ?\d+: -?/, '');
}

function isForbidden(error: unknown): boolean {
  return isReplyError(error) && /^NOPERM .*\beval|unknown command .*eval/i.test(error.message);
}
