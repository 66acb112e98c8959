import type { RunOutcome } from '../../protocol/entry.js';
import type { SSEError } from '../../sse.error.js';
import type { RunHandle } from './run-handle.js';

/** Who waits for the outcome of a run, by its id. */
export class Outcomes {
  readonly #waiting = new Map<string, Set<RunHandle>>();

  get size(): number {
    return this.#waiting.size;
  }

  wait(handle: RunHandle, id: string): void {
    const handles = this.#waiting.get(id);
    if (handles) handles.add(handle);
    else this.#waiting.set(id, new Set([handle]));
  }

  finish(id: string, outcome: RunOutcome): void {
    for (const handle of this.#waiting.get(id) ?? []) handle.finish(outcome);
    this.#waiting.delete(id);
  }

  /** Those of the runs that are meant will not hear of it. */
  reject(isMeant: (id: string) => boolean, error: SSEError): void {
    for (const [id, handles] of this.#waiting) {
      if (!isMeant(id)) continue;
      this.#waiting.delete(id);
      for (const handle of handles) handle.reject(error);
    }
  }
}
