import type { JsMsg } from '@nats-io/jetstream';

import { ORIGIN, type Position } from '../../protocol/cursor.js';
import { decodeEntry } from '../../protocol/entry.js';
import type { LogEntry, LogListener } from '../backplane.js';
import { BackOff } from '../broker/back-off.js';
import { Reachability, type ReachabilityListener } from '../broker/reachability.js';
import type { HubReader } from '../broker/readers.js';
import type { Link, Links } from './connection.js';
import { type Head, MESSAGE_ID, millisOf, type NatsLog } from './log.js';
import type { OwnAppends } from './own-appends.js';
import { Tail } from './tail.js';

/** Milliseconds between looks at the log's head. */
const TICK = 1_000;

/** The log is not the one that was read so far. */
class AnotherEpoch extends Error {}

/** Entries that this reader has handed out are not in the log. */
class LostEntries extends Error {}

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

/** What an outbox gives its entries. */
const OWN_ID = /^[\w-]{12}-\d+$/;

const NOTHING: Place = { seq: 0, nanos: 0n };

/**
 * Reads the log for one hub: the retained window, then what is added. There is only one way of reading, from an explicit
 * sequence on, and where it begins anew it begins with the message that was read last, to see whether that is the same:
 * a stream that was restored or made again has its sequence, but not its time.
 */
export class NatsReader implements HubReader {
  readonly #backOff = new BackOff();
  readonly #reachability: Reachability;
  #closed = false;
  #stop: (() => void) | undefined;
  #lag: number | undefined;
  /** The life of the log that is being read. */
  #epoch: string | undefined;
  /** Whosever message it is. */
  #readTo = NOTHING;
  /** What is after `#readTo` is known to follow it. */
  #isContiguous = true;
  /** The last entry, whether or not it could be handed out; `undefined` until `begin` was reported. */
  #last: Position | undefined;
  #ready = false;
  /** Up to here the log has to be read, before this node is up, and to know that what was stored by then is read. */
  #target: Target = { seq: 0, askedAt: -Infinity };
  /** Bytes of the largest message that was read when something was read last, on one connection. */
  #largest = 0;
  #batch: LogEntry[] = [];

  constructor(
    private readonly links: Links,
    private readonly log: NatsLog,
    private readonly ownAppends: OwnAppends,
    private readonly hub: LogListener,
    listener: ReachabilityListener,
  ) {
    this.#reachability = new Reachability('NATS', hub, listener);
  }

  get up(): boolean {
    return this.#reachability.up;
  }

  get lag(): number | undefined {
    return this.#lag;
  }

  /** The last entry that was read. */
  get position(): Position | undefined {
    return this.#last;
  }

