import type { JsMsg } from '@nats-io/jetstream';

import { ORIGIN, type Position } from '../../protocol/cursor.js';
import type { Entry } from '../../protocol/entry.js';
import type { LogEntry } from '../backplane.js';
import { decodeBatch } from '../broker/batch.js';
import { AnotherEpoch, CHECK_INTERVAL, type LogSource, LostEntries } from '../broker/broker-reader.js';
import type { Progress } from '../broker/progress.js';
import type { SharedConnection } from '../broker/shared-connection.js';
import type { Connection } from './connection.js';
import { type Head, millisOf, type NatsLog } from './log.js';
import { Marks } from './marks.js';
import { lastPlaceIn, nameIn } from './message.js';
import type { OwnAppends } from './own-appends.js';
import { Tail } from './tail.js';

/** A message of the stream, as it was last read. */
interface Place {
  readonly seq: number;
  readonly nanos: bigint;
}

/** Where the log ended when it was asked. */
interface Target {
  readonly seq: number;
  readonly askedAt: number;
}

/** What stands in somebody else's message, which the server counts too. */
const FOREIGN: readonly undefined[] = [undefined];

const NOTHING: Place = { seq: 0, nanos: 0n };

/**
 * Reads the log in NATS: the retained window, then what is added. There is only one way of reading, from an explicit
 * sequence on, and where it begins anew it begins with the message that was read last, to see whether that is the same:
 * a stream that was restored or made again has its sequence, but not its time.
 */
export class NatsReader implements LogSource<Connection> {
  #stop: (() => void) | undefined;
  /** The last message that was read, whosever it is. */
  #readTo = NOTHING;
  /** What is after `#readTo` is known to follow it. */
  #isContiguous = true;
  /** Up to here the log has to be read, before this node is up, and to know that what was stored by then is read. */
  #target: Target = { seq: 0, askedAt: -Infinity };
  /** Bytes of the largest message that was read when something was read last, on one connection. */
  #largest = 0;
  readonly #marks = new Marks();
  #entries: LogEntry[] = [];

  constructor(
    private readonly log: NatsLog,
    private readonly connection: SharedConnection<Connection>,
    private readonly ownAppends: OwnAppends,
    private readonly progress: Progress,
  ) {}

  connect(): Promise<Connection> {
    return this.connection.open();
  }

  async read(connection: Connection): Promise<void> {
    try {
      const askedAt = performance.now();
      const head = await this.#check(connection, true);
      this.#target = { seq: head.last, askedAt };
      await this.#follow(connection, Math.max(head.averageBytes, this.#largest));
    } finally {
      this.#flush();
    }
  }

  renew(connection: Connection, epoch: string): Promise<void> {
    return this.log.renew(connection, epoch);
  }

  /** Others may share it still: it is closed only when it has failed. */
  release(connection: Connection): void {
    if (connection === this.connection.current && !this.progress.isClosed) this.connection.drop();
  }

  stop(): void {
    this.#stop?.();
  }

