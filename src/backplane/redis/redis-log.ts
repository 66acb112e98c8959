import { randomBytes } from 'node:crypto';

import { ORIGIN, type Position } from '../../protocol/cursor.js';
import { within } from '../within.js';
import type { Connection, Open } from './connection.js';
import { Keys, parseId } from './keys.js';
import type { ResolvedRedisOptions } from './options.js';
import { BEGIN, RENEW, type Script } from './script.js';

/** Milliseconds after which a command that Redis should answer at once will not be answered. */
export const COMMAND_TIMEOUT = 4_000;

const BATCH = 1_000;

/** Where the log stands: its life, and its last entry. */
export interface Head {
  readonly epoch: string;
  readonly last: Position;
}

export function randomEpoch(): string {
  return BigInt(`0x${randomBytes(10).toString('hex')}`).toString(36);
}

/** The log in Redis: what is beside the stream, and whether scripts may be run. */
export class RedisLog {
  readonly keys: Keys;
  #scripts = true;

  constructor(
    readonly open: Open,
    readonly options: ResolvedRedisOptions,
    readonly warn: (message: string) => void,
  ) {
    this.keys = new Keys(options.prefix);
  }

  /** Whether this user may run scripts, as far as is known. */
  get scripts(): boolean {
    return this.#scripts;
  }

  /** Takes note when an error says that scripts may not be run, and answers whether it does. */
  noteRights(error: unknown): boolean {
    if (!isForbidden(error)) return false;
    if (this.#scripts) {
      this.warn(
        `This user of Redis may not run scripts (${(error as Error).message}), so events are added without one: an ` +
          'event whose answer was lost may be stored twice or out of order, and nobody may notice that events were ' +
          'trimmed before a node read them, or that a replica lacked them. Allow EVAL and EVALSHA on every node.',
      );
    }
    this.#scripts = false;
    return true;
  }

  /** Where the log stands, or `undefined` when there is none: it was never begun, or flushed. */
  async head(connection: Connection): Promise<Head | undefined> {
    const [epoch, last] = await ask(connection.hmget(this.keys.head, 'epoch', 'last'));
    if (!epoch) return undefined;
    if (last) return { epoch, last: parseId(last) ?? ORIGIN };
    return { epoch, last: await this.#topOfStream(connection) };
  }

  /** Where the log stands; one that has not begun does now. */
  async begin(connection: Connection): Promise<Head> {
    const known = await this.head(connection);
    if (known) return known;
    const epoch = randomEpoch();
    try {
      if (this.#scripts) await this.#run(connection, BEGIN, epoch);
    } catch (error) {
      if (!this.noteRights(error)) throw error;
    }
    // Without the entry's ID beside it: nobody could keep that right without a script.
    if (!this.#scripts) await ask(connection.hsetnx(this.keys.head, 'epoch', epoch));
    return (await this.head(connection)) ?? { epoch, last: ORIGIN };
  }

  /** Topics that are closed, with the time when they were, oldest first. */
  async closed(connection: Connection): Promise<[topic: string, ms: number][]> {
    const closed = new Map<string, number>();
    let cursor = '0';
    do {
      // Ranks move while others open topics; a scan passes over nothing that stays.
      const [next, some] = await ask(connection.zscan(this.keys.closed, cursor, 'COUNT', BATCH));
      for (let i = 0; i + 1 < some.length; i += 2) closed.set(some[i]!, Number(some[i + 1]));
      cursor = next;
    } while (cursor !== '0');
    return [...closed].sort(([, a], [, b]) => a - b);
  }

  /** Ends this life of the log, unless it is over: entries that were handed out in it are gone. */
  async renew(connection: Connection, epoch: string): Promise<void> {
    try {
      if (this.#scripts) await this.#run(connection, RENEW, epoch, randomEpoch());
    } catch (error) {
      if (!this.noteRights(error)) throw error;
    }
    if (this.#scripts) return;
    if ((await ask(connection.hget(this.keys.head, 'epoch'))) !== epoch) return;
    await ask(connection.hdel(this.keys.head, 'last'));
    await ask(connection.hset(this.keys.head, 'epoch', randomEpoch()));
  }

  async #topOfStream(connection: Connection): Promise<Position> {
    const [newest] = await ask(connection.xrevrange(this.keys.log, '+', '-', 'COUNT', 1));
    return (newest && parseId(newest[0])) ?? ORIGIN;
  }

  #run(connection: Connection, { text }: Script, ...args: string[]): Promise<unknown> {
    return ask(connection.eval(text, 2, this.keys.log, this.keys.head, ...args));
  }
}

/** An answer that says no. */
interface ReplyError extends Error {
  readonly name: 'ReplyError';
}

function ask<T>(answer: Promise<T>): Promise<T> {
  return within(answer, COMMAND_TIMEOUT, 'Redis');
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
