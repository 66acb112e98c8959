import { ORIGIN, type Position } from '../../protocol/cursor.js';
import type { Entry } from '../backplane.js';
import { decodeEntry } from '../entry-codec.js';
import { parseId } from './keys.js';

/** An entry of the stream that one of ours has written. */
export interface StreamEntry {
  readonly position: Position;
  /** Unknown when it was added without a script. */
  readonly previous: Position | undefined;
  /** `undefined` when it is too large, or cannot be read: its place counts nevertheless. */
  readonly entry: Entry | undefined;
}

/** `undefined` for what somebody else has put into the stream. */
export function readEntry(id: string, fields: readonly string[], maxBytes: number): StreamEntry | undefined {
  const position = parseId(id);
  const text = fieldOf(fields, 'd');
  if (!position || epochOf(fields) === undefined || text === undefined) return undefined;
  const before = fieldOf(fields, 'p');
  const previous = before === undefined ? undefined : parseId(before);
  if (before !== undefined && !previous) return undefined;
  const isTooLarge = text.length > maxBytes || Buffer.byteLength(text) > maxBytes;
  return { position, previous, entry: isTooLarge ? undefined : decodeEntry(text) };
}

/**
 * The life of the log in which it was added. Without a script that was asked for before, so it may be the one before:
 * to be believed only when the log says the same. `undefined` for what somebody else has put into the stream.
 */
export function epochOf(fields: readonly string[]): string | undefined {
  return fieldOf(fields, 'e');
}

/** The place just before an entry whose predecessor is not known. */
export function justBefore({ ms, seq }: Position): Position {
  if (seq > 0) return { ms, seq: seq - 1 };
  return ms > 0 ? { ms: ms - 1, seq: Number.MAX_SAFE_INTEGER } : ORIGIN;
}

function fieldOf(fields: readonly string[], name: string): string | undefined {
  for (let i = 0; i + 1 < fields.length; i += 2) if (fields[i] === name) return fields[i + 1];
  return undefined;
}
