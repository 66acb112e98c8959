import { randomBytes } from 'node:crypto';

import type { Cursor } from '../../protocol/cursor.js';
import type { Entry } from '../../protocol/entry.js';
import { encodeEntry } from '../../protocol/entry.js';
import { BackplaneError } from '../backplane-error.js';
import type { Patience } from '../backplane.js';
import { BackOff } from './back-off.js';
import { type Batch, encodeBatch, MAX_BATCH_BYTES, MAX_COUNT, placeIn } from './batch.js';
import { Refused, type Sender, TooLarge } from './sender.js';

export interface OutboxOptions {
  /** Its name, for error messages. */
  readonly broker: string;
  /** Milliseconds. */
  readonly publishTimeout: number;
  /** Entries. */
  readonly maxPending: number;
  readonly maxPendingBytes: number;
  /** Bytes of one encoded entry. */
  readonly maxEntryBytes: number;
  /** Milliseconds for which the broker knows again what it has stored: what it may have is not sent again after that. */
  readonly memory: number;
}

/** An entry that waits for its place in the log. */
interface Item {
  readonly text: string;
  readonly bytes: number;
  readonly deadline: number;
  readonly resolve: (cursor: Cursor) => void;
  readonly reject: (error: BackplaneError) => void;
  /** Its publisher has got its answer. */
  settled: boolean;
  /** In which it was sent; `undefined` as long as it is certainly not in the log. */
  batch: Sent | undefined;
}

/** A batch that the log may have. Whatever happens to its entries, it is sent again as it is, so that it is known again. */
interface Sent extends Batch {
  readonly items: readonly Item[];
  /** When it was first sent. */
  readonly since: number;
  attempts: number;
}

/**
 * The appends of one publisher, in order. What comes while a batch is on its way to the broker is the next batch: so one
 * event alone leaves at once, and the more there are, the less each of them costs. There is no timer, and never more than
 * one batch that is not stored, so nothing can be stored behind what followed it.
 */
export class Outbox {
  /** Names this publisher. */
  readonly publisher = randomBytes(9).toString('base64url');
  /** What was never sent, or has certainly not been stored. */
  #waiting: Item[] = [];
  /** What was sent and has no answer, oldest first. */
  #sent: Sent[] = [];
  /** Of these, what is to be sent again. */
  #again: Sent[] = [];
  /** The one that is not stored yet. */
  #current: Sent | undefined;
  /** Attempts that have no answer. */
  #onTheirWay = 0;
  #batches = 0;
  /** Bytes of a batch of several, when the broker has refused more. */
  #mostBytes = MAX_BATCH_BYTES;
  readonly #backOff = new BackOff();
  #size = 0;
  #bytes = 0;
  #state: 'idle' | 'opening' | 'sending' | 'failed' | 'waiting' | 'closed' = 'idle';
  /** Why nothing could be sent. */
  #trouble: unknown;
  #scheduled = false;
  #timer: NodeJS.Timeout | undefined;
  #onEmpty: (() => void) | undefined;

  constructor(
    private readonly sender: Sender,
    private readonly options: OutboxOptions,
  ) {}

  /** Entries that wait for the broker's answer. */
  get size(): number {
    return this.#size;
  }

  /** Whether the last attempt failed. */
  get failing(): boolean {
    return this.#backOff.attempts > 0;
  }

  append(entry: Entry, patience: Patience): Promise<Cursor> {
    const text = encodeEntry(entry);
    const bytes = Buffer.byteLength(text);
    const fault = this.#faultOf(bytes);
    if (fault !== undefined) return Promise.reject(new BackplaneError(fault, 'no'));
    return new Promise((resolve, reject) => {
      const deadline = patience === 'timeout' ? performance.now() + this.options.publishTimeout : Infinity;
      this.#waiting.push({ text, bytes, deadline, resolve, reject, settled: false, batch: undefined });
      this.#size++;
      this.#bytes += bytes;
      if (patience === 'timeout') this.#watch(this.options.publishTimeout);
      this.#schedule();
    });
  }

