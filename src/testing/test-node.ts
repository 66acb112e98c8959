import { BackplaneError } from '../backplane/backplane-error.js';
import type { Backplane, LogEntry, LogListener, Patience } from '../backplane/backplane.js';
import type { Presence } from '../backplane/presence.js';
import type { Cursor, Position } from '../protocol/cursor.js';
import type { Entry } from '../protocol/entry.js';

interface Waiting {
  readonly entry: Entry;
  readonly resolve: (cursor: Promise<Cursor>) => void;
  readonly reject: (error: BackplaneError) => void;
}

/**
 * A log as one node sees it, for one hub, with faults to inject: it can read late, miss entries, and be cut off.
 * `TestLog.node()` makes one; any other backplane can be behind it too.
 */
export class TestNode implements Backplane {
  readonly kind = 'test';
  readonly presence: Presence | undefined;
  #listener: LogListener | undefined;
  #relay: LogListener | undefined;
  #isDown = false;
  #isHeld = false;
  #isReading = false;
  /** How many of the next entries never arrive. */
  #losses = 0;
  #unread: LogEntry[] = [];
  /** Appended without haste while the log was away. */
  #waiting: Waiting[] = [];

  constructor(private readonly log: Backplane) {
    const { presence } = log;
    const groups = presence?.groups?.bind(presence);
    const ask = async <T>(answer: () => Promise<T>): Promise<T> => (this.#isDown ? this.#refuse() : answer());
    this.presence = presence && {
      join: (audience) => presence.join(audience),
      leave: (audience) => presence.leave(audience),
      count: (topic) => ask(() => presence.count(topic)),
      ...(groups && { groups: (topic) => ask(() => groups(topic)) }),
    };
  }

  get status(): 'up' | 'down' {
    return this.#isDown ? 'down' : 'up';
  }

  /**
   * From now on nothing is read, as by a node that is behind: what is published reaches it later.
   *
   * @example
   * two.hold();
   * sse.broadcast('orders', 'created', { id: 7 }); // by the hub on `one`
   * two.release(); // now it is read
   */
  hold(): void {
    this.#isHeld = true;
  }

  /** Reads so many of the entries that are held back, and no more for now. */
  readSome(count: number): void {
    this.#read(count);
  }

  /** Reads what was held back, and everything that follows. */
  release(): void {
    this.#isHeld = false;
    this.#read();
  }

  /**
   * The next entries, so many, never reach this node, be they held back or still to come: the log was trimmed before it
   * had read them. When it reads the one behind them it notices, and tells its streams with `sse.reset`.
   */
  lose(count: number): void {
    this.#losses += count;
  }

  /**
   * The log cannot be reached from this node: `publish()` rejects with `BACKPLANE_UNAVAILABLE`, what is broadcast waits,
   * and nothing is read. A node that is down from the start comes to know the log when it is up.
   *
   * @example
   * one.down();
   * await assert.rejects(sse.publish('orders', 'created', { id: 7 }), { code: 'BACKPLANE_UNAVAILABLE' });
   * one.up();
   */
  down(): void {
    this.#isDown = true;
  }

  /** The log can be reached again: what waits is appended, and what was missed is read. */
  up(): void {
    this.#isDown = false;
    void this.#join();
    for (const { entry, resolve } of this.#waiting.splice(0)) resolve(this.log.append(entry, 'queue'));
    this.#read();
  }

  async start(listener: LogListener): Promise<void> {
    this.#listener = listener;
    if (!this.#isDown) await this.#join();
  }

  append(entry: Entry, patience: Patience): Promise<Cursor> {
    if (!this.#isDown) return this.log.append(entry, patience);
    if (patience === 'timeout') return this.#refuse();
    return new Promise((resolve, reject) => this.#waiting.push({ entry, resolve, reject }));
  }

  end(): Promise<Position> {
    return this.#isDown ? this.#refuse() : this.log.end();
  }

  async close(): Promise<void> {
    this.#listener = undefined;
    for (const { reject } of this.#waiting.splice(0)) reject(unreachable());
    const relay = this.#relay;
    this.#relay = undefined;
    if (relay) await this.log.close(relay);
  }

  #join(): Promise<void> {
    const listener = this.#listener;
    if (!listener || this.#relay) return Promise.resolve();
    this.#relay = {
      begin: (epoch, from) => {
        this.#unread = [];
        listener.begin(epoch, from);
      },
      ready: () => listener.ready(),
      skipped: (count) => listener.skipped(count),
      warn: (message) => listener.warn(message),
      deliver: (entries) => {
        this.#unread.push(...entries);
        if (!this.#isHeld) this.#read();
      },
    };
    return this.log.start(this.#relay);
  }

  #read(count = Infinity): void {
    // What is published meanwhile is read by the loop that runs already.
    if (this.#isDown || this.#isReading) return;
    this.#isReading = true;
    try {
      for (let left = count; left > 0 && this.#unread.length > 0; left--) {
        const entry = this.#unread.shift()!;
        if (this.#losses > 0) this.#losses--;
        else this.#listener?.deliver([entry]);
      }
    } finally {
      this.#isReading = false;
    }
  }

  #refuse(): Promise<never> {
    return Promise.reject(unreachable());
  }
}

function unreachable(): BackplaneError {
  return new BackplaneError('The log cannot be reached from this node: down() was called, and up() was not.', 'no');
}
