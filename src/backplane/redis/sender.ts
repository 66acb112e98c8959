import type { Cursor } from '../../protocol/cursor.js';
import { BackplaneError } from '../backplane-error.js';
import { type Outgoing, Refused, type Sender } from '../outbox.js';
import { within } from '../within.js';
import type { Connection } from './connection.js';
import { parseId } from './keys.js';
import { COMMAND_TIMEOUT, isReply, messageOfReply, randomEpoch, type RedisLog } from './redis-log.js';
import { APPEND } from './script.js';

/** How long a publisher's appends are remembered after the last one. */
const REMEMBERED = 24 * 60 * 60_000;
/** For this long they may be repeated: well before they are forgotten. */
export const MAY_REPEAT = REMEMBERED / 2;

const MAX_CLOSED = 100_000;

/** Places in one millisecond that may be jumped over; see `APPEND`. */
const JUMP = 2 ** 20;

/** A limit of the server's own, or of a service's: this entry it will never take, unlike with any other error. */
const TOO_LARGE = /^ERR .*(max request size|invalid bulk length|too large)/i;

/** Follows from something else, or is mended by the next attempt. */
const PASSING = /^(GAP|EXECABORT|NOSCRIPT)/;

/** Milliseconds without a refusal after which the next one is worth a message. */
const QUIET = 60_000;

const NOT_NEXT = new BackplaneError('The entry before this one is not in the log', 'no');

type Answers = readonly [Error | null, unknown][];

interface Gathered {
  readonly entries: Outgoing[];
  readonly answers: Promise<Answers>;
}

/** Appends over a connection of its own, opened when there is something to send. */
export class RedisSender implements Sender {
  #opening: Promise<Connection> | undefined;
  #connection: Connection | undefined;
  /** Counts connections, to tell whether one that opens late is still wanted. */
  #life = 0;
  /** This connection has been sent the text of the script, so its name will do. */
  #introduced = false;
  #refusedAt = -Infinity;
  /** Whether what was last sent without a script has been added, all of it. */
  #added = Promise.resolve(true);
  /** What is to be sent then. */
  #waiting: Gathered | undefined;

  constructor(private readonly log: RedisLog) {}

  async open(): Promise<void> {
    await this.connection();
  }

