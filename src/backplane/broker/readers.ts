import type { Position } from '../../protocol/cursor.js';
import type { LogListener } from '../backplane.js';

/** Reads the log for one hub. */
export interface HubReader {
  /** The broker can be reached, as far as is known. */
  readonly up: boolean;
  /** Milliseconds behind the end of the log, when that was last asked for. */
  readonly lag: number | undefined;
  /** The last entry that was read in the present epoch. */
  readonly position: Position | undefined;
  /** Settles when it is closed. */
  run(): Promise<void>;
  close(): void;
}

/** How a reader says what became of its start. */
export interface Starting {
  /** The hub has the retained window, or has to start without. */
  settled(): void;
  /** Nothing but an operator can mend it, so starting fails; `false` when nobody waits for that any more. */
  refuse(error: Error): boolean;
}

/** The readers of one backplane, one for each hub that has started. */
export class Readers {
  readonly #readers = new Map<LogListener, HubReader>();

  /** @param patience Milliseconds that starting waits for the broker. */
  constructor(private readonly patience: number) {}

  get size(): number {
    return this.#readers.size;
  }

  /** Whether there are any, and the broker can be reached. */
  get up(): boolean {
    const readers = [...this.#readers.values()];
    return readers.length > 0 && readers.every(({ up }) => up);
  }

  get lag(): number | undefined {
    const lags = [...this.#readers.values()].flatMap(({ lag }) => lag ?? []);
    return lags.length > 0 ? Math.max(...lags) : undefined;
  }

  /** The reader that was started first. */
  get first(): HubReader | undefined {
    const [first] = this.#readers.values();
    return first;
  }

  has(hub: LogListener): boolean {
    return this.#readers.has(hub);
  }

  /** Settles when the reader has, or when its time is up: an application must start without a broker. */
  start(hub: LogListener, make: (start: Starting) => HubReader): Promise<void> {
    return new Promise((resolve, reject) => {
      let isOver = false;
      const settled = (): void => {
        isOver = true;
        clearTimeout(impatience);
        resolve();
      };
      const impatience = setTimeout(settled, this.patience);
      const refuse = (error: Error): boolean => {
        if (isOver) return false;
        reject(error);
        settled();
        this.close(hub);
        return true;
      };
      const reader = make({ settled, refuse });
      this.#readers.set(hub, reader);
      void reader.run().finally(settled);
    });
  }

  close(hub: LogListener): void {
    const reader = this.#readers.get(hub);
    this.#readers.delete(hub);
    reader?.close();
  }

  warn(message: string): void {
    for (const hub of this.#readers.keys()) hub.warn(message);
  }
}
