import type { EventLog } from '../../log/event-log.js';
import { compilePattern, TopicPattern } from './topic-pattern.js';

/** What somebody asks to follow. */
export interface TopicsAndPatterns {
  readonly topics: Iterable<string>;
  readonly patterns: Iterable<TopicPattern>;
}

/** What somebody follows: topics and patterns, as a value. Two of the same topics and patterns have the same `key`. */
export class Following implements TopicsAndPatterns {
  readonly topics: ReadonlySet<string>;
  /** Patterns as text, beside the topics: what `SSEClient.topics` shows. */
  readonly names: ReadonlySet<string>;
  readonly #patterns: ReadonlyMap<string, TopicPattern>;
  readonly #matchers: ReadonlyMap<string, (topic: string) => boolean>;

  constructor({ topics, patterns }: TopicsAndPatterns, delimiter: string) {
    this.topics = new Set(topics);
    this.#patterns = new Map([...patterns].map((pattern) => [pattern.pattern, pattern]));
    this.names = new Set([...this.topics, ...this.#patterns.keys()]);
    this.#matchers = new Map([...this.#patterns].map(([text, pattern]) => [text, compilePattern(pattern, delimiter)]));
  }

  /** Neither a topic nor a pattern can hold the separators. */
  get key(): string {
    return `${[...this.topics].toSorted().join('\n')}\t${this.patternsText}`;
  }

  /** The patterns as one text, the same for the same patterns. */
  get patternsText(): string {
    return this.patternTexts.toSorted().join('\n');
  }

  get patterns(): Iterable<TopicPattern> {
    return this.#patterns.values();
  }

  get patternTexts(): string[] {
    return [...this.#patterns.keys()];
  }

  get empty(): boolean {
    return this.names.size === 0;
  }

  get hasPatterns(): boolean {
    return this.#patterns.size > 0;
  }

  has(name: string | TopicPattern): boolean {
    return typeof name === 'string' ? this.topics.has(name) : this.#patterns.has(name.pattern);
  }

  with(name: string | TopicPattern): TopicsAndPatterns {
    if (typeof name === 'string') return { topics: [...this.topics, name], patterns: this.patterns };
    return { topics: this.topics, patterns: [...this.patterns, name] };
  }

  without(name: string | TopicPattern): TopicsAndPatterns {
    const text = name.toString();
    if (typeof name === 'string') {
      return { topics: [...this.topics].filter((topic) => topic !== text), patterns: this.patterns };
    }
    return { topics: this.topics, patterns: [...this.patterns].filter(({ pattern }) => pattern !== text) };
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

  matcherOf(pattern: string): (topic: string) => boolean {
    return this.#matchers.get(pattern) ?? (() => false);
  }

  /** Whether this is for whoever follows that. What has no topic is for everybody who follows something. */
  concerns({ topic }: { readonly topic: string | undefined }): boolean {
    return topic === undefined ? !this.empty : this.follows(topic);
  }

  /**
   * The first index from `index` on where something for it may be, or the head. What others published in between costs
   * little, unless a pattern could match.
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
}