  /** The broker can be reached again: what waits for the next attempt need not wait longer. */
  wake(): void {
    this.#backOff.wake();
  }

  /** Waits at most so many milliseconds for what is pending; what is left is rejected. Nothing can be appended any more. */
  async close(patience: number): Promise<void> {
    if (this.#size > 0 && this.#state !== 'closed') await this.#emptied(patience);
    this.#state = 'closed';
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#backOff.wake();
    for (const item of this.#pending()) this.#giveUp(item, 'the hub was shut down before it was stored');
  }

  /** Everything that waits for an answer, oldest first. */
  *#pending(): Iterable<Item> {
    for (const { items } of this.#sent) yield* items;
    yield* this.#waiting;
  }

  #faultOf(bytes: number): string | undefined {
    const { broker, maxPending, maxPendingBytes, maxEntryBytes } = this.options;
    if (this.#state === 'closed') return `The connection to ${broker} is closed.`;
    if (bytes > maxEntryBytes) return `The entry is ${bytes} bytes in ${broker}; maxEntryBytes is ${maxEntryBytes}.`;
    if (this.#size >= maxPending) {
      return `${this.#size} entries wait for ${broker} already; maxPending is ${maxPending}.`;
    }
    if (this.#bytes + bytes > maxPendingBytes && this.#size > 0) {
      return `${this.#bytes} bytes wait for ${broker} already; maxPendingBytes is ${maxPendingBytes}.`;
    }
    return undefined;
  }

  #emptied(patience: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, patience);
      this.#onEmpty = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  // All that one turn of the event loop appends leaves together.
  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    queueMicrotask(() => {
      this.#scheduled = false;
      this.#pump();
    });
  }

  #pump(): void {
    if (this.#state === 'idle') void this.#open();
    if (this.#state !== 'sending' || this.#current) return;
    const batch = this.#again.shift() ?? this.#nextBatch();
    if (batch) void this.#send(batch);
  }

  async #open(): Promise<void> {
    this.#state = 'opening';
    try {
      await this.sender.open?.();
      if (this.#isClosed()) return;
      // With nothing to send, that is all that can be known.
      if (this.#size === 0) this.#backOff.reset();
      this.#state = 'sending';
      this.#pump();
    } catch (error) {
      this.#trouble = error;
      if (!this.#isClosed()) void this.#tryAgain();
    }
  }

  #nextBatch(): Sent | undefined {
    const items: Item[] = [];
    let bytes = 0;
    let taken = 0;
    for (const item of this.#waiting) {
      if (items.length === MAX_COUNT || (items.length > 0 && bytes + item.bytes > this.#mostBytes)) break;
      taken++;
      if (item.settled) continue;
      items.push(item);
      bytes += item.bytes;
    }
    this.#waiting.splice(0, taken);
    if (items.length === 0) return undefined;
    const batch = this.#batchOf(items, bytes);
    for (const item of items) item.batch = batch;
    this.#sent.push(batch);
    return batch;
  }

  #batchOf(items: readonly Item[], bytes: number): Sent {
    const n = ++this.#batches;
    const text = encodeBatch(items.map((item) => item.text));
    const uid = `${this.publisher}-${n}`;
    return { n, uid, count: items.length, text, bytes, items, since: performance.now(), attempts: 0 };
  }

  async #send(batch: Sent): Promise<void> {
    this.#current = batch;
    this.#onTheirWay++;
    const isFirst = ++batch.attempts === 1;
    try {
      this.#onStored(batch, await this.sender.send(batch, () => this.#sendNext(batch)));
    } catch (error) {
      this.#onFailed(batch, error, isFirst);
    }
    this.#onTheirWay--;
    this.#sendNext(batch);
    if (this.#state === 'failed' && this.#onTheirWay === 0) void this.#tryAgain();
  }

  /** It is stored, or this attempt has failed. */
  #sendNext(batch: Sent): void {
    if (this.#current !== batch) return;
    this.#current = undefined;
    this.#schedule();
  }

  #onStored(batch: Sent, last: Cursor): void {
    this.#backOff.reset();
    this.#trouble = undefined;
    this.#takeOut(batch);
    for (const [i, item] of batch.items.entries()) {
      if (this.#settle(item)) item.resolve({ epoch: last.epoch, position: placeIn(batch.count, last.position, i) });
    }
  }

  #onFailed(batch: Sent, error: unknown, isFirst: boolean): void {
    this.#trouble = error;
    const isUnstored = isFirst && error instanceof BackplaneError && error.stored === 'no';
    if (error instanceof TooLarge && isUnstored && batch.count > 1) {
      this.#mostBytes = batch.bytes / 2;
      this.#dissolve(batch);
    } else if (error instanceof Refused) {
      this.#takeOut(batch);
      // An attempt before this one may have stored it.
      if (!isUnstored) for (const item of batch.items) this.#giveUp(item, 'it was refused');
      else for (const item of batch.items) if (this.#settle(item)) item.reject(error);
    } else {
      if (isUnstored) this.#dissolve(batch);
      if (this.#state === 'sending') this.#state = 'failed';
    }
  }

  /** None of it is stored, and none of what came after it was sent: it need not stay one. */
  #dissolve(batch: Sent): void {
    this.#takeOut(batch);
    const items = batch.items.filter((item) => !item.settled);
    for (const item of items) item.batch = undefined;
    this.#waiting = [...items, ...this.#waiting];
  }

  #takeOut(batch: Sent): void {
    const at = this.#sent.indexOf(batch);
    if (at >= 0) this.#sent.splice(at, 1);
  }

  async #tryAgain(): Promise<void> {
    this.#state = 'waiting';
    await this.#backOff.wait();
    if (this.#isClosed()) return;
    const forgotten = performance.now() - this.options.memory;
    for (const batch of this.#sent) {
      if (batch.since >= forgotten) continue;
      for (const item of batch.items) this.#giveUp(item, 'too late to send it again without storing it twice');
    }
    this.#again = this.#sent.filter(({ items }) => items.some((item) => !item.settled));
    this.#sent = [...this.#again];
    void this.#open();
  }

  #isClosed(): boolean {
    return this.#state === 'closed';
  }

  #settle(item: Item): boolean {
    if (item.settled) return false;
    item.settled = true;
    this.#bytes -= item.bytes;
    if (--this.#size === 0) this.#onEmpty?.();
    return true;
  }

  /** What is in a batch that may be stored stays there; only its publisher waits no longer. */
  #giveUp(item: Item, reason: string): void {
    if (!this.#settle(item)) return;
    const { broker } = this.options;
    const stored = item.batch ? 'unknown' : 'no';
    const fate = stored === 'no' ? 'It is not in the log.' : 'It may be in the log.';
    const trouble = this.#trouble instanceof Error ? ` (${this.#trouble.message})` : '';
    item.reject(new BackplaneError(`${broker}: ${reason}${trouble}. ${fate}`, stored, { cause: this.#trouble }));
  }

  // One timer for all: they have the same patience, so the oldest is the next.
  #watch(ms: number): void {
    this.#timer ??= setTimeout(() => this.#onTime(), Math.ceil(ms)).unref();
  }

  #onTime(): void {
    this.#timer = undefined;
    const now = performance.now();
    for (const item of this.#pending()) {
      if (item.settled || item.deadline === Infinity) continue;
      if (item.deadline > now) {
        this.#watch(item.deadline - now);
        break;
      }
      this.#giveUp(item, `no answer within ${this.options.publishTimeout} ms`);
    }
    // While the broker is away nothing else takes them out.
    this.#waiting = this.#waiting.filter((item) => !item.settled);
  }
}
