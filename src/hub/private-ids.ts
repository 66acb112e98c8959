import { comparePositions, type Cursor } from '../protocol/cursor.js';

/** Behind which cursor an event with this id was sent, to one client; to several: the oldest of them. */
export interface SentId {
  readonly cursor: Cursor;
  readonly ambiguous: boolean;
}

const MAX_REMEMBERED = 10_000;

/** The ids that the application gave to events for single clients, as far as a bounded memory of them reaches. */
export class PrivateIds {
  readonly #sent = new Map<string, SentId>();

  find(id: string): SentId | undefined {
    return this.#sent.get(id);
  }

  remember(id: string, cursor: Cursor): void {
    const known = this.#sent.get(id);
    this.#sent.delete(id);
    this.#sent.set(id, known ? oldestOf(known, cursor) : { cursor, ambiguous: false });
    if (this.#sent.size > MAX_REMEMBERED) this.#sent.delete(this.#sent.keys().next().value!);
  }
}

function oldestOf(known: SentId, cursor: Cursor): SentId {
  if (known.cursor.epoch !== cursor.epoch) return { cursor, ambiguous: true };
  const order = comparePositions(cursor.position, known.cursor.position);
  if (order === 0) return known;
  return { cursor: order < 0 ? cursor : known.cursor, ambiguous: true };
}
