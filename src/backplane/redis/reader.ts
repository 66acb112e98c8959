import { setImmediate as nextTurn } from 'node:timers/promises';

import { comparePositions, type Position } from '../../protocol/cursor.js';
import type { LogEntry } from '../backplane.js';
import { AnotherEpoch, CHECK_INTERVAL, type LogSource, LostEntries } from '../broker/broker-reader.js';
import type { Progress } from '../broker/progress.js';
import { withTimeout } from '../broker/with-timeout.js';
import type { Connection, Open } from './connection.js';
import { type Chain, entriesIn, epochOf, judge, readEntry, type StreamEntry } from './entry.js';
import { COMMAND_TIMEOUT, type Head, type RedisLog } from './log.js';

/**
 * Batches per reply: few, because a reply is in memory as a whole, and the next batches may be far larger than those
 * before; more at a time are read no faster. Still fewer while they are large, and when reading fails.
 */
const MAX_COUNT = 100;
const MIN_COUNT = 4;
const FULL_REPLY = 1024 * 1024;

/** Entries that are handed out in one turn of the event loop. */
const MOST_PER_TURN = 1_000;

type Reply = readonly [id: string, fields: string[]][];

/**
 * Reads the log in Redis, over a connection of its own: the retained window, then what is added. There is only one way
 * of reading, from an explicit ID on, so nothing can get lost between the two.
 */
export class RedisReader implements LogSource<Connection> {
  #connection: Connection | undefined;
  /** Where the log stood when reading of this epoch began. */
  #begun: Head | undefined;
  /** The last ID that was read, whosever entry it is. */
  #readTo = '0-0';
  /** The same of what nodes ask each other. */
  #questionsTo = '0-0';
  #count = MAX_COUNT;
  #checkedAt = 0;

  constructor(
    private readonly log: RedisLog,
    private readonly open: Open,
    private readonly progress: Progress,
    /** What other nodes want to know, which is read along with the log. */
    private readonly onQuestion: (id: string, fields: readonly string[]) => void,
  ) {}

  connect(): Promise<Connection> {
    return this.open(`${this.log.options.prefix}-read`);
  }

  async read(connection: Connection): Promise<void> {
    const { progress } = this;
    this.#connection = connection;
    // Redis forgets them soon, and another one, behind a failover, may be behind on the clock that numbers them.
    this.#questionsTo = '0-0';
    await this.#check(connection);
    while (!progress.isClosed) {
      const count = this.#count;
      const reply = await this.#ask(connection);
      if (progress.isClosed) return;
      // Before clients get any of it: either this epoch is over, or it was added as the epoch began, and is part of it.
      if (progress.isReady && this.#namesAnotherEpoch(reply)) await this.#check(connection);
      if (reply.length > 0) await this.#take(connection, reply);
      // Not only when it is empty: others may publish all the time.
      if (!progress.isReady && reply.length < count) await this.#becomeReady(connection);
      if (performance.now() - this.#checkedAt > CHECK_INTERVAL) await this.#check(connection);
    }
  }

  renew(connection: Connection, epoch: string): Promise<void> {
    return this.log.renew(connection, epoch);
  }

  release(connection: Connection): void {
    connection.disconnect();
  }

  stop(): void {
    this.#connection?.disconnect();
  }

  /** Is it still the log that was read so far, and as long as that? */
  async #check(connection: Connection): Promise<void> {
    const { progress } = this;
    if (progress.epoch === undefined) return this.#startOver(connection);
    const head = await this.log.headIfBegun(connection);
    this.#checkedAt = performance.now();
    if (!head) throw new AnotherEpoch('The log in Redis is gone: it was flushed or deleted.');
    if (head.epoch !== progress.epoch) throw new AnotherEpoch('The log in Redis is another one now.');
    const { last } = progress;
    if (last && comparePositions(head.last, last) < 0) await this.#assertKept(connection, last);
    progress.endsAt(head.last.ms);
    if (progress.isReady) progress.caughtUp();
  }

  /** Another's entry that was taken for the last one is behind the log's end too; but it is there. */
  async #assertKept(connection: Connection, last: Position): Promise<void> {
    const { hasLast } = await this.log.evidenceOf(connection, last);
    if (!hasLast) throw new LostEntries('The log in Redis ends before what was read of it.');
  }

