import { comparePositions, ORIGIN, type Position } from '../../protocol/cursor.js';
import { BackOff } from '../back-off.js';
import type { LogEntry, LogReader } from '../backplane.js';
import { Reachability, type ReachabilityListener } from '../reachability.js';
import type { HubReader } from '../readers.js';
import { within } from '../within.js';
import type { Connection } from './connection.js';
import { epochOf, justBefore, readEntry } from './entries.js';
import { COMMAND_TIMEOUT, type Head, type RedisLog } from './redis-log.js';

/** Milliseconds between looks at the log's head. FLUSHALL disconnects nobody, so a silent log has to be asked. */
const TICK = 1_000;

/** Entries per reply: few while they are large, because a reply is in memory as a whole. Fewer when reading fails. */
const MAX_COUNT = 1_000;
const MIN_COUNT = 4;
const FIRST_COUNT = 100;
const FULL_REPLY = 1024 * 1024;

type Reply = readonly [id: string, fields: string[]][];

/** The log is not the one that was read so far. */
class AnotherLife extends Error {}

/** Entries that this reader has handed out are not in the log. */
class LostEntries extends Error {}

/**
 * Reads the log for one hub, over a connection of its own: the retained window, then what is added. There is only one
 * way of reading, from an explicit ID on, so nothing can get lost between the two.
 */
export class RedisReader implements HubReader {
  readonly #backOff = new BackOff();
  readonly #reachability: Reachability;
  #connection: Connection | undefined;
  #over = false;
  #lag: number | undefined;
  /** The life of the log that is being read, and where its last entry was when that began. */
  #life: Head | undefined;
  /** Topics that were closed when it began. */
  #closed: [topic: string, ms: number][] = [];
  /** The last ID that was read, whosever entry it is. */
  #readTo = '0-0';
  /** The last entry that was handed out; `undefined` until `begin` was reported. */
  #last: Position | undefined;
  #ready = false;
  #count = FIRST_COUNT;
  #askedAt = 0;

  constructor(
    private readonly log: RedisLog,
    private readonly hub: LogReader,
    listener: ReachabilityListener,
  ) {
    this.#reachability = new Reachability('Redis', hub, listener);
  }

  get up(): boolean {
    return this.#reachability.up;
  }

  get lag(): number | undefined {
    return this.#lag;
  }

