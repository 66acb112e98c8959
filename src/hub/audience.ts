import type { Audience as AudienceContract, Audiences } from '../backplane/presence.js';
import type { Selection, Selections } from './clients/followers.js';
import { compilePattern, TopicPattern } from './topics/topic-pattern.js';
import type { Topics } from './topics/topics.js';

/**
 * Counts this node's clients by what they follow, for other nodes. What has changed is worked out from the selections
 * that were touched meanwhile, so a quiet node with many clients costs nothing.
 */
export class Audience implements AudienceContract {
  /** Selections with another number of clients than at the last call; undefined until somebody wants to know. */
  #touched: Set<Selection> | undefined;
  /** With how many clients they have been counted. */
  readonly #counted = new Map<Selection, number>();
  readonly #byTopic = new Tally();
  readonly #byPatterns = new Tally();

  constructor(
    private readonly topics: Topics,
    private readonly selections: Selections,
    private readonly delimiter: string,
  ) {}

  count(topic: string): number {
    let count = 0;
    for (const selection of this.topics.followersOf(topic)) count += selection.size;
    return count;
  }

  /** To be called when a client has entered or left a selection. */
  touch(selection: Selection): void {
    if (selection.empty) return;
    // While nobody can be told, there may be no end of those who come and go.
    if (selection.size === 0 && !this.#counted.has(selection)) this.#touched?.delete(selection);
    else this.#touched?.add(selection);
  }

  changes(anew: boolean): Audiences {
    if (anew || !this.#touched) this.#forget();
    for (const selection of this.#touched ?? this.selections) this.#recount(selection);
    this.#touched = new Set();
    return { topics: this.#byTopic.changes(), patterns: this.#byPatterns.changes() };
  }

  matches(patterns: string, topic: string): boolean {
    return patterns.split('\n').some((text) => compilePattern(new TopicPattern(text), this.delimiter)(topic));
  }

  #forget(): void {
    this.#touched = undefined;
    this.#counted.clear();
    this.#byTopic.clear();
    this.#byPatterns.clear();
  }

  #recount(selection: Selection): void {
    const { size } = selection;
    const difference = size - (this.#counted.get(selection) ?? 0);
    if (size > 0) this.#counted.set(selection, size);
    else this.#counted.delete(selection);
    if (difference === 0) return;
    for (const topic of selection.topics) {
      if (!selection.matchesPattern(topic)) this.#byTopic.add(topic, difference);
    }
    if (selection.hasPatterns) this.#byPatterns.add([...selection.patterns.keys()].toSorted().join('\n'), difference);
  }
}

/** Numbers by name, and which of them have changed. */
class Tally {
  readonly #totals = new Map<string, number>();
  /** What they were before. */
  readonly #changed = new Map<string, number>();

  add(name: string, difference: number): void {
    const before = this.#totals.get(name) ?? 0;
    const total = before + difference;
    if (total > 0) this.#totals.set(name, total);
    else this.#totals.delete(name);
    if (!this.#changed.has(name)) this.#changed.set(name, before);
  }

  changes(): Map<string, number> {
    const changes = new Map<string, number>();
    for (const [name, before] of this.#changed) {
      const total = this.#totals.get(name) ?? 0;
      if (total !== before) changes.set(name, total);
    }
    this.#changed.clear();
    return changes;
  }

  clear(): void {
    this.#totals.clear();
    this.#changed.clear();
  }
}