  send(batch: readonly Outgoing[], oldest: number): readonly Promise<Cursor>[] {
    const answers = this.#sendAll(batch, oldest);
    return batch.map(async (_, i) => this.#placeIn(await answers, i));
  }

  /** For what else is asked of Redis. */
  connection(): Promise<Connection> {
    if (this.#connection && this.#connection.status !== 'ready') this.drop();
    this.#opening ??= this.#open();
    return this.#opening;
  }

  /** The next one will be another. */
  drop(): void {
    this.#life++;
    this.#connection?.disconnect();
    this.#connection = undefined;
    this.#opening = undefined;
    this.#introduced = false;
  }

  async #open(): Promise<Connection> {
    const life = this.#life;
    try {
      const connection = await this.log.open(`${this.log.options.prefix}-append`);
      if (life === this.#life) this.#connection = connection;
      else connection.disconnect();
      return connection;
    } catch (error) {
      if (life === this.#life) this.#opening = undefined;
      throw error;
    }
  }

  async #sendAll(batch: readonly Outgoing[], oldest: number): Promise<Answers> {
    const connection = this.#connection;
    if (connection?.status !== 'ready') throw new BackplaneError('The connection to Redis is lost', 'no');
    try {
      return this.log.scripts
        ? await this.#runScript(connection, batch, oldest)
        : await this.#addInTurn(connection, batch);
    } catch (error) {
      // No answer: what is on its way there may still arrive, but whatever is sent from now on goes another way.
      if (this.#connection === connection) this.drop();
      throw error;
    }
  }

  async #runScript(connection: Connection, batch: readonly Outgoing[], oldest: number): Promise<Answers> {
    const { keys, options } = this.log;
    const limits = [options.maxLength, options.maxAge, REMEMBERED];
    const limitsOfClosed = [options.closedTopicAge, MAX_CLOSED];
    const pipeline = connection.pipeline();
    for (const { uid, text, n, after, entry } of batch) {
      const places = [keys.log, keys.head, keys.publisher(publisherOf(uid)), keys.closed] as const;
      const jump = Math.floor(Math.random() * JUMP);
      const mark = entry.kind === 'close' || entry.kind === 'open' ? [entry.kind, entry.topic] : ['', ''];
      const args = [...places, text, n, after, oldest, randomEpoch(), jump, ...limits, ...mark, ...limitsOfClosed];
      if (this.#introduced) pipeline.evalsha(APPEND.sha, places.length, ...args);
      else pipeline.eval(APPEND.text, places.length, ...args);
      this.#introduced = true;
    }
    return (await within(pipeline.exec(), COMMAND_TIMEOUT, 'Redis')) ?? [];
  }

  /**
   * One transaction after the other: some take more round trips than the next, and behind what was refused nothing may be
   * added before that was sent again. What comes meanwhile is added together.
   */
  #addInTurn(connection: Connection, batch: readonly Outgoing[]): Promise<Answers> {
    this.#waiting ??= this.#gather(connection);
    const { entries, answers } = this.#waiting;
    const at = entries.length;
    entries.push(...batch);
    return answers.then((all) => all.slice(at, at + batch.length));
  }

  #gather(connection: Connection): Gathered {
    const entries: Outgoing[] = [];
    const answers = this.#added.then((added): Answers | Promise<Answers> => {
      this.#waiting = undefined;
      if (added || entries[0]!.after === 0) return this.#addPlainly(connection, entries);
      return entries.map(() => [NOT_NEXT, undefined]);
    });
    this.#added = answers.then(
      (all) => all.every(([error]) => !error),
      () => false,
    );
    return { entries, answers };
  }

  async #addPlainly(connection: Connection, batch: readonly Outgoing[]): Promise<Answers> {
    let epoch: string;
    let now: number;
    try {
      ({ epoch } = await this.log.begin(connection));
      const [seconds] = await within(connection.time(), COMMAND_TIMEOUT, 'Redis');
      now = Number(seconds) * 1_000;
    } catch (cause) {
      if (isReply(cause)) return batch.map(() => [cause, undefined]);
      throw new BackplaneError('The connection to Redis is lost', 'no', { cause });
    }
    return this.#add(connection, batch, epoch, now);
  }

  async #add(connection: Connection, batch: readonly Outgoing[], epoch: string, now: number): Promise<Answers> {
    const { keys, options } = this.log;
    const limit = ['MAXLEN', '~', options.maxLength];
    const additions = batch.map(({ text }) => ['xadd', keys.log, ...limit, '*', 'e', epoch, 'd', text]);
    // At once: whenever a script of another node runs, what the head names as the last entry has to be just that.
    const pipeline = connection.pipeline([['multi'], ...additions, ['hdel', keys.head, 'last'], ['exec']]);
    for (const { entry } of batch) {
      if (entry.kind === 'close') pipeline.zadd(keys.closed, now, entry.topic);
      else if (entry.kind === 'open') pipeline.zrem(keys.closed, entry.topic);
    }
    pipeline.zremrangebyscore(keys.closed, '-inf', `(${now - options.closedTopicAge}`);
    pipeline.xtrim(keys.log, 'MINID', '~', Math.max(0, now - options.maxAge));
    const answers = (await within(pipeline.exec(), COMMAND_TIMEOUT, 'Redis')) ?? [];
    return addedBy(answers, batch.length).map(([error, id]) => [error, `${epoch} ${String(id)}`]);
  }

  #placeIn(answers: Answers, i: number): Cursor {
    const [error, place] = answers[i] ?? [new Error('Redis did not answer'), undefined];
    if (error) throw this.#judge(error);
    const [epoch = '', id = ''] = String(place).split(' ');
    const position = parseId(id);
    if (position) return { epoch, position };
    throw new Refused(`The stream ${this.log.keys.log} in Redis is at ${id}, beyond exact numbers`, 'unknown');
  }

  #judge(error: Error): BackplaneError {
    if (error === NOT_NEXT) return NOT_NEXT;
    if (!isReply(error)) return new BackplaneError(`The connection to Redis was lost: ${error.message}`, 'unknown');
    const message = messageOfReply(error);
    if (message.startsWith('STALE')) return new Refused(message, 'no');
    if (TOO_LARGE.test(message)) return new Refused(`Redis refuses it: ${message}`, 'no');
    if (!this.log.noteRights(error) && !PASSING.test(message)) this.#tell(message);
    if (message.startsWith('NOSCRIPT')) this.#introduced = false;
    // A replica, or a node that is not ready: another connection finds the one that is in charge.
    if (/^(READONLY|MASTERDOWN|LOADING|CLUSTERDOWN)/.test(message)) this.drop();
    return new BackplaneError(`Redis refuses it: ${message}`, 'no');
  }

  /** Once for all in a row. */
  #tell(message: string): void {
    const now = performance.now();
    const isNew = now - this.#refusedAt > QUIET;
    this.#refusedAt = now;
    if (!isNew) return;
    this.log.warn(`Redis refuses what is published (${message}). What is broadcast waits; it is tried again.`);
  }
}

/** Whose entry it is: an outbox that is being closed may still send beside the one that comes after it. */
function publisherOf(uid: string): string {
  return uid.slice(0, uid.lastIndexOf('-'));
}

/** What has become of each entry in the transaction at the beginning of `answers`. */
function addedBy(answers: Answers, entries: number): Answers {
  const [begun] = answers;
  const added = answers.slice(1, 1 + entries);
  const [failed, ids] = answers[entries + 2] ?? [];
  // Who may not use transactions has added each on its own.
  if (!begun || begun[0]) return added;
  return added.map(([error], i) => {
    if (error ?? failed) return [error ?? failed!, undefined];
    const id = (ids as unknown[])[i];
    return id instanceof Error ? [id, undefined] : [null, id];
  });
}
