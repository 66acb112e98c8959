import { setImmediate } from 'node:timers';

/** Characters that may be handed over in one turn of the event loop before whoever comes next has to wait. */
const PER_TURN = 32_768;

/**
 * Nest writes all that it has been given before the event loop goes on: 18 µs an event, so that a thousand clients who
 * come back with a thousand events each stop everything else for 20 s. Those who are behind therefore take turns.
 */
export class WaitingLine {
  readonly #waiting: (() => void)[] = [];
  #handed = 0;
  #scheduled = false;

  /** So much was handed over to Nest. */
  handed(size: number): void {
    this.#handed += size;
    this.#schedule();
  }

  /** Enough has been handed over in this turn. */
  get busy(): boolean {
    return this.#handed > PER_TURN || this.#waiting.length > 0;
  }

  /** Calls back when it is this one's turn. */
  join(callback: () => void): void {
    this.#waiting.push(callback);
    this.#schedule();
  }

  #schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    setImmediate(() => this.#next());
  }

  // As many as have enough for a turn between them: most have little to get, and some have left.
  #next(): void {
    this.#scheduled = false;
    this.#handed = 0;
    let served = 0;
    while (served < this.#waiting.length && this.#handed <= PER_TURN) this.#waiting[served++]!();
    this.#waiting.splice(0, served);
    if (this.#waiting.length > 0) this.#schedule();
  }
}

export const waitingLine = new WaitingLine();
