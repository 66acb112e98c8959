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

export const MAX_CURSOR_BYTES = 128;

const CURSOR = /^1~([0-9a-z._]{1,64})~([0-9a-z]{1,11})-([0-9a-z]{1,11})$/;

export function comparePositions(a: Position, b: Position): number {
  return a.ms - b.ms || a.seq - b.seq;
}

/**
 * The value of `Last-Event-ID`: `1~<epoch>~<ms>-<sequence>`, numbers in base 36. The alphabet is a conservative choice
 * for headers, URLs and CORS-safelisted requests.
 */
export function formatCursor(epoch: string, position: Position): string {
  return `${CURSOR_PREFIX}${epoch}~${position.ms.toString(36)}-${position.seq.toString(36)}`;
}

export interface Cursor {
  readonly epoch: string;
  readonly position: Position;
}

/** The cursor in `text`, or `undefined` when it is none of ours. */
export function parseCursor(text: string): Cursor | undefined {
  if (text.length > MAX_CURSOR_BYTES) return undefined;
  const match = CURSOR.exec(text);
  if (!match) return undefined;
  const [, epoch = '', ms = '', seq = ''] = match;
  const position = { ms: Number.parseInt(ms, 36), seq: Number.parseInt(seq, 36) };
  if (!Number.isSafeInteger(position.ms) || !Number.isSafeInteger(position.seq)) return undefined;
  return { epoch, position };
}
