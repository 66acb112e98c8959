import { randomBytes } from 'node:crypto';

import type { Cursor } from '../../protocol/cursor.js';
import type { Entry } from '../../protocol/entry.js';
import { encodeEntry } from '../../protocol/entry.js';
import { BackplaneError } from '../backplane-error.js';
import type { Patience } from '../backplane.js';
import { BackOff } from './back-off.js';
import { type Outgoing, Refused, type Sender } from './sender.js';

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

interface Item extends Outgoing {
  after: number;
  readonly deadline: number;
  readonly resolve: (cursor: Cursor) => void;
  readonly reject: (error: BackplaneError) => void;
  /** When it was first sent in an attempt that may have stored it. */
  doubtful: number | undefined;
}

/** What is sent before an answer has come. */
const MAX_IN_FLIGHT = 512;
const MAX_BYTES_IN_FLIGHT = 1024 * 1024;

/**
 * The appends of one publisher, in order. Many are on their way at a time; after one whose fate is unknown nothing more
 * is sent until all have settled, and then everything from there on is sent again.
 */
export class Outbox {
  /** Names this publisher. */
  readonly publisher = randomBytes(9).toString('base64url');
  readonly #pending = new Map<number, Item>();
  readonly #backOff = new BackOff();
  #oldest = 1;
  #next = 1;
  #newest = 0;
  #bytes = 0;
  #inFlight = 0;
  #bytesInFlight = 0;
  #lastSent = 0;
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
    return this.#pending.size;
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
      const n = ++this.#newest;
      const deadline = patience === 'timeout' ? performance.now() + this.options.publishTimeout : Infinity;
      const uid = `${this.publisher}-${n}`;
      this.#pending.set(n, { n, uid, entry, text, bytes, after: 0, deadline, resolve, reject, doubtful: undefined });
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
    if (this.#pending.size > 0 && this.#state !== 'closed') await this.#emptied(patience);
    this.#state = 'closed';
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#backOff.wake();
    for (const item of this.#pending.values()) this.#giveUp(item, 'the hub was shut down before it was stored');
  }

  #faultOf(bytes: number): string | undefined {
    const { broker, maxPending, maxPendingBytes, maxEntryBytes } = this.options;
    if (this.#state === 'closed') return `The connection to ${broker} is closed.`;
    if (bytes > maxEntryBytes) return `The entry is ${bytes} bytes in ${broker}; maxEntryBytes is ${maxEntryBytes}.`;
    if (this.#pending.size >= maxPending) {
      return `${this.#pending.size} entries wait for ${broker} already; maxPending is ${maxPending}.`;
    }
    if (this.#bytes + bytes > maxPendingBytes && this.#pending.size > 0) {
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
    while (this.#state === 'sending' && this.#inFlight < MAX_IN_FLIGHT) {
      const batch = this.#nextBatch();
      if (batch.length === 0) return;
      this.#send(batch);
    }
  }

  async #open(): Promise<void> {
    this.#state = 'opening';
    try {
      await this.sender.open?.();
      if (this.#isClosed()) return;
      // With nothing to send, that is all that can be known.
      if (this.#pending.size === 0) this.#backOff.reset();
      this.#state = 'sending';
      this.#pump();
    } catch (error) {
      this.#trouble = error;
      if (!this.#isClosed()) void this.#tryAgain();
    }
  }

  #nextBatch(): Item[] {
    const batch: Item[] = [];
    while (this.#next <= this.#newest && this.#inFlight + batch.length < MAX_IN_FLIGHT) {
      if (this.#bytesInFlight > MAX_BYTES_IN_FLIGHT) break;
      const item = this.#pending.get(this.#next++);
      if (!item) continue;
      item.after = this.#lastSent;
      this.#lastSent = item.n;
      this.#bytesInFlight += item.bytes;
      batch.push(item);
    }
    return batch;
  }

  #send(batch: readonly Item[]): void {
    this.#inFlight += batch.length;
    while (this.#oldest < this.#next && !this.#pending.has(this.#oldest)) this.#oldest++;
    const now = performance.now();
    const answers = this.sender.send(batch, this.#oldest);
    for (const [i, item] of batch.entries()) {
      item.doubtful ??= now;
      answers[i]!.then(
        (cursor) => this.#onStored(item, cursor),
        (error: unknown) => this.#onFailed(item, error, now),
      );
    }
  }

  #onStored(item: Item, cursor: Cursor): void {
    this.#backOff.reset();
    this.#trouble = undefined;
    if (this.#forget(item)) item.resolve(cursor);
    this.#onAnswer(item);
  }

  #onFailed(item: Item, error: unknown, sentAt: number): void {
    // This attempt is known to have stored nothing, and it was the first.
    if (error instanceof BackplaneError && error.stored === 'no' && item.doubtful === sentAt) item.doubtful = undefined;
    this.#trouble = error;
    if (error instanceof Refused) {
      if (this.#forget(item)) item.reject(error);
    } else if (this.#state === 'sending') {
      this.#state = 'failed';
    }
    this.#onAnswer(item);
  }

  #onAnswer(item: Item): void {
    this.#inFlight--;
    this.#bytesInFlight -= item.bytes;
    if (this.#state === 'sending') this.#schedule();
    else if (this.#state === 'failed' && this.#inFlight === 0) void this.#tryAgain();
  }

  async #tryAgain(): Promise<void> {
    this.#state = 'waiting';
    await this.#backOff.wait();
    if (this.#isClosed()) return;
    const forgotten = performance.now() - this.options.memory;
    for (const item of this.#pending.values()) {
      if (item.doubtful === undefined) continue;
      if (item.doubtful < forgotten) this.#giveUp(item, 'too late to send it again without storing it twice');
    }
    this.#next = this.#oldest;
    this.#lastSent = 0;
    void this.#open();
  }

  #isClosed(): boolean {
    return this.#state === 'closed';
  }

  #forget(item: Item): boolean {
    if (!this.#pending.delete(item.n)) return false;
    this.#bytes -= item.bytes;
    if (this.#pending.size === 0) this.#onEmpty?.();
    return true;
  }

  /** What is on its way stays so, because what follows it was sent behind it; only its publisher waits no longer. */
  #giveUp(item: Item, reason: string): void {
    if (!this.#forget(item)) return;
    const { broker } = this.options;
    const stored = item.doubtful === undefined ? 'no' : 'unknown';
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
    for (const item of this.#pending.values()) {
      if (item.deadline === Infinity) continue;
      if (item.deadline > now) return this.#watch(item.deadline - now);
      this.#giveUp(item, `no answer within ${this.options.publishTimeout} ms`);
    }
  }
}
