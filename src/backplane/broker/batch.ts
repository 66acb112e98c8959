import type { Position } from '../../protocol/cursor.js';
import { asEntry, encodeEntry, type Entry } from '../../protocol/entry.js';

/**
 * Entries that travel to the broker as one, and are one there: what a publisher had when its last batch was stored. A
 * script call or a message costs far more than the entries in it.
 */
export interface Batch {
  /** Counts the batches of this publisher, from 1 on. */
  readonly n: number;
  /** Publisher, `-` and `n`. The same whenever it is sent, and no other's: for the broker to tell a repetition. */
  readonly uid: string;
  /** How many entries it has. They have as many places in the log, one sequence number after the other. */
  readonly count: number;
  /** All of them, encoded. */
  readonly text: string;
  readonly bytes: number;
}

/** The most entries of a batch. */
export const MAX_COUNT = 1_000;

/** Bytes of entries beyond which a batch takes no more of them. A single one may have more. */
export const MAX_BATCH_BYTES = 256 * 1024;

/** The form in which batches are written, so that there can be another one day, beside this one in the same log. */
const VERSION = 1;

/** What is around the entries of a batch, at most. */
const FRAME_BYTES = 16;

/** The text of a batch of these entries, each encoded by itself. */
export function encodeBatch(entries: readonly string[]): string {
  return `[${VERSION},${entries.join(',')}]`;
}

/**
 * The entries in the text of a batch, each `undefined` where it is unreadable, or has more than `maxEntryBytes`: its
 * place in the log counts. `undefined` for a text that is no batch of `count` entries.
 */
export function decodeBatch(
  text: string,
  count: number,
  maxEntryBytes: number,
): readonly (Entry | undefined)[] | undefined {
  if (text.length > Math.max(MAX_BATCH_BYTES + MAX_COUNT, maxEntryBytes) + FRAME_BYTES) return undefined;
  const values = parse(text);
  if (!Array.isArray(values) || values[0] !== VERSION || values.length !== count + 1) return undefined;
  const entries = values.slice(1).map(asEntry);
  // UTF-8 takes at most three bytes for a unit of a text.
  if (3 * text.length <= maxEntryBytes) return entries;
  return entries.map((entry) => (entry && bytesOf(entry) <= maxEntryBytes ? entry : undefined));
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function bytesOf(entry: Entry): number {
  return Buffer.byteLength(encodeEntry(entry));
}

/** The place of an entry in a batch of so many, by that of the last one. */
export function placeIn(count: number, last: Position, i: number): Position {
  return { ms: last.ms, seq: last.seq - (count - 1 - i) };
}
