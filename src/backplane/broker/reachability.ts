import { messageOf } from '../backplane-error.js';
import type { LogListener } from '../backplane.js';
import type { Starting } from './readers.js';

export interface ReachabilityListener extends Starting {
  /** The broker can be reached again. */
  up(): void;
}

/** Whether the log in a broker can be read, as one reader finds; its hub is told when that changes. */
export class Reachability {
  #up = false;
  #failedAt: number | undefined;

  constructor(
    /** Its name, for messages. */
    private readonly broker: string,
    private readonly hub: LogListener,
    private readonly listener: ReachabilityListener,
  ) {}

  get up(): boolean {
    return this.#up;
  }

  /** To be called whenever the log could be read. */
  succeeded(): void {
    if (this.#up) return;
    this.#up = true;
    if (this.#failedAt !== undefined) {
      const seconds = ((performance.now() - this.#failedAt) / 1_000).toFixed(1);
      this.hub.warn(`${this.broker} can be reached again, after ${seconds} s.`);
    }
    this.#failedAt = undefined;
    this.listener.settled();
    this.listener.up();
  }

  /** To be called for every failure to read: only the first in a row is told. */
  failed(error: unknown): void {
    this.#up = false;
    this.listener.settled();
    if (this.#failedAt !== undefined) return;
    this.#failedAt = performance.now();
    this.hub.warn(
      `The log in ${this.broker} cannot be read (${messageOf(error)}). Streams stay open, what is broadcast waits; ` +
        'it is tried again.',
    );
  }

  /** Nothing has failed, but nothing is read for now. */
  lost(): void {
    this.#up = false;
  }
}
