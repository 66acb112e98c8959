import type { Cursor } from '../../protocol/cursor.js';
import { BackplaneError } from '../backplane-error.js';
import type { Batch } from './batch.js';

/** One broker's side of appending: it sends what an outbox gives it. */
export interface Sender {
  /** Called before the first batch, and before one is sent again: gets ready to send. Settles within some seconds. */
  open?(): Promise<unknown>;
  /**
   * Sends a batch, which is stored as a whole, or not at all, and answers with the place of its last entry. The next one
   * is sent when this one is stored: where that is known before the place is, `stored` says so. Settles within some
   * seconds when the broker does not answer, and rejects with a `BackplaneError` that says whether *this attempt* may have
   * stored it; any other error counts as `unknown`. It is then sent again, except with `Refused`, and before any other.
   * Everything before it is settled and will never be sent again, unless it was stored and its place is not known yet.
   */
  send(batch: Batch, stored: () => void): Promise<Cursor>;
}

/** What a `Sender` rejects with when sending the batch again makes no sense. */
export class Refused extends BackplaneError {}

/** The batch has too many bytes for the broker, which has not stored it. Its entries may have fewer, each by itself. */
export class TooLarge extends Refused {}
