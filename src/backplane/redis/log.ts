import { randomBytes } from 'node:crypto';

import type { Position } from '../../protocol/cursor.js';
import { BackplaneError } from '../backplane-error.js';
import { withTimeout } from '../broker/with-timeout.js';
import type { Connection, Open } from './connection.js';
import type { Evidence } from './entry.js';
import { formatId, Keys, parseId } from './keys.js';
import type { ResolvedRedisOptions } from './options.js';
import { BEGIN, EVIDENCE, RENEW, type Script } from './script.js';

/** Milliseconds after which a command that Redis should answer at once will not be answered. */
export const COMMAND_TIMEOUT = 4_000;

/** Where the log stands: its life, and its last entry. */
export interface Head {
  readonly epoch: string;
  readonly last: Position;
  /** Where the life began: what is before that may be of earlier ones. */
  readonly since: Position;
}

/** No waiting will mend it: the operator has to allow something. */
export class MissingRight extends BackplaneError {}

export function randomEpoch(): string {
  return BigInt(`0x${randomBytes(10).toString('hex')}`).toString(36);
}

/** The log in Redis: what is beside the stream. */
export class RedisLog {
  readonly keys: Keys;

  constructor(
    readonly open: Open,
    readonly options: ResolvedRedisOptions,
    readonly warn: (message: string) => void,
  ) {
    this.keys = new Keys(options.prefix);
  }

  /** Where the log stands, or `undefined` when there is none: it was never begun, or flushed. */
  async head(connection: Connection): Promise<Head | undefined> {
    return headOf(await ask(connection.hmget(this.keys.head, 'epoch', 'last', 'since')));
  }

  /** Where the log stands; one that has not begun does now. Throws `MissingRight` when this user may not run scripts. */
  async begin(connection: Connection): Promise<Head> {
    const head = headOf((await this.#run(connection, BEGIN, randomEpoch())) as (string | null)[]);
    if (!head) throw new Error(`the stream ${this.keys.log} is beyond exact numbers; delete it`);
    return head;
  }

  /** What the log says of an entry, and of the one that was read before it. */
  async evidenceOf(connection: Connection, position: Position, last: Position = position): Promise<Evidence> {
    const answers = await this.#run(connection, EVIDENCE, formatId(position), formatId(last));
    const [isOurs, hasLast] = (answers as number[]).map((answer) => answer === 1);
    return { isOurs: isOurs!, hasLast: hasLast! };
  }

  /** Ends this life of the log, unless it is over: entries that were handed out are gone. */
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

/** An answer that says no. */
interface ReplyError extends Error {
  readonly name: 'ReplyError';
}

function ask<T>(answer: Promise<T>): Promise<T> {
  return withTimeout(answer, COMMAND_TIMEOUT, 'Redis');
}

export function isReply(error: unknown): error is ReplyError {
  return error instanceof Error && error.name === 'ReplyError';
}

/** What Redis says; before version 7 it puts where in a script something was refused before that. */
export function messageOfReply({ message }: Error): string {
  return message.replace(/^.*@user_script: ?\d+: -?/, '');
}

function isForbidden(error: unknown): boolean {
  return isReply(error) && /^NOPERM .*\beval|unknown command .*eval/i.test(error.message);
}
