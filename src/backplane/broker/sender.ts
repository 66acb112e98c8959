import type { Cursor } from '../../protocol/cursor.js';
import type { Entry } from '../../protocol/entry.js';
import { BackplaneError } from '../backplane-error.js';

/** An entry on its way to the broker. Sent again, it is the same object. */
export interface Outgoing {
  /** Counts the appends of this outbox, from 1 on. */
  readonly n: number;
  /** Publisher, `-` and `n`. The same whenever it is sent, and no other's: for the broker to tell a repetition. */
  readonly uid: string;
  readonly entry: Entry;
  /** The entry, encoded. */
  readonly text: string;
  readonly bytes: number;
  /**
   * The `n` of the one sent just before it on the same connection, 0 when it is the first: a broker that can should
   * refuse it without that one, because then that one will be sent again, and before it.
   */
  readonly after: number;
}

/** One broker's side of appending: it sends what an outbox gives it. */
export interface Sender {
  /** Called before the first batch, and before one is sent again: gets ready to send. Settles within some seconds. */
  open?(): Promise<unknown>;
  /**
   * Sends these entries in this order, without waiting for one to be stored before the next is sent. A promise for what
   * the broker does not answer for settles within some seconds. They reject with a `BackplaneError` that says whether
   * *this attempt* may have stored it; any other error counts as `unknown`. All are sent again, except with `Refused`.
   * Everything before `oldest` is settled and will never be sent again.
   */
  send(batch: readonly Outgoing[], oldest: number): readonly Promise<Cursor>[];
}

/** What a `Sender` rejects with when sending the entry again makes no sense. */
export class Refused extends BackplaneError {}
