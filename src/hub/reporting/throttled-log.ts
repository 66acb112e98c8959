import { inNoContext } from '../callbacks.js';

/** Milliseconds. */
const INTERVAL = 5_000;

/** Messages that may come by the thousand: the first is logged at once, then the last one of every five seconds. */
export class ThrottledLog {
  #last: string | undefined;
  #count = 0;
  #timer: NodeJS.Timeout | undefined;

  constructor(private readonly write: (message: string) => void) {}

  log(message: string): void {
    if (this.#timer) {
      this.#last = message;
      this.#count++;
      return;
    }
    this.write(message);
    this.#wait();
  }

  /** Nobody will be there in five seconds. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#sumUp();
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }

  #wait(): void {
    this.#timer = inNoContext(() => setTimeout(() => this.#sumUp(), INTERVAL)).unref();
  }

  #sumUp(): void {
    this.#timer = undefined;
    if (this.#last === undefined) return;
    const others = this.#count - 1;
    this.write(others > 0 ? `${this.#last} (and ${others} like it)` : this.#last);
    this.#last = undefined;
    this.#count = 0;
    this.#wait();
  }
}
