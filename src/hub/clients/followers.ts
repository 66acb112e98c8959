import type { EventLog } from '../../log/event-log.js';
import { compilePattern, TopicPattern } from '../topics/topic-pattern.js';
import type { Client } from './client.js';
import { Lane } from './in-step.js';

/** What somebody wants to follow. */
export interface Following {
  readonly topics: Iterable<string>;
  readonly patterns: Iterable<TopicPattern>;
}

/** What a client follows. Clients that follow the same share one, and with it the bytes of every turn. */
export class Selection {
  /** Clients that get every event within the call that published it. */
  readonly atOnce = new Lane();
  /** Clients that get what a turn published at its end. */
  readonly atTurnEnd = new Lane();
  #compressedReaders = 0;
  readonly topics: ReadonlySet<string>;
  /** By their text. */
  readonly patterns: ReadonlyMap<string, TopicPattern>;
  /** Patterns as text, beside the topics: what `SSEClient.topics` shows. */
  readonly names: ReadonlySet<string>;
  readonly #matchers: ReadonlyMap<string, (topic: string) => boolean>;

  constructor(
    { topics, patterns }: Following,
    delimiter: string,
    /** Whether its clients are sent control events: the bytes of a turn differ by that. */
    readonly named = true,
  ) {
    this.topics = new Set(topics);
    this.patterns = new Map([...patterns].map((pattern) => [pattern.pattern, pattern]));
    this.names = new Set([...this.topics, ...this.patterns.keys()]);
    this.#matchers = new Map([...this.patterns].map(([text, pattern]) => [text, compilePattern(pattern, delimiter)]));
  }

  /** The same for all selections of the same topics and patterns. Neither can hold the separators. */
  get key(): string {
    return `${this.named ? '' : '-'}\t${[...this.topics].toSorted().join('\n')}\t${[...this.patterns.keys()].toSorted().join('\n')}`;
  }

  get empty(): boolean {
    return this.names.size === 0;
  }

  get hasPatterns(): boolean {
    return this.patterns.size > 0;
  }

  has(name: string | TopicPattern): boolean {
    return typeof name === 'string' ? this.topics.has(name) : this.patterns.has(name.pattern);
  }

  with(name: string | TopicPattern): Following {
    if (typeof name === 'string') return { topics: [...this.topics, name], patterns: this.patterns.values() };
    return { topics: this.topics, patterns: [...this.patterns.values(), name] };
  }

  without(name: string | TopicPattern): Following {
    const text = name.toString();
    if (typeof name === 'string') {
      return { topics: [...this.topics].filter((topic) => topic !== text), patterns: this.patterns.values() };
    }
    return { topics: this.topics, patterns: [...this.patterns.values()].filter(({ pattern }) => pattern !== text) };
  }

  /** How many of the clients have their stream compressed. */
  get compressedReaders(): number {
    return this.#compressedReaders;
  }

  get size(): number {
    return this.atOnce.clients.size + this.atTurnEnd.clients.size;
  }

  get clients(): Client[] {
    return [...this.atOnce.clients, ...this.atTurnEnd.clients];
  }

  add(client: Client): void {
    this.laneOf(client).clients.add(client);
    if (client.compressed) this.#compressedReaders++;
  }

  delete(client: Client): void {
    const { clients, inStep } = this.laneOf(client);
    if (!clients.delete(client)) return;
    inStep.delete(client);
    if (client.compressed) this.#compressedReaders--;
  }

  laneOf({ atOnce }: { readonly atOnce: boolean }): Lane {
    return atOnce ? this.atOnce : this.atTurnEnd;
  }

  follows(topic: string): boolean {
    return this.topics.has(topic) || this.matchesPattern(topic);
  }

  /** Whether one of the patterns matches. */
  matchesPattern(topic: string): boolean {
    for (const matches of this.#matchers.values()) if (matches(topic)) return true;
    return false;
  }

  /** The names by which it follows the topic: the topic itself, and each pattern that matches. */
  namesFor(topic: string): string[] {
    const names = this.topics.has(topic) ? [topic] : [];
    for (const [text, matches] of this.#matchers) if (matches(topic)) names.push(text);
    return names;
  }

  /** Whether it has a place in this stream. What has no topic is for everybody who follows something. */
  concerns({ topic }: { readonly topic: string | undefined }): boolean {
    return topic === undefined ? !this.empty : this.follows(topic);
  }

  /**
   * The first index from `index` on where something for it may be, or the head. What others published in between costs
   * it nothing, unless a pattern could match.
   */
  nextIn(log: EventLog, index: number): number {
    let next = log.nextItem(index);
    if (this.hasPatterns) return next;
    // Searching its topics' histories costs more than looking at the entries one by one, where these are fewer.
    for (let passed = 0; next < log.head && !this.concerns(log.itemAt(next)!); passed++) {
      if (passed >= this.topics.size) return log.nextItemOf(this.topics, next);
      next = log.nextItem(next + 1);
    }
    return next;
  }

  /** The first index from `index` on where something for it is, or the head. */
  firstIn(log: EventLog, index: number): number {
    let next = this.nextIn(log, index);
    while (next < log.head && !this.concerns(log.itemAt(next)!)) next = log.nextItem(next + 1);
    return next;
  }

  matcherOf(pattern: string): (topic: string) => boolean {
    return this.#matchers.get(pattern) ?? (() => false);
  }
}

/** All selections in use. */
export class Selections {
  readonly #byKey = new Map<string, Selection>();
  readonly #withPatterns = new Set<Selection>();
  readonly empty: Selection;

  constructor(private readonly delimiter: string) {
    this.empty = new Selection({ topics: [], patterns: [] }, delimiter);
  }

  get withPatterns(): ReadonlySet<Selection> {
    return this.#withPatterns;
  }

  /** The one selection of exactly these topics and patterns, for clients with or without control events. */
  of(following: Following, named: boolean): Selection {
    const selection = new Selection(following, this.delimiter, named);
    if (selection.empty) return this.empty;
    const { key } = selection;
    const known = this.#byKey.get(key);
    if (known) return known;
    this.#byKey.set(key, selection);
    if (selection.hasPatterns) this.#withPatterns.add(selection);
    return selection;
  }

  /** Forgets a selection that nobody uses any more. */
  collect(selection: Selection): void {
    if (selection.size > 0) return;
    this.#byKey.delete(selection.key);
    this.#withPatterns.delete(selection);
  }

  [Symbol.iterator](): IterableIterator<Selection> {
    return this.#byKey.values();
  }
}
