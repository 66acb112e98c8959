import type { Backplane, LogEntry, LogListener } from '../backplane/backplane.js';
import { MemoryBackplane } from '../backplane/memory.backplane.js';
import type { Presence } from '../backplane/presence.js';
import { type Cursor, ORIGIN, type Position } from '../protocol/cursor.js';
import type { Entry } from '../protocol/entry.js';
import { TestNode } from './test-node.js';

/**
 * A log in memory for several nodes, as a broker would hold it: it keeps everything, so a node that starts later, or
 * again, gets what was published before. What is published has reached all nodes when `broadcast` returns.
 *
 * @example
 * const log = new TestLog();
 * const [one, two] = [log.node(), log.node()]; // each for a `forRoot({ backplane })` of its own
 *
 * two.hold(); // a fault: this node reads nothing for now
 */
export class TestLog implements Backplane {
  readonly kind = 'test';
  readonly status = 'up';
  #memory = new MemoryBackplane();
  readonly presence: Presence = this.#memory.presence;
  #epoch = '';
  #entries: LogEntry[] = [];
  readonly #readers = new Set<LogListener>();
  readonly #keeper: LogListener = {
    begin: (epoch) => {
      this.#epoch = epoch;
      this.#entries = [];
    },
    deliver: (entries) => {
      this.#entries.push(...entries);
      for (const reader of this.#readers) reader.deliver(entries);
    },
    ready: () => {},
    skipped: () => {},
    warn: () => {},
  };

  constructor() {
    void this.#memory.start(this.#keeper);
  }

  /** The log as one node sees it, with faults of its own. */
  node(): TestNode {
    return new TestNode(this);
  }

  /**
   * Everything is gone, and another epoch begins, as when a broker comes back empty: streams get `sse.reset`.
   *
   * @example
   * log.flush();
   * await stream.next('sse.reset');
   */
  flush(): void {
    void this.#memory.close(this.#keeper);
    this.#memory = new MemoryBackplane();
    void this.#memory.start(this.#keeper);
    for (const reader of this.#readers) this.#begin(reader);
  }

  start(reader: LogListener): Promise<void> {
    if (this.#readers.has(reader)) return Promise.resolve();
    this.#readers.add(reader);
    this.#begin(reader);
    return Promise.resolve();
  }

  append(entry: Entry): Promise<Cursor> {
    return this.#memory.append(entry);
  }

  end(): Promise<Position> {
    return this.#memory.end();
  }

  close(reader: LogListener): Promise<void> {
    this.#readers.delete(reader);
    return Promise.resolve();
  }

  #begin(reader: LogListener): void {
    reader.begin(this.#epoch, ORIGIN);
    reader.deliver(this.#entries);
    reader.ready();
  }
}