  /** Reads until it is closed, whatever happens to NATS. */
  async run(): Promise<void> {
    while (!this.#closed) {
      let link: Link | undefined;
      try {
        link = await this.links.open();
        await this.#live(link);
      } catch (error) {
        if (!this.#isClosed()) this.#reachability.failed(error);
        if (link?.alive) this.links.drop();
      }
      if (!this.#isClosed()) await this.#backOff.wait();
    }
  }

  close(): void {
    this.#closed = true;
    this.#reachability.lost();
    this.#stop?.();
    this.#backOff.wake();
  }

  // What is closed while one waits is not what it was before.
  #isClosed(): boolean {
    return this.#closed;
  }

  /** The life of one connection. */
  async #live(link: Link): Promise<void> {
    while (!this.#isClosed()) {
      try {
        const askedAt = performance.now();
        const head = await this.#check(link, true);
        this.#target = { seq: head.last, askedAt };
        await this.#follow(link, Math.max(head.averageBytes, this.#largest));
      } catch (error) {
        this.#flush();
        if (error instanceof LostEntries) await this.log.renew(link, this.#epoch!);
        else if (!(error instanceof AnotherEpoch)) throw error;
        this.#reachability.lost();
        if (this.#last) this.hub.warn(`${error.message} Clients are reset.`);
        this.#epoch = undefined;
        await this.#backOff.wait();
      }
    }
  }

  /** Reads on until something is the matter, or it is closed. */
  async #follow(link: Link, size: number): Promise<void> {
    if (this.#isClosed()) return;
    let failed: (error: Error) => void = () => {};
    const end = new Promise<void>((resolve, reject) => {
      this.#stop = resolve;
      failed = reject;
    });
    void link.lost.then(failed);
    const tail = new Tail({ message: (message) => this.#take(message), failed });
    let ticks: NodeJS.Timeout | undefined;
    try {
      await Promise.race([end, tail.open(link, this.log.subjects.stream, this.#next, size)]);
      if (this.#isClosed()) return;
      this.#settle();
      ticks = setInterval(() => void this.#tick(link).catch(failed), TICK).unref();
      await end;
    } finally {
      this.#stop = undefined;
      clearInterval(ticks);
      tail.stop();
      this.#largest = tail.largest || this.#largest;
      this.#flush();
    }
  }

  /** Where reading goes on: with what was read last, unless that is known to be the same. */
  get #next(): number {
    return this.#isContiguous ? this.#readTo.seq + 1 : this.#readTo.seq;
  }

  async #tick(link: Link): Promise<void> {
    const askedAt = performance.now();
    const { seq } = this.#readTo;
    const head = await this.#check(link, false);
    this.#lag = head.last > seq && this.#last ? Math.max(0, millisOf(head.lastNanos) - this.#last.ms) : 0;
    // What was to be read may have been trimmed meanwhile, and be all there was.
    if (!this.#last && head.first > head.last) this.#startOver(head);
    else if (await this.#isAllGone(link, head)) this.#passOver(head);
    if (head.first > this.#target.seq) this.#target = { ...this.#target, seq: Math.min(head.first, head.last) };
    this.#settle();
    if (this.#readTo.seq >= this.#target.seq) this.#target = { seq: head.last, askedAt };
  }

  /** What is still to be read was trimmed, or deleted by an operator. */
  async #isAllGone(link: Link, { epoch, first, last, isSparse }: Head): Promise<boolean> {
    const isBehind = (): boolean =>
      this.#epoch === epoch && this.#last !== undefined && this.#readTo.seq < this.#target.seq;
    if (!isBehind() || first > last) return isBehind();
    return isSparse && !(await this.log.hasFrom(link, this.#next)) && isBehind();
  }

  /** All that was to be read is gone: what comes next follows the last entry there was, which nobody here has. */
  #passOver({ last, lastNanos }: Head): void {
    this.#readTo = { seq: last, nanos: lastNanos };
    this.#isContiguous = true;
    this.#miss({ ms: Math.max(millisOf(lastNanos), this.#last!.ms), seq: last });
  }

  #miss(upTo: Position): void {
    this.#last = upTo;
    this.ownAppends.missed({ epoch: this.#epoch!, position: upTo });
  }

  /** Is it still the log that was read so far, and as long as that? */
  async #check(link: Link, anew: boolean): Promise<Head> {
    const { seq, nanos } = this.#readTo;
    const head = await this.log.head(link);
    if (this.#epoch === undefined) {
      this.#startOver(head);
      return head;
    }
    if (head.epoch !== this.#epoch) throw new AnotherEpoch('The log in NATS is another one now.');
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
    this.#epoch = head.epoch;
    this.#readTo = NOTHING;
    this.#isContiguous = true;
    this.#last = undefined;
    this.#ready = false;
    this.ownAppends.clear();
    if (head.first <= head.last) return;
    // Nothing is retained; what comes next follows the last entry there was.
    this.#readTo = { seq: head.last, nanos: head.lastNanos };
    this.#begin(head.last === 0 ? ORIGIN : { ms: millisOf(head.lastNanos), seq: head.last });
  }

  #take(message: JsMsg): void {
    const { streamSequence: seq } = message.info;
    const nanos = message.timestampNanos;
    const before = this.#readTo;
    if (seq === before.seq && !this.#isContiguous) {
      this.#isContiguous = this.#isSame(nanos, before.nanos);
      return;
    }
    if (seq <= before.seq) return;
    const position = { ms: Math.max(millisOf(nanos), this.#last?.ms ?? 0), seq };
    const isMissing = !this.#isContiguous || seq !== before.seq + 1;
    this.#readTo = { seq, nanos };
    this.#isContiguous = true;
    if (!this.#last) this.#begin(seq === 1 ? ORIGIN : justBefore(position));
    else if (isMissing) this.#miss(justBefore(position));
    this.#read(message, position);
    this.#settle();
  }

  #read(message: JsMsg, position: Position): void {
    const uid = message.headers?.get(MESSAGE_ID) ?? '';
    const epoch = this.#epoch!;
    const previous = this.#last!;
    this.#last = position;
    // Somebody else's has a place in the log too: the server counts it.
    const isReadable = OWN_ID.test(uid) && message.data.length <= this.log.options.maxEntryBytes;
    const entry = isReadable ? decodeEntry(message.string()) : undefined;
    if (this.#batch.push({ epoch, position, previous, entry }) === 1) queueMicrotask(() => this.#flush());
    this.ownAppends.note(uid, { epoch, position });
  }

  // What comes in one piece from the network is handed over in one piece.
  #flush(): void {
    if (this.#batch.length > 0 && !this.#closed) this.hub.deliver(this.#batch);
    this.#batch = [];
  }

  #begin(from: Position): void {
    this.#last = from;
    if (from.seq > 0) this.#miss(from);
    this.hub.begin(this.#epoch!, from);
  }

  #settle(): void {
    if (this.#readTo.seq < this.#target.seq || !this.#last) return;
    this.ownAppends.readUpTo(this.#target.askedAt);
    this.#becomeReady();
    this.#backOff.reset();
    this.#reachability.succeeded();
  }

  #becomeReady(): void {
    if (this.#ready) return;
    this.#flush();
    this.#ready = true;
    this.hub.ready();
  }
}

/** The place just before an entry whose predecessor was not read, or is not the one that was. */
function justBefore({ ms, seq }: Position): Position {
  return { ms, seq: seq - 1 };
}
