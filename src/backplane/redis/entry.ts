import { comparePositions, type Position } from '../../protocol/cursor.js';
import type { Entry } from '../../protocol/entry.js';
import { decodeBatch, MAX_COUNT, placeIn } from '../broker/batch.js';
import { parseId } from './keys.js';

/** An entry of the stream that looks like a batch of the log's, by what it says of itself. */
export interface StreamEntry {
  /** The place of the batch's last entry. */
  readonly position: Position;
  /** The place just before its first one. */
  readonly previous: Position;
  /** The epoch of the log in which it was added. */
  readonly epoch: string;
  /** How many entries it has. */
  readonly count: number;
  readonly text: string;
}

/** `undefined` for what somebody else has put into the stream. */
export function readEntry(id: string, fields: readonly string[]): StreamEntry | undefined {
  const position = parseId(id);
  const previous = parseId(fieldOf(fields, 'p') ?? '');
  const epoch = epochOf(fields);
  const count = countIn(fieldOf(fields, 'n'));
  const text = fieldOf(fields, 'd');
  if (!position || !previous || epoch === undefined || count === undefined || text === undefined) return undefined;
  // The first one's place would not be a number that a cursor can have.
  if (position.seq < count - 1) return undefined;
  return { position, previous, epoch, count, text };
}

/** Its entries, each `undefined` where this node cannot read it, or will not: their places count. */
export function entriesIn({ count, text }: StreamEntry, maxBytes: number): readonly (Entry | undefined)[] {
  return decodeBatch(text, count, maxBytes) ?? Array.from({ length: count }, () => undefined);
}

function countIn(text = ''): number | undefined {
  const count = Number(text);
  return Number.isInteger(count) && count > 0 && count <= MAX_COUNT ? count : undefined;
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
  { position, previous, epoch, count }: Omit<StreamEntry, 'text'>,
  { epoch: present, since, last }: Chain,
  evidence?: Evidence,
): 'next' | 'hole' | 'foreign' | 'lost' | 'doubtful' {
  if (comparePositions(previous, placeIn(count, position, 0)) >= 0) return 'foreign';
  if (epoch !== present && comparePositions(position, since) > 0) return 'foreign';
  const order = last && comparePositions(previous, last);
  if (order === 0) return 'next';
  if (!evidence) return 'doubtful';
  if (!evidence.isOurs) return 'foreign';
  if (order === undefined || order > 0) return 'hole';
  // Another's was taken for the last one, if that is still there.
  return evidence.hasLast ? 'next' : 'lost';
}
