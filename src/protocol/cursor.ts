import { CURSOR_PREFIX } from './event.js';

/** Where an entry stands in the log. Positions only grow, even when a clock steps back. */
export interface Position {
  /** Milliseconds since 1970 on the log's clock. */
  readonly ms: number;
  /** Counts the entries of one millisecond. */
  readonly seq: number;
}

/** Before every entry. */
export const ORIGIN: Position = Object.freeze({ ms: 0, seq: 0 });

/** The cursor of a stream that is over for good. A request that comes with it is answered 204 (No Content). */
export const TERMINAL_CURSOR = `${CURSOR_PREFIX}end`;

/** The cursor of a client that was refused before it had a place. A request that comes with it is like one without any. */
export const NEW_CURSOR = `${CURSOR_PREFIX}new`;

/** What was refused with a last event ID that cannot be given back: it is as foreign as that one. */
export const FOREIGN_CURSOR = `${CURSOR_PREFIX}foreign`;

export const MAX_CURSOR_BYTES = 128;

/** Ends the cursor of a client whose `initial` events have not all left yet. */
const INITIAL_DUE = '~i';

const CURSOR = /^1~([0-9a-z._]{1,64})~([0-9a-z]{1,11})-([0-9a-z]{1,11})(~i)?$/;

export function comparePositions(a: Position, b: Position): number {
  return a.ms - b.ms || a.seq - b.seq;
}

/**
 * The value of `Last-Event-ID`: `1~<epoch>~<ms>-<sequence>`, numbers in base 36, and `~i` behind it while the client's
 * `initial` events are due. The alphabet is a conservative choice for headers, URLs and CORS-safelisted requests.
 */
export function formatCursor(epoch: string, position: Position): string {
  const { ms, seq } = position;
  if (ms !== latest.ms || epoch !== latest.epoch) {
    latest = { ms, epoch, prefix: `${CURSOR_PREFIX}${epoch}~${ms.toString(36)}-` };
  }
  return latest.prefix + seq.toString(36);
}

/** What comes in one batch, or in one turn, is of the same time as a rule, and milliseconds are what takes long to write. */
let latest = { ms: Number.NaN, epoch: '', prefix: '' };

export interface Cursor {
  readonly epoch: string;
  readonly position: Position;
  /** Its client has not got all of its `initial` events. */
  readonly initialDue?: true;
}

/** The cursor in `text`, or `undefined` when it is none of ours. */
export function parseCursor(text: string): Cursor | undefined {
  if (text.length > MAX_CURSOR_BYTES) return undefined;
  const match = CURSOR.exec(text);
  if (!match) return undefined;
  const [, epoch = '', ms = '', seq = '', initialDue] = match;
  const position = { ms: Number.parseInt(ms, 36), seq: Number.parseInt(seq, 36) };
  if (!Number.isSafeInteger(position.ms) || !Number.isSafeInteger(position.seq)) return undefined;
  return { epoch, position, ...(initialDue !== undefined && { initialDue: true }) };
}

/** The same cursor, for a client that has its `initial` events before it, or has not. */
export function withInitialDue(cursor: string, due: boolean): string {
  if (cursor.endsWith(INITIAL_DUE) === due) return cursor;
  return due ? cursor + INITIAL_DUE : cursor.slice(0, -INITIAL_DUE.length);
}
