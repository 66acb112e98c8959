import type { Entry } from './backplane.js';

/** As long as a hub does unless it is told otherwise, in milliseconds; and as many. */
const MAX_AGE = 24 * 60 * 60_000;
const MAX_REMEMBERED = 100_000;
/** Many at a time, because a Map has to look past everything that was deleted at its beginning. */
const FORGOTTEN_AT_ONCE = 1_000;

/** Which topics of a log are closed: for hubs that start later than the entries that closed them. */
export class ClosedTopics {
  /** With the time when they were. */
  readonly #closed = new Map<string, number>();

  /** To be told of every entry, in log order. */
  note(entry: Entry): void {
    if (entry.kind !== 'close' && entry.kind !== 'open') return;
    this.#closed.delete(entry.topic);
    if (entry.kind === 'close') this.#closed.set(entry.topic, Date.now());
    if (this.#closed.size >= MAX_REMEMBERED + FORGOTTEN_AT_ONCE) this.#forgetOldest();
  }

  /** Oldest first. */
  list(): string[] {
    const deadline = Date.now() - MAX_AGE;
    const closed = [...this.#closed].filter(([, at]) => at > deadline);
    return closed.slice(-MAX_REMEMBERED).map(([topic]) => topic);
  }

  #forgetOldest(): void {
    for (const topic of this.#closed.keys()) {
      if (this.#closed.size <= MAX_REMEMBERED) return;
      this.#closed.delete(topic);
    }
  }
}
