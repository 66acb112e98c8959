import { comparePositions, type Position } from '../../protocol/cursor.js';
import { decodeEntry, type Entry } from '../../protocol/entry.js';
import { parseId } from './keys.js';

/** An entry of the stream that looks like one of the log's, by what it says of itself. */
export interface StreamEntry {
  readonly position: Position;
  readonly previous: Position;
  /** The epoch of the log in which it was added. */
  readonly epoch: string;
  /** `undefined` when it is too large, or cannot be read. */
  readonly entry: Entry | undefined;
}

/** `undefined` for what somebody else has put into the stream. */
export function readEntry(id: string, fields: readonly string[], maxBytes: number): StreamEntry | undefined {
  const position = parseId(id);
  const previous = parseId(fieldOf(fields, 'p') ?? '');
  const epoch = epochOf(fields);
  const text = fieldOf(fields, 'd');
  if (!position || !previous || epoch === undefined || text === undefined) return undefined;
  const isTooLarge = text.length > maxBytes || Buffer.byteLength(text) > maxBytes;
  return { position, previous, epoch, entry: isTooLarge ? undefined : decodeEntry(text) };
}

export function epochOf(fields: readonly string[]): string | undefined {
  return fieldOf(fields, 'e');
}

function fieldOf(fields: readonly string[], name: string): string | undefined {
  for (let i = 0; i + 1 < fields.length; i += 2) if (fields[i] === name) return fields[i + 1];
  return undefined;
}

/** What a reader knows of the log when an entry comes. */
export interface Chain {
  /** The epoch that is read. */
  readonly epoch: string;
  /** Where it began. */
  readonly since: Position;
  /** The entry that was read last; `undefined` at the beginning. */
  readonly last: Position | undefined;
}

/** What the log itself says, for an entry that does not follow the last one. */
export interface Evidence {
  /** It was added in the log's own way: what the log says of its end leads there. */
  readonly isOurs: boolean;
  /** What was read last is still there. */
  readonly hasLast: boolean;
}

/**
 * What to make of an entry. `next`: it follows. `hole`: it follows something that was never read. `foreign`: somebody
 * else has put it there, and it is passed over. `lost`: what was read is no longer in the log, which is another one then.
 * `doubtful`: that takes evidence.
 *
 * What an entry claims proves nothing, since anybody can write anything into the stream. That something is lost is only
 * proven by its absence.
 */
export function judge(
  { position, previous, epoch }: Omit<StreamEntry, 'entry'>,
  { epoch: present, since, last }: Chain,
  evidence?: Evidence,
): 'next' | 'hole' | 'foreign' | 'lost' | 'doubtful' {
  if (comparePositions(previous, position) >= 0) return 'foreign';
  if (epoch !== present && comparePositions(position, since) > 0) return 'foreign';
  const order = last && comparePositions(previous, last);
  if (order === 0) return 'next';
  if (!evidence) return 'doubtful';
  if (!evidence.isOurs) return 'foreign';
  if (order === undefined || order > 0) return 'hole';
  // Another's was taken for the last one, if that is still there.
  return evidence.hasLast ? 'next' : 'lost';
}
