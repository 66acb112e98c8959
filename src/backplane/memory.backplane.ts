import { randomBytes } from 'node:crypto';

import { ORIGIN, type Position } from '../protocol/cursor.js';
import type { Backplane, Entry, LogReader } from './backplane.js';

/**
 * The log of a single process: an entry is delivered to every hub that uses it before `append` returns. It stores
 * nothing (the hubs' windows do), so a hub that starts later begins at the end.
 */
export class MemoryBackplane implements Backplane {
  readonly kind = 'memory';
  readonly status = 'up';
  readonly #epoch = BigInt(`0x${randomBytes(10).toString('hex')}`).toString(36);
  readonly #readers = new Set<LogReader>();
  #last: Position = ORIGIN;

  // Not `async`: whoever publishes may rely on observers having run when this returns.
  start(reader: LogReader): Promise<void> {
    if (this.#readers.has(reader)) return Promise.resolve();
    this.#readers.add(reader);
    reader.begin(this.#epoch, this.#last);
    reader.ready();
    return Promise.resolve();
  }

  append(entry: Entry): Promise<Position> {
    const previous = this.#last;
    const position = following(previous);
    this.#last = position;
    const entries = [{ epoch: this.#epoch, position, previous, entry }];
    for (const reader of this.#readers) reader.deliver(entries);
    return Promise.resolve(position);
  }

  end(): Promise<Position> {
    return Promise.resolve(this.#last);
  }

  close(reader: LogReader): Promise<void> {
    this.#readers.delete(reader);
    return Promise.resolve();
  }
}

/** A clock that was set back must not lead to a position twice: then the sequence counts on. */
function following({ ms, seq }: Position): Position {
  const now = Date.now();
  return now > ms ? { ms: now, seq: 0 } : { ms, seq: seq + 1 };
}