  /** Reads on until something is the matter, or it is stopped. */
  async #follow(connection: Connection, size: number): Promise<void> {
    if (this.progress.isClosed) return;
    let failed: (error: Error) => void = () => {};
    const end = new Promise<void>((resolve, reject) => {
      this.#stop = resolve;
      failed = reject;
    });
    void connection.lost.then(failed);
    const tail = new Tail({ message: (message) => this.#take(connection, message), failed });
    let ticks: NodeJS.Timeout | undefined;
    try {
      await Promise.race([end, tail.open(connection, this.log.subjects.stream, this.#next, size)]);
      if (this.progress.isClosed) return;
      this.#settle();
      ticks = setInterval(() => void this.#tick(connection).catch(failed), CHECK_INTERVAL).unref();
      await end;
    } finally {
      this.#stop = undefined;
      clearInterval(ticks);
      tail.stop();
      this.#largest = tail.largest || this.#largest;
    }
  }

  /** Where reading goes on: with what was read last, unless that is known to be the same. */
  get #next(): number {
    return this.#isContiguous ? this.#readTo.seq + 1 : this.#readTo.seq;
  }

  async #tick(connection: Connection): Promise<void> {
    const askedAt = performance.now();
    const { seq } = this.#readTo;
    const head = await this.#check(connection, false);
    const { last } = this.progress;
    this.progress.endsAt(head.last > seq ? millisOf(head.lastNanos) : 0);
    // What was to be read may have been trimmed meanwhile, and be all there was.
    if (!last && head.first > head.last) this.#startOver(head);
    else if (await this.#isAllGone(connection, head)) this.#passOver(head);
    if (head.first > this.#target.seq) this.#target = { ...this.#target, seq: Math.min(head.first, head.last) };
    this.#settle();
    if (this.#readTo.seq >= this.#target.seq) this.#target = { seq: head.last, askedAt };
  }

  /** What is still to be read was trimmed, or deleted by an operator. */
  async #isAllGone(connection: Connection, { epoch, first, last, isSparse }: Head): Promise<boolean> {
    const isBehind = (): boolean =>
      this.progress.epoch === epoch && this.progress.last !== undefined && this.#readTo.seq < this.#target.seq;
    if (!isBehind() || first > last) return isBehind();
    return isSparse && !(await this.log.hasFrom(connection, this.#next)) && isBehind();
  }

  /** All that was to be read is gone: what comes next follows the last entry there was, which nobody here has. */
  #passOver({ last, lastNanos }: Head): void {
    this.#readTo = { seq: last, nanos: lastNanos };
    this.#isContiguous = true;
    this.#miss({ ms: Math.max(millisOf(lastNanos), this.progress.last!.ms), seq: lastPlaceIn(last) });
  }

  #miss(upTo: Position): void {
    this.progress.skipTo(upTo);
    this.ownAppends.missed({ epoch: this.progress.epoch!, position: upTo });
  }

  /** Is it still the log that was read so far, and as long as that? */
  async #check(connection: Connection, anew: boolean): Promise<Head> {
    const { seq, nanos } = this.#readTo;
    const head = await this.log.head(connection);
    this.#marks.limit = head.limit;
    if (this.progress.epoch === undefined) {
      this.#startOver(head);
      return head;
    }
    if (head.epoch !== this.progress.epoch) throw new AnotherEpoch('The log in NATS is another one now.');
    if (head.last < seq) throw new LostEntries('The log in NATS ends before what was read of it.');
    if (anew) this.#isContiguous = seq === 0 || (head.last === seq && this.#isSame(head.lastNanos, nanos));
    return head;
  }

  /** Two messages of the same sequence are the same if they were stored at the same time. */
  #isSame(nanos: bigint, before: bigint): boolean {
    if (nanos === 0n || before === 0n) return false;
    if (nanos !== before) throw new LostEntries('The log in NATS has something else where it was read before.');
    return true;
  }

  #startOver(head: Head): void {
    this.progress.startOver(head.epoch);
    this.#readTo = NOTHING;
    this.#isContiguous = true;
    this.ownAppends.clear();
    this.#marks.clear();
    if (head.first <= head.last) return;
    // Nothing is retained; what comes next follows the last entry there was.
    this.#readTo = { seq: head.last, nanos: head.lastNanos };
    this.#begin(head.last === 0 ? ORIGIN : { ms: millisOf(head.lastNanos), seq: lastPlaceIn(head.last) });
  }

  #take(connection: Connection, message: JsMsg): void {
    const { streamSequence: seq } = message.info;
    const nanos = message.timestampNanos;
    const before = this.#readTo;
    if (seq === before.seq && !this.#isContiguous) {
      this.#isContiguous = this.#isSame(nanos, before.nanos);
      return;
    }
    if (seq <= before.seq) return;
    const ms = Math.max(millisOf(nanos), this.progress.last?.ms ?? 0);
    const isMissing = !this.#isContiguous || seq !== before.seq + 1;
    this.#readTo = { seq, nanos };
    this.#isContiguous = true;
    // What was there before its first entry was not read, or is not what was.
    const from = { ms, seq: lastPlaceIn(seq - 1) };
    if (!this.progress.last) this.#begin(seq === 1 ? ORIGIN : from);
    else if (isMissing) this.#miss(from);
    this.#read(connection, message, { ms, seq: lastPlaceIn(seq) });
    this.#settle();
  }

  #read(connection: Connection, message: JsMsg, last: Position): void {
    const name = nameIn(message.headers);
    const entries = name ? this.#entriesIn(message, name.count) : FOREIGN;
    if (this.#entries.length === 0) queueMicrotask(() => this.#flush());
    this.#entries.push(...this.progress.advance(last, entries));
    const isOwn = this.ownAppends.note(name?.uid, { epoch: this.progress.epoch!, position: last });
    const oldest = this.#marks.note(message.seq, entries.length);
    // One node does it: the one whose message it is.
    if (isOwn && oldest !== undefined) void this.log.trim(connection, oldest);
  }

  #entriesIn(message: JsMsg, count: number): readonly (Entry | undefined)[] {
    const entries = decodeBatch(message.string(), count, this.log.options.maxEntryBytes);
    return entries ?? Array.from({ length: count }, () => undefined);
  }

  // What comes in one piece from the network is handed over in one piece.
  #flush(): void {
    this.progress.deliver(this.#entries);
    this.#entries = [];
  }

  #begin(from: Position): void {
    if (from.seq > 0) this.#miss(from);
    this.progress.begin(from);
  }

  #settle(): void {
    if (this.#readTo.seq < this.#target.seq || !this.progress.last) return;
    this.ownAppends.readUpTo(this.#target.askedAt);
    // The window is complete when the hub has all of it.
    if (!this.progress.isReady) this.#flush();
    this.progress.caughtUp();
  }
}
