import { type Cursor, ORIGIN } from '../../protocol/cursor.js';
import type { Batch } from '../broker/batch.js';
import { lastPlaceIn } from './message.js';

/** A batch that was sent. */
interface Sent {
  readonly n: number;
  /** When it was first sent of the times that may have stored it, and last. */
  readonly since: number;
  readonly last: number;
  /** Who waits for its place, unless the attempt has failed. */
  callback: ((cursor: Cursor) => void) | undefined;
  /** The sequence number of its last entry, as NATS has answered. */
  seq: number | undefined;
  /** Where it was read, after the attempt had failed. */
  place: Cursor | undefined;
}

/**
 * Where the batches of this process ended up. NATS' answer says the sequence of a message, not its time; the node reads
 * everything anyway, and what it has read is certainly stored. What was trimmed before that has a place too, if none that
 * anybody gets an event from.
 */
export class OwnAppends {
  /** By ID: what waits to be read, and what may be asked for again. */
  readonly #sent = new Map<string, Sent>();
  /** The last entry that was read. */
  #last: Cursor = { epoch: '0', position: ORIGIN };
  /** When it was last found that entries had gone before they were read. */
  #missedAt = -Infinity;
  /** When the log had nothing that has not been read by now. */
  #readUpTo = -Infinity;

  /** Where it is, when it has been read since nobody knew. */
  find(uid: string): Cursor | undefined {
    return this.#sent.get(uid)?.place;
  }

  /** When it was sent so far, if it may be stored. */
  doubtAbout(uid: string): Pick<Sent, 'since' | 'last'> | undefined {
    return this.#sent.get(uid);
  }

  /** It is being sent: calls back when it is known where it is. */
  wait({ uid, n }: Batch, callback: (cursor: Cursor) => void): void {
    this.#forgetBefore(n);
    const last = performance.now();
    const since = this.#sent.get(uid)?.since ?? last;
    this.#sent.set(uid, { n, since, last, callback, seq: undefined, place: undefined });
  }

  /** NATS has stored it, in the message of this sequence. */
  answered(uid: string, message: number): void {
    const sent = this.#sent.get(uid);
    if (!sent?.callback) return;
    sent.seq = lastPlaceIn(message);
    this.#settleUpTo(this.#last.position.seq);
  }

  /** The attempt has failed, and may have stored it. */
  failed(uid: string, stored: 'no' | 'unknown'): void {
    const sent = this.#sent.get(uid);
    if (!sent) return;
    // An answer of a server that has gone since proves nothing: it may be back without the message.
    sent.callback = undefined;
    sent.seq = undefined;
    if (stored === 'no' && sent.since === sent.last) this.#sent.delete(uid);
  }

  /** Something has been read, up to this entry. Answers whether it was sent here. */
  note(uid: string | undefined, cursor: Cursor): boolean {
    this.#last = cursor;
    if (this.#sent.size === 0) return false;
    const sent = uid === undefined ? undefined : this.#sent.get(uid);
    if (sent) this.#settle(uid!, sent, cursor);
    this.#settleUpTo(cursor.position.seq);
    return sent !== undefined;
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
    for (const sent of this.#sent.values()) sent.place = undefined;
    this.#last = { epoch: this.#last.epoch, position: ORIGIN };
  }

  /** What has failed, and came before this one of its publisher, is not sent again. */
  #forgetBefore(n: number): void {
    for (const [uid, sent] of this.#sent) if (!sent.callback && sent.n < n) this.#sent.delete(uid);
  }

  /** What was stored up to here, and was not read where it should have come, was trimmed. */
  #settleUpTo(end: number): void {
    const { epoch, position } = this.#last;
    for (const [uid, sent] of this.#sent) {
      if (sent.seq === undefined) continue;
      if (sent.seq > end) return;
      this.#settle(uid, sent, { epoch, position: { ms: position.ms, seq: sent.seq } });
    }
  }

  #settle(uid: string, sent: Sent, cursor: Cursor): void {
    if (!sent.callback) {
      sent.place = cursor;
      return;
    }
    this.#sent.delete(uid);
    sent.callback(cursor);
  }
}
