import { type Cursor, ORIGIN } from '../../protocol/cursor.js';

/** More than can be on their way at a time. */
const REMEMBERED = 4_096;

/**
 * Where the appends of this process ended up. NATS' answer to an append says its sequence, not its time; the node reads
 * every entry anyway, and what it has read is certainly stored. One that was trimmed before that has a place too, if
 * none that anybody gets an event from.
 */
export class OwnAppends {
  readonly #seen = new Map<string, Cursor>();
  readonly #waiting = new Map<string, (cursor: Cursor) => void>();
  /** Sequences of what NATS has answered for, and was not read yet, by ID. */
  readonly #stored = new Map<string, number>();
  /** The last entry that was read. */
  #last: Cursor = { epoch: '0', position: ORIGIN };
  /** The newest entry that this process has sent. */
  #newestSent = '';
  /** The newest entry of this process that is stored. */
  #newest = '';
  /** When it was last found that entries had gone before they were read. */
  #missedAt = -Infinity;
  /** When the log had nothing that has not been read by now. */
  #readUpTo = -Infinity;

  constructor(private readonly publisher: () => string) {}

  find(uid: string): Cursor | undefined {
    return this.#seen.get(uid);
  }

  /** Whether the log has something that the same publisher appended later. */
  isOvertaken(uid: string): boolean {
    return this.#newest.startsWith(this.publisher()) && numberOf(this.#newest) > numberOf(uid);
  }

  /** Calls back when it is known where the entry is. */
  wait(uid: string, callback: (cursor: Cursor) => void): void {
    if (!this.#hasSent(uid)) this.#newestSent = uid;
    this.#waiting.set(uid, callback);
  }

  forget(uid: string): void {
    this.#waiting.delete(uid);
    this.#stored.delete(uid);
  }

  /** NATS has stored it, with this sequence. */
  answered(uid: string, seq: number): void {
    if (!this.#waiting.has(uid)) return;
    this.#stored.set(uid, seq);
    this.#settleUpTo(this.#last.position.seq);
  }

  /** An entry has been read. */
  note(uid: string, cursor: Cursor): void {
    this.#last = cursor;
    if (this.#hasSent(uid)) this.#remember(uid, cursor);
    if (this.#stored.size > 0) this.#settleUpTo(cursor.position.seq);
  }

  /** Up to here, entries have gone before they were read. */
  missed(upTo: Cursor): void {
    this.#missedAt = performance.now();
    if (upTo.position.seq <= this.#last.position.seq) return;
    this.#last = upTo;
    this.#settleUpTo(upTo.position.seq);
  }

  /** Whether something that was stored since then may have gone before it was read. */
  hasMissedSince(time: number): boolean {
    return this.#missedAt >= time;
  }

  /** All that the log had at that time has been read. */
  readUpTo(time: number): void {
    this.#readUpTo = Math.max(this.#readUpTo, time);
  }

  /** Whether everything that was stored before then has been read, unless it had gone. */
  hasReadSince(time: number): boolean {
    return this.#readUpTo >= time;
  }

  /** Another epoch of the log has begun: where something was says nothing about where it is. */
  clear(): void {
    this.#settleUpTo(Infinity);
    this.#seen.clear();
    this.#newest = '';
    this.#last = { epoch: this.#last.epoch, position: ORIGIN };
  }

  /** Others may give a message any ID, also one that is still to be given here. */
  #hasSent(uid: string): boolean {
    const isOwn = [uid, this.#newestSent].every((id) => id.startsWith(`${this.publisher()}-`));
    return isOwn && numberOf(uid) <= numberOf(this.#newestSent);
  }

  #remember(uid: string, cursor: Cursor): void {
    this.#seen.set(uid, cursor);
    if (this.#seen.size > REMEMBERED) this.#seen.delete(this.#seen.keys().next().value!);
    this.#settle(uid, cursor);
  }

  /** What was stored up to here, and was not read where it should have come, was trimmed. */
  #settleUpTo(end: number): void {
    const { epoch, position } = this.#last;
    for (const [uid, seq] of this.#stored) {
      if (seq > end) return;
      this.#settle(uid, { epoch, position: { ms: position.ms, seq } });
    }
  }

  #settle(uid: string, cursor: Cursor): void {
    if (!this.isOvertaken(uid)) this.#newest = uid;
    const callback = this.#waiting.get(uid);
    this.forget(uid);
    callback?.(cursor);
  }
}

/** Which one of its publisher's it is. */
function numberOf(uid: string): number {
  return Number(uid.slice(uid.lastIndexOf('-') + 1));
}
