import { type Cursor, ORIGIN, type Position } from '../protocol/cursor.js';
import type { Entry } from '../protocol/entry.js';
import type { Backplane, LogEntry, LogListener } from './backplane.js';
import { randomEpoch } from './epoch.js';
import { type Audience, countIn, type GroupPresence, groupsIn, type Presence } from './presence.js';

/**
 * The backplane of a single process, which is the default: an entry is delivered to every hub that uses it before
 * `append` returns. It stores nothing (the hubs' windows do), so a hub that starts later begins at the end.
 *
 * @example
 * // Two hubs in one process, as two nodes would be: what one publishes reaches the clients of both.
 * const backplane = new MemoryBackplane();
 * const [a, b] = [new SSEService({ backplane }), new SSEService({ backplane })];
 */
export class MemoryBackplane implements Backplane {
  readonly kind = 'memory';
  readonly status = 'up';
  readonly presence = new MemoryPresence();
  readonly #epoch = randomEpoch();
  readonly #readers = new Set<LogListener>();
  /** Appended, and not delivered to everybody yet. */
  readonly #undelivered: LogEntry[] = [];
  readonly #positions = new Positions();

  // Not `async`: whoever publishes may rely on observers having run when this returns.
  start(reader: LogListener): Promise<void> {
    if (this.#readers.has(reader)) return Promise.resolve();
    this.#readers.add(reader);
    reader.begin(this.#epoch, this.#positions.last);
    reader.ready();
    return Promise.resolve();
  }

  append(entry: Entry): Promise<Cursor> {
    const previous = this.#positions.last;
    const position = this.#positions.next();
    this.#undelivered.push({ epoch: this.#epoch, position, previous, entry });
    // What an observer publishes while it is called comes after its event for all hubs, not only for its own.
    if (this.#undelivered.length === 1) this.#deliver();
    return Promise.resolve({ epoch: this.#epoch, position });
  }

  #deliver(): void {
    try {
      for (const entry of this.#undelivered) for (const reader of this.#readers) reader.deliver([entry]);
    } finally {
      this.#undelivered.length = 0;
    }
  }

  end(): Promise<Position> {
    return Promise.resolve(this.#positions.last);
  }

  close(reader: LogListener): Promise<void> {
    this.#readers.delete(reader);
    return Promise.resolve();
  }
}

class MemoryPresence implements Presence {
  readonly #audiences = new Set<Audience>();

  join(audience: Audience): void {
    this.#audiences.add(audience);
  }

  leave(audience: Audience): Promise<void> {
    this.#audiences.delete(audience);
    return Promise.resolve();
  }

  count(topic: string): Promise<number> {
    return Promise.resolve(countIn(this.#audiences, topic));
  }

  groups(topic: string): Promise<GroupPresence[]> {
    return Promise.resolve(groupsIn(this.#audiences, topic));
  }
}

/**
 * Hands out positions. A clock that was set back must not lead to one twice, and time must not stand still until it is
 * where it was: what is published then would be as old as that.
 */
class Positions {
  #last: Position = ORIGIN;
  /** When that was, on the clock that nobody sets. */
  #at = performance.now();

  get last(): Position {
    return this.#last;
  }

  next(): Position {
    const { ms, seq } = this.#last;
    const wall = Date.now();
    // As most are that come in a burst; the other clock has nothing to say then.
    if (wall === ms) return (this.#last = { ms, seq: seq + 1 });
    const at = performance.now();
    const passed = Math.floor(at - this.#at);
    const now = Math.max(wall, ms + passed);
    if (now > ms) {
      // What is less than a millisecond is kept: it would add up to minutes.
      this.#at = wall < now ? this.#at + passed : at;
      this.#last = { ms: now, seq: 0 };
    } else {
      this.#last = { ms, seq: seq + 1 };
    }
    return this.#last;
  }
}
