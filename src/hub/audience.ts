import {
  type Audience as AudienceContract,
  type Audiences,
  type GroupPresence,
  mergeGroups,
} from '../backplane/presence.js';
import { wallTime } from './clients/client-view.js';
import type { AllFollowers, Followers } from './clients/followers.js';
import { compilePattern, TopicPattern } from './topics/topic-pattern.js';
import type { Topics } from './topics/topics.js';

/** What is told of a client. */
interface Listed {
  readonly group: string | undefined;
  readonly metadata: Record<string, unknown>;
  /** On the clock of `performance.now()`. */
  readonly openedAt: number;
}

/**
 * Counts this node's clients by what they follow, for other nodes. What has changed is worked out from those
 * that were touched meanwhile, so a quiet node with many clients costs nothing.
 */
export class Audience implements AudienceContract {
  /** Those with another number of clients than at the last call; undefined until somebody wants to know. */
  #touched: Set<Followers> | undefined;
  /** With how many clients they have been counted. */
  readonly #counted = new Map<Followers, number>();
  readonly #byTopic = new Tally();
  readonly #byPatterns = new Tally();

  constructor(
    private readonly topics: Topics<Followers>,
    private readonly followers: AllFollowers,
    private readonly delimiter: string,
    /** The clients that an event on a topic would reach. */
    private readonly clientsOf: (topic: string) => Iterable<Listed>,
    private readonly onUnreadable: (group: string, error: unknown) => void,
  ) {}

  count(topic: string): number {
    let count = 0;
    for (const { size } of this.topics.followersOf(topic)) count += size;
    return count;
  }

  groups(topic: string): readonly GroupPresence[] {
    const each: GroupPresence[] = [];
    for (const { group, metadata, openedAt } of this.clientsOf(topic)) {
      if (group === undefined) continue;
      const at = Math.round(wallTime(openedAt));
      each.push({ group, streams: 1, since: at, latest: at, metadata: this.#asJson(group, metadata) });
    }
    return mergeGroups([each]);
  }

  /** The same whether it is asked for here or at another node. */
  #asJson(group: string, metadata: Record<string, unknown>): Record<string, unknown> | undefined {
    try {
      const told = JSON.parse(JSON.stringify(metadata)) as Record<string, unknown>;
      return Object.keys(told).length > 0 ? told : undefined;
    } catch (error) {
      this.onUnreadable(group, error);
      return undefined;
    }
  }

  /** To be called when a client has come or gone. */
  touch(followers: Followers): void {
    if (followers.following.empty) return;
    // While nobody can be told, there may be no end of those who come and go.
    if (followers.size === 0 && !this.#counted.has(followers)) this.#touched?.delete(followers);
    else this.#touched?.add(followers);
  }

  changes(anew: boolean): Audiences {
    if (anew || !this.#touched) this.#forget();
    for (const followers of this.#touched ?? this.followers) this.#recount(followers);
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

  #recount(followers: Followers): void {
    const { size, following } = followers;
    const difference = size - (this.#counted.get(followers) ?? 0);
    if (size > 0) this.#counted.set(followers, size);
    else this.#counted.delete(followers);
    if (difference === 0) return;
    for (const topic of following.topics) {
      if (!following.matchesPattern(topic)) this.#byTopic.add(topic, difference);
    }
    if (following.hasPatterns) this.#byPatterns.add(following.patternsText, difference);
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