  async #startOver(connection: Connection): Promise<void> {
    this.#begun = await this.log.head(connection);
    this.#readTo = '0-0';
    this.#checkedAt = performance.now();
    this.progress.startOver(this.#begun.epoch);
  }

  async #becomeReady(connection: Connection): Promise<void> {
    // Flushed while it was being read? Then what was read is of two epochs.
    await this.#check(connection);
    if (!this.progress.last) this.progress.begin(this.#begun!.last);
    this.progress.caughtUp();
  }

  async #ask(connection: Connection): Promise<Reply> {
    const { log, questions } = this.log.keys;
    const [count, from] = [this.#count, this.#readTo];
    const [answer, patience] = this.progress.isReady
      ? [
          connection.xread('COUNT', count, 'BLOCK', CHECK_INTERVAL, 'STREAMS', log, questions, from, this.#questionsTo),
          COMMAND_TIMEOUT + CHECK_INTERVAL,
        ]
      : [connection.xread('COUNT', count, 'STREAMS', log, from), COMMAND_TIMEOUT];
    try {
      const streams = (await withTimeout(answer, patience, 'Redis')) ?? [];
      // An application's `keyPrefix` stands before the names.
      this.#takeQuestions(streams.find(([key]) => key.endsWith(questions))?.[1] ?? []);
      return streams.find(([key]) => key.endsWith(log))?.[1] ?? [];
    } catch (error) {
      // It may have been too much for the line to carry in time.
      this.#count = Math.max(1, count >> 2);
      throw error;
    }
  }

  #takeQuestions(entries: Reply): void {
    for (const [id, fields] of entries) {
      this.#questionsTo = id;
      this.onQuestion(id, fields);
    }
  }

  #namesAnotherEpoch(reply: Reply): boolean {
    const { epoch } = this.progress;
    return reply.some(([, fields]) => (epochOf(fields) ?? epoch) !== epoch);
  }

  async #take(connection: Connection, reply: Reply): Promise<void> {
    const { progress } = this;
    let entries: LogEntry[] = [];
    let size = 0;
    let skipped = 0;
    try {
      for (const [id, fields] of reply) {
        size += fields.reduce((sum, text) => sum + text.length, 0);
        const read = readEntry(id, fields);
        if (read && entries.length > 0 && entries.length + read.count > MOST_PER_TURN) {
          progress.deliver(entries);
          entries = [];
          await nextTurn();
          if (progress.isClosed) return;
        }
        // Only what does not follow needs to be waited for.
        const verdict = read && (this.#judge(read) ?? (await this.#judgeDoubtful(connection, read)));
        this.#readTo = id;
        if (verdict === 'foreign' || !read) skipped++;
        else entries.push(...this.#logEntriesOf(read, verdict === 'hole'));
      }
    } finally {
      // What was read before it turned out that entries are lost was in the log.
      progress.skipped(skipped);
      progress.deliver(entries);
    }
    this.#fit(reply.length, size);
  }

  get #chain(): Chain {
    const { epoch, since } = this.#begun!;
    return { epoch, since, last: this.progress.last };
  }

  #judge(read: StreamEntry): 'next' | 'foreign' | undefined {
    const verdict = judge(read, this.#chain);
    return verdict === 'next' || verdict === 'foreign' ? verdict : undefined;
  }

  async #judgeDoubtful(connection: Connection, read: StreamEntry): Promise<'next' | 'hole' | 'foreign'> {
    const evidence = await this.log.evidenceOf(connection, read.position, this.progress.last);
    const verdict = judge(read, this.#chain, evidence);
    if (verdict === 'next' || verdict === 'hole' || verdict === 'foreign') return verdict;
    throw new LostEntries('The log in Redis goes on before what was read of it.');
  }

  #logEntriesOf(read: StreamEntry, isBehindHole: boolean): LogEntry[] {
    const { position, previous } = read;
    if (!this.progress.last) this.progress.begin(previous);
    const entries = entriesIn(read, this.log.options.maxEntryBytes);
    return this.progress.advance(position, entries, isBehindHole ? previous : undefined);
  }

  #fit(length: number, size: number): void {
    if (size > FULL_REPLY) this.#count = Math.min(this.#count, Math.max(MIN_COUNT, Math.floor(length / 2)));
    else if (length === this.#count && size < FULL_REPLY / 4) this.#count = Math.min(MAX_COUNT, this.#count * 2);
  }
}
