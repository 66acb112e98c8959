import { comparePositions, type Position } from '../../protocol/cursor.js';
import type { LogEntry, LogListener } from '../backplane.js';
import { BackOff } from '../broker/back-off.js';
import { Reachability, type ReachabilityListener } from '../broker/reachability.js';
import type { HubReader } from '../broker/readers.js';
import { withTimeout } from '../broker/with-timeout.js';
import type { Connection } from './connection.js';
import { epochOf, judge, readEntry, type StreamEntry } from './entry.js';
import { COMMAND_TIMEOUT, type Head, MissingRight, type RedisLog } from './log.js';

/** Milliseconds between looks at the log's head. FLUSHALL disconnects nobody, so a silent log has to be asked. */
const TICK = 1_000;

/** Entries per reply: few while they are large, because a reply is in memory as a whole. Fewer when reading fails. */
const MAX_COUNT = 1_000;
const MIN_COUNT = 4;
const FIRST_COUNT = 100;
const FULL_REPLY = 1024 * 1024;

type Reply = readonly [id: string, fields: string[]][];

/** The log is not the one that was read so far. */
class AnotherEpoch extends Error {}

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
  /** The life of the log that is being read, as it stood when reading began. */
  #life: Head | undefined;
  /** The last ID that was read, whosever entry it is. */
  #readTo = '0-0';
  /** The last entry that was handed out; `undefined` until `begin` was reported. */
  #last: Position | undefined;
  #ready = false;
  #count = FIRST_COUNT;
  #askedAt = 0;

  constructor(
    private readonly log: RedisLog,
    private readonly hub: LogListener,
    private readonly listener: ReachabilityListener,
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
        if (error instanceof MissingRight && this.listener.refuse(error)) return;
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
        else if (!(error instanceof AnotherEpoch)) throw error;
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
      if (reply.length > 0) await this.#take(connection, reply);
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
    if (!head) throw new AnotherEpoch('The log in Redis is gone: it was flushed or deleted.');
    if (head.epoch !== this.#life.epoch) throw new AnotherEpoch('The log in Redis is another one now.');
    if (this.#last && comparePositions(head.last, this.#last) < 0) await this.#assertKept(connection, this.#last);
    this.#lag = Math.max(0, head.last.ms - (this.#last ?? head.last).ms);
    if (this.#ready) this.#succeed();
  }

  /** Another's entry that was taken for the last one is behind the log's end too; but it is there. */
  async #assertKept(connection: Connection, last: Position): Promise<void> {
    const { hasLast } = await this.log.evidenceOf(connection, last);
    if (!hasLast) throw new LostEntries('The log in Redis ends before what was read of it.');
  }

  async #startOver(connection: Connection): Promise<void> {
    const head = await this.log.begin(connection);
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
    const [stream] = (await withTimeout(answer, patience, 'Redis')) ?? [];
    return stream?.[1] ?? [];
  }

  #namesAnotherLife(reply: Reply): boolean {
    return reply.some(([, fields]) => (epochOf(fields) ?? this.#life!.epoch) !== this.#life!.epoch);
  }

  async #take(connection: Connection, reply: Reply): Promise<void> {
    const entries: LogEntry[] = [];
    let size = 0;
    let skipped = 0;
    try {
      for (const [id, fields] of reply) {
        size += fields.reduce((sum, text) => sum + text.length, 0);
        const read = readEntry(id, fields, this.log.options.maxEntryBytes);
        // Only what does not follow needs to be waited for.
        const verdict = read && (this.#judge(read) ?? (await this.#judgeDoubtful(connection, read)));
        this.#readTo = id;
        if (verdict === 'foreign' || !read) skipped++;
        else entries.push(this.#logEntryOf(read, verdict === 'hole'));
      }
    } finally {
      // What was read before it turned out that entries are lost was in the log.
      if (!this.#isOver()) {
        if (skipped > 0) this.hub.skipped(skipped);
        if (entries.length > 0) this.hub.deliver(entries);
      }
    }
    this.#fit(reply.length, size);
  }

  #judge(read: StreamEntry): 'next' | 'foreign' | undefined {
    const verdict = judge(read, { life: this.#life!, last: this.#last });
    return verdict === 'next' || verdict === 'foreign' ? verdict : undefined;
  }

  async #judgeDoubtful(connection: Connection, read: StreamEntry): Promise<'next' | 'hole' | 'foreign'> {
    const evidence = await this.log.evidenceOf(connection, read.position, this.#last);
    const verdict = judge(read, { life: this.#life!, last: this.#last }, evidence);
    if (verdict === 'next' || verdict === 'hole' || verdict === 'foreign') return verdict;
    throw new LostEntries('The log in Redis goes on before what was read of it.');
  }

  #logEntryOf({ position, previous, entry }: StreamEntry, isBehindHole: boolean): LogEntry {
    if (!this.#last) this.#begin(previous);
    const before = isBehindHole ? previous : this.#last!;
    this.#last = position;
    return { epoch: this.#life!.epoch, position, previous: before, entry };
  }

  #begin(from: Position): void {
    this.#last = from;
    this.hub.begin(this.#life!.epoch, from);
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
