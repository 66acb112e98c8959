import { BackplaneError } from '../../../src/backplane/backplane-error.js';
import type { Outgoing, Sender } from '../../../src/backplane/broker/sender.js';
import type { Cursor } from '../../../src/protocol/cursor.js';

/**
 * What happens to one attempt: the answer comes; it is lost after the entry was stored, or before; the entry is refused
 * for now; or no answer ever comes.
 */
export type Luck = 'stored' | 'answer lost' | 'never arrived' | 'refused' | 'silence';

/** A broker in memory that remembers what it has stored, and loses answers when it is told to. */
export class FakeBroker implements Sender {
  /** The data of what it has stored. */
  readonly log: string[] = [];
  /** The `uid`s of every attempt, in the order in which they were sent. */
  readonly attempts: string[] = [];
  batches = 0;
  /** Resolves when the broker can be reached. */
  open = (): Promise<void> => Promise.resolve();
  readonly #places = new Map<string, number>();
  #top = 0;

  constructor(public luck: (item: Outgoing) => Luck = () => 'stored') {}

  send(batch: readonly Outgoing[]): readonly Promise<Cursor>[] {
    this.batches++;
    // An answer that got lost was the last of its connection: whatever was sent behind it there is lost too.
    let broken: Promise<Cursor> | undefined;
    return batch.map((item) => {
      this.attempts.push(item.uid);
      if (broken) return broken;
      const luck = this.luck(item);
      const failed = this.#fail(luck);
      if (luck === 'answer lost' || luck === 'never arrived') broken = failed;
      if (luck === 'never arrived') return failed!;
      if (luck === 'refused' || item.after > this.#top) return reject('refused for now', 'no');
      const place = this.#store(item);
      return failed ?? Promise.resolve({ epoch: 'e', position: { ms: place, seq: 0 } });
    });
  }

  #fail(luck: Luck): Promise<Cursor> | undefined {
    if (luck === 'silence') return new Promise(() => {});
    return luck === 'stored' || luck === 'refused' ? undefined : reject('connection lost', 'unknown');
  }

  #store({ uid, n, text }: Outgoing): number {
    const known = this.#places.get(uid);
    if (known !== undefined) return known;
    this.log.push((JSON.parse(text) as { data: string }).data);
    this.#places.set(uid, this.log.length);
    this.#top = n;
    return this.log.length;
  }
}

function reject(message: string, stored: 'no' | 'unknown'): Promise<Cursor> {
  const rejected = Promise.reject<Cursor>(new BackplaneError(message, stored));
  rejected.catch(() => {});
  return rejected;
}
