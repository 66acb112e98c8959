import { join } from 'node:path';

import type { Bench } from '../baseline.js';
import { ROOT } from '../root.js';

const LIBRARY = join(ROOT, 'src/');

/**
 * The timers of the library that are running, those too that keep no process alive; Node, Nest and Jest have others.
 * Counts what is started and stopped: the destroy hook of `node:async_hooks` stays away in a process that has run other
 * test files before.
 */
export class LiveTimers {
  readonly #startedAt = new Map<unknown, string>();

  constructor(bench: Bench) {
    const { setTimeout, setInterval, clearTimeout, clearInterval } = globalThis;
    const start = (timer: NodeJS.Timeout): NodeJS.Timeout => {
      const place = placeInLibrary();
      if (place) this.#startedAt.set(timer, place);
      return timer;
    };
    const stop = (timer: unknown): void => void this.#startedAt.delete(timer);

    const startTimeout = (act: (...values: unknown[]) => void, ms?: number, ...values: unknown[]): NodeJS.Timeout => {
      const timer = setTimeout(() => {
        stop(timer);
        act(...values);
      }, ms);
      return start(timer);
    };
    Object.assign(globalThis, {
      setTimeout: startTimeout,
      setInterval: (...parameters: Parameters<typeof setInterval>) => start(setInterval(...parameters)),
      clearTimeout: (timer: NodeJS.Timeout) => (stop(timer), clearTimeout(timer)),
      clearInterval: (timer: NodeJS.Timeout) => (stop(timer), clearInterval(timer)),
    });
    bench.onEnd(() => Object.assign(globalThis, { setTimeout, setInterval, clearTimeout, clearInterval }));
  }

  /** Of those that were started since the watch began: the line of the library that each was started by. */
  get places(): string[] {
    return [...this.#startedAt.values()];
  }
}

function placeInLibrary(): string | undefined {
  const { stackTraceLimit } = Error;
  Error.stackTraceLimit = 50;
  const { stack = '' } = new Error();
  Error.stackTraceLimit = stackTraceLimit;
  // What Nest starts is Nest's, although it was called from within the library's middleware.
  const starter = stack.split('\n').find((line) => line.includes(LIBRARY) || line.includes('/@nestjs/'));
  return starter?.includes(LIBRARY) ? starter : undefined;
}
