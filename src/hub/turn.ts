import type { Selection } from './clients/followers.js';

/** What one turn of the event loop published. */
export class Turn {
  /** Indexes by topic; `undefined` stands for events to everybody. */
  readonly #indexes = new Map<string | undefined, number[]>();

  get topics(): Iterable<string | undefined> {
    return this.#indexes.keys();
  }

  add(topic: string | undefined, index: number): void {
    const indexes = this.#indexes.get(topic);
    if (indexes) indexes.push(index);
    else this.#indexes.set(topic, [index]);
  }

  /** Where everything is that a selection gets, in the order of the log. */
  indexesFor(selection: Selection): readonly number[] {
    const lists = [...this.#listsFor(selection)];
    return lists.length === 1 ? lists[0]! : lists.flat().toSorted((a, b) => a - b);
  }

  *#listsFor(selection: Selection): Generator<readonly number[]> {
    const everybody = this.#indexes.get(undefined);
    if (everybody) yield everybody;
    // Whichever are fewer: a turn may publish to many topics, and a client may follow many.
    if (selection.hasPatterns || this.#indexes.size < selection.topics.size) {
      for (const [topic, indexes] of this.#indexes) if (topic !== undefined && selection.follows(topic)) yield indexes;
      return;
    }
    for (const topic of selection.topics) {
      const indexes = this.#indexes.get(topic);
      if (indexes) yield indexes;
    }
  }
}
