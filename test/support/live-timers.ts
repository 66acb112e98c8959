import { createHook } from 'node:async_hooks';

import type { Bench } from './baseline.js';

/** Counts the timers that are running, those too that keep no process alive. */
export class LiveTimers {
  readonly #ids = new Set<number>();

  constructor(bench: Bench) {
    const hook = createHook({
      init: (id, type) => void (type === 'Timeout' && this.#ids.add(id)),
      destroy: (id) => void this.#ids.delete(id),
    }).enable();
    bench.onEnd(() => hook.disable());
  }

  /** Of those that were started since the watch began. */
  get count(): number {
    return this.#ids.size;
  }
}
