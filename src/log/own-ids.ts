/** An event that the log has let go of, while others with its id are still there. */
export interface GoneUse {
  /** Of the oldest of them. */
  readonly index: number;
  /** Absent when they were of several topics, or for everybody. */
  readonly topic: string | undefined;
}

/** The events with one id. */
export interface IdUses {
  /** Indexes of those that are retained, oldest first. */
  readonly retained: readonly number[];
  readonly gone: GoneUse | undefined;
}

interface Uses {
  retained: number[];
  gone: GoneUse | undefined;
}

const NO_USES: IdUses = Object.freeze({ retained: [], gone: undefined });

/**
 * Which events have which id of the application's. Of those that are gone only one is remembered for each id, and only
 * as long as another event has it, so this grows no further than the log itself.
 */
export class OwnIds {
  readonly #byId = new Map<string, Uses>();

  get size(): number {
    return this.#byId.size;
  }

  find(id: string): IdUses {
    return this.#byId.get(id) ?? NO_USES;
  }

  add(id: string, index: number): void {
    const uses = this.#byId.get(id);
    if (uses) uses.retained.push(index);
    else this.#byId.set(id, { retained: [index], gone: undefined });
  }

  /** The log has let go of this one. */
  evict(id: string, index: number, topic: string | undefined): void {
    const uses = this.#byId.get(id);
    if (!uses) return;
    uses.retained.splice(uses.retained.indexOf(index), 1);
    if (uses.retained.length === 0) this.#byId.delete(id);
    else uses.gone = merged(uses.gone, { index, topic });
  }

  clear(): void {
    this.#byId.clear();
  }
}

function merged(known: GoneUse | undefined, use: GoneUse): GoneUse {
  if (!known) return use;
  return { index: Math.min(known.index, use.index), topic: known.topic === use.topic ? use.topic : undefined };
}