  /** Reads until it is closed, whatever happens to Redis. */
  async run(): Promise<void> {
    while (!this.#over) {
      try {
        await this.#live();
      } catch (error) {
        if (!this.#isOver()) this.#reachability.failed(error);
        // It may have been too much for the line to carry in time.
        this.#count = Math.max(1, this.#count >> 2);
      } finally {
        this.#connection?.disconnect();
        this.#connection = undefined;
      }
      if (!this.#isOver()) await this.#backOff.wait();
    }
  }

  close(): void {
    this.#over = true;
    this.#reachability.lost();
    this.#connection?.disconnect();
    this.#backOff.wake();
  }

  // What is closed while one waits is not what it was before.
  #isOver(): boolean {
    return this.#over;
  }

  /** The life of one connection. */
  async #live(): Promise<void> {
    const connection = await this.log.open(`${this.log.options.prefix}-read`);
    this.#connection = connection;
    while (!this.#isOver()) {
      try {
        await this.#check(connection);
        await this.#follow(connection);
      } catch (error) {
        if (error instanceof LostEntries) await this.log.renew(connection, this.#life!.epoch);
        else if (!(error instanceof AnotherLife)) throw error;
        this.#reachability.lost();
        if (this.#last) this.hub.warn(`${error.message} Clients are reset.`);
        this.#life = undefined;
        await this.#backOff.wait();
      }
    }
  }

  async #follow(connection: Connection): Promise<void> {
    while (!this.#isOver()) {
      const count = this.#count;
      const reply = await this.#read(connection);
      if (this.#isOver()) return;
      // Before clients get any of it: either this life is over, or it was added as this life began. Then it is part of it.
      if (this.#ready && this.#namesAnotherLife(reply)) await this.#check(connection);
      if (reply.length > 0) this.#take(reply);
      // Not only when it is empty: others may publish all the time.
      if (!this.#ready && reply.length < count) await this.#becomeReady(connection);
      if (performance.now() - this.#askedAt > TICK) await this.#check(connection);
    }
  }

  /** Is it still the log that was read so far, and as long as that? */
  async #check(connection: Connection): Promise<void> {
    if (!this.#life) return this.#startOver(connection);
    const head = await this.log.head(connection);
    this.#askedAt = performance.now();
    if (!head) throw new AnotherLife('The log in Redis is gone: it was flushed or deleted.');
    if (head.epoch !== this.#life.epoch) throw new AnotherLife('The log in Redis is another one now.');
    const last = this.#last ?? ORIGIN;
    if (comparePositions(head.last, last) < 0)
      throw new LostEntries('The log in Redis ends before what was read of it.');
    this.#lag = Math.max(0, head.last.ms - (this.#last ?? head.last).ms);
    if (this.#ready) this.#succeed();
  }

  async #startOver(connection: Connection): Promise<void> {
    const head = await this.log.begin(connection);
    this.#closed = await this.log.closed(connection);
    this.#life = head;
    this.#readTo = '0-0';
    this.#last = undefined;
    this.#ready = false;
    this.#askedAt = performance.now();
  }

  async #becomeReady(connection: Connection): Promise<void> {
    // Flushed while it was being read? Then what was read is of two lives.
    await this.#check(connection);
    if (!this.#last) this.#begin(this.#life!.last);
    this.#ready = true;
    this.hub.ready();
    this.#succeed();
  }

  async #read(connection: Connection): Promise<Reply> {
    const { log } = this.log.keys;
    const [count, from] = [this.#count, this.#readTo];
    const [answer, patience] = this.#ready
      ? [connection.xread('COUNT', count, 'BLOCK', TICK, 'STREAMS', log, from), COMMAND_TIMEOUT + TICK]
      : [connection.xread('COUNT', count, 'STREAMS', log, from), COMMAND_TIMEOUT];
    const [stream] = (await within(answer, patience, 'Redis')) ?? [];
    return stream?.[1] ?? [];
  }

  #namesAnotherLife(reply: Reply): boolean {
    return reply.some(([, fields]) => (epochOf(fields) ?? this.#life!.epoch) !== this.#life!.epoch);
  }

  #take(reply: Reply): void {
    const entries: LogEntry[] = [];
    let size = 0;
    let skipped = 0;
    if (!this.#last) this.#keepOpen(reply);
    try {
      for (const [id, fields] of reply) {
        size += fields.reduce((sum, text) => sum + text.length, 0);
        const entry = this.#logEntryOf(id, fields);
        this.#readTo = id;
        if (entry) entries.push(entry);
        else skipped++;
      }
    } finally {
      // What was read before it turned out that entries are lost was in the log.
      if (skipped > 0) this.hub.skipped(skipped);
      if (entries.length > 0) this.hub.deliver(entries);
    }
    this.#fit(reply.length, size);
  }

  /** `undefined` for what is to be passed over. Its successor names it as its predecessor, so the hub knows that it is missing. */
  #logEntryOf(id: string, fields: readonly string[]): LogEntry | undefined {
    const read = readEntry(id, fields, this.log.options.maxEntryBytes);
    if (!read) return undefined;
    const { position, entry } = read;
    if (!entry) return undefined;
    const previous = read.previous ?? this.#last ?? justBefore(position);
    if (!this.#last) this.#begin(previous);
    else if (comparePositions(previous, this.#last) < 0) {
      throw new LostEntries('The log in Redis goes on before what was read of it.');
    }
    this.#last = position;
    return { epoch: this.#life!.epoch, position, previous, entry };
  }

  /** What is closed in the window is open at its beginning: what is before the close is to be delivered. */
  #keepOpen(reply: Reply): void {
    if (this.#closed.length === 0) return;
    const { maxEntryBytes } = this.log.options;
    const entries = reply.map(([id, fields]) => readEntry(id, fields, maxEntryBytes)?.entry);
    const later = new Set(entries.map((entry) => (entry?.kind === 'close' ? entry.topic : undefined)));
    this.#closed = this.#closed.filter(([topic]) => !later.has(topic));
  }

  #begin(from: Position): void {
    this.#last = from;
    // The log remembers no more than the millisecond, in which the window may begin.
    const closed = this.#closed.filter(([, ms]) => ms <= from.ms).map(([topic]) => topic);
    this.#closed = [];
    this.hub.begin(this.#life!.epoch, from, closed);
  }

  #fit(length: number, size: number): void {
    if (size > FULL_REPLY) this.#count = Math.min(this.#count, Math.max(MIN_COUNT, Math.floor(length / 2)));
    else if (length === this.#count && size < FULL_REPLY / 4) this.#count = Math.min(MAX_COUNT, this.#count * 2);
  }

  #succeed(): void {
    this.#backOff.reset();
    this.#reachability.succeeded();
  }
}
