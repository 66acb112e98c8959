import { createHook } from 'node:async_hooks';
import { join } from 'node:path';

import type { Bench } from './baseline.js';

const LIBRARY = join(import.meta.dirname, '../../src/');

/** The timers of the library that are running, those too that keep no process alive. Node, Nest and Jest have others. */
export class LiveTimers {
  readonly #startedAt = new Map<number, string>();

  constructor(bench: Bench) {
    const hook = createHook({
      init: (id, type) => {
        const place = type === 'Timeout' && placeInLibrary();
        if (place) this.#startedAt.set(id, place);
      },
      destroy: (id) => void this.#startedAt.delete(id),
    }).enable();
    bench.onEnd(() => hook.disable());
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
  return stack.split('\n').find((line) => line.includes(LIBRARY));
}
