import { BackplaneError } from '../../../src/backplane/backplane-error.js';
import { type Batch, decodeBatch } from '../../../src/backplane/broker/batch.js';
import { type Sender, TooLarge } from '../../../src/backplane/broker/sender.js';
import type { Cursor } from '../../../src/protocol/cursor.js';
import type { EventEntry } from '../../../src/protocol/entry.js';

/**
 * What happens to one attempt: the answer comes; it is stored, and its place is told later, or never; the answer is lost
 * after the batch was stored, or before; it is refused for now, or as too large; or no answer ever comes.
 */
export type Luck =
  'stored' | 'told later' | 'place lost' | 'answer lost' | 'never arrived' | 'refused' | 'too large' | 'silence';

/** A broker in memory that remembers what it has stored, and loses answers when it is told to. */
export class FakeBroker implements Sender {
  /** The data of what it has stored. */
  readonly log: string[] = [];
  /** What was sent, by every attempt: the `n` of the batch, and the data of its entries. */
  readonly attempts: { readonly n: number; readonly data: readonly string[] }[] = [];
  /** Resolves when the broker can be reached. */
  open = (): Promise<void> => Promise.resolve();
  /** The most batches that were on their way to be stored at a time. */
  mostUnstored = 0;
  #unstored = 0;
  readonly #places = new Map<string, number>();
  #untold: (() => void)[] = [];

  constructor(public luck: (batch: Batch) => Luck = () => 'stored') {}

  async send(batch: Batch, stored: () => void): Promise<Cursor> {
    this.attempts.push({ n: batch.n, data: dataOf(batch) });
    this.mostUnstored = Math.max(this.mostUnstored, ++this.#unstored);
    await Promise.resolve();
    this.#unstored--;
    const luck = this.luck(batch);
    if (luck === 'silence') return new Promise(() => {});
    if (luck === 'refused') throw new BackplaneError('refused for now', 'no');
    if (luck === 'too large') throw new TooLarge(`${batch.bytes} bytes are too many`, 'no');
    if (luck === 'never arrived') throw new BackplaneError('connection lost', 'unknown');
    const place = this.#store(batch);
    if (luck === 'answer lost') throw new BackplaneError('connection lost', 'unknown');
    if (luck !== 'stored') {
      stored();
      await new Promise<void>((resolve) => this.#untold.push(resolve));
      if (luck === 'place lost') throw new BackplaneError('connection lost', 'unknown');
    }
    return { epoch: 'e', position: { ms: 0, seq: place } };
  }

  /** Tells the places that were to be told later. */
  tell(): void {
    for (const tell of this.#untold.splice(0)) tell();
  }

  #store(batch: Batch): number {
    const known = this.#places.get(batch.uid);
    if (known !== undefined) return known;
    this.log.push(...dataOf(batch));
    this.#places.set(batch.uid, this.log.length);
    return this.log.length;
  }
}

function dataOf({ text, count }: Batch): readonly string[] {
  const entries = decodeBatch(text, count, Infinity) ?? [];
  return entries.map((entry) => (entry as EventEntry).data);
}
