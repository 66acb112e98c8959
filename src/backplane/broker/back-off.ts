import { setTimeout as delay } from 'node:timers/promises';

/** Milliseconds. `LEAST` keeps a broker that fails at once from being asked in a tight loop. */
const LEAST = 10;
const FIRST = 50;
const MOST = 2_000;

/**
 * Waiting between attempts, longer each time up to two seconds, with full jitter: many nodes that lost the same broker
 * come back spread out. https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/
 */
export class BackOff {
  #attempts = 0;
  #wake: AbortController | undefined;

  /** How many waits there were since the last success. */
  get attempts(): number {
    return this.#attempts;
  }

  /** To be called when an attempt has succeeded: the next wait is a short one again. */
  reset(): void {
    this.#attempts = 0;
  }

  /** Ends the present wait. */
  wake(): void {
    this.#wake?.abort();
  }

  async wait(): Promise<void> {
    const most = Math.min(MOST, FIRST * 2 ** this.#attempts++);
    this.#wake = new AbortController();
    // Rejects when it is woken, which is only the sooner end of the wait.
    await delay(LEAST + Math.random() * most, undefined, { ref: false, signal: this.#wake.signal }).catch(() => {});
    this.#wake = undefined;
  }
}
