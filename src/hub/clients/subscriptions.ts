import type { Filter } from '../../sse.client.js';

/** The names that one client follows with a filter of their own, or from a later place on than the others. */
export class Subscriptions {
  readonly #filters = new Map<string, Filter>();
  /** From which index on they count. */
  readonly #since = new Map<string, number>();

  /** Nothing is left that sets its client apart from others that follow the same. */
  get empty(): boolean {
    return this.#filters.size === 0 && this.#since.size === 0;
  }

  setFilter(name: string, filter: Filter | undefined): void {
    if (filter) this.#filters.set(name, filter);
    else this.#filters.delete(name);
  }

  filterOf(name: string): Filter | undefined {
    return this.#filters.get(name);
  }

  countFrom(name: string, index: number): void {
    this.#since.set(name, index);
  }

  /** The index from which on the name counts. */
  since(name: string): number {
    return this.#since.get(name) ?? 0;
  }

  /** The names that count from a later place on. */
  get late(): Iterable<readonly [string, number]> {
    return this.#since;
  }

  delete(name: string): void {
    this.#filters.delete(name);
    this.#since.delete(name);
  }

  /** Its client is at the head: what counted from some earlier place has no meaning any more. */
  caughtUp(): void {
    this.#since.clear();
  }
}
