import type { TopicMark } from '../log/event-log.js';
import type { Publication } from '../log/publication.js';
import type { Client } from './client.js';
import { compilePattern, type TopicPattern } from './topic-pattern.js';

/** What a client follows. Clients that follow the same share one, and with it the bytes of every turn. */
export class Selection {
  readonly clients = new Set<Client>();
  /** Those of the clients whose transport writes at once. */
  readonly eager = new Set<Client>();
  /** Patterns as text, beside the topics: what `SSEClient.topics` shows. */
  readonly names: ReadonlySet<string>;
  readonly #matchers: ReadonlyMap<string, (topic: string) => boolean>;

  constructor(
    readonly key: string,
    readonly topics: ReadonlySet<string>,
    readonly patterns: ReadonlyMap<string, TopicPattern>,
    delimiter: string,
  ) {
    this.names = new Set([...topics, ...patterns.keys()]);
    this.#matchers = new Map([...patterns].map(([text, pattern]) => [text, compilePattern(pattern, delimiter)]));
  }

  add(client: Client): void {
    this.clients.add(client);
    if (client.eager) this.eager.add(client);
  }

  delete(client: Client): void {
    this.clients.delete(client);
    this.eager.delete(client);
  }

  get empty(): boolean {
    return this.names.size === 0;
  }

  get hasPatterns(): boolean {
    return this.#matchers.size > 0;
  }

  follows(topic: string): boolean {
    if (this.topics.has(topic)) return true;
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
  concerns(item: Publication | TopicMark): boolean {
    return item.topic === undefined ? !this.empty : this.follows(item.topic);
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
    this.empty = new Selection('', new Set(), new Map(), delimiter);
  }

  get withPatterns(): ReadonlySet<Selection> {
    return this.#withPatterns;
  }

  /** The one selection of exactly these topics and patterns. */
  of(topics: Iterable<string>, patterns: Iterable<TopicPattern>): Selection {
    const literal = [...new Set(topics)].toSorted();
    const byText = new Map([...patterns].map((pattern) => [pattern.pattern, pattern]));
    if (literal.length === 0 && byText.size === 0) return this.empty;
    // Topics hold no control characters, so these separators cannot be part of one.
    const key = `${literal.join('\n')}\t${[...byText.keys()].toSorted().join('\n')}`;
    const known = this.#byKey.get(key);
    if (known) return known;
    const selection = new Selection(key, new Set(literal), byText, this.delimiter);
    this.#byKey.set(key, selection);
    if (selection.hasPatterns) this.#withPatterns.add(selection);
    return selection;
  }

  /** One for somebody who is not a client. */
  detached({ topics, patterns }: { topics: readonly string[]; patterns: readonly TopicPattern[] }): Selection {
    const byText = new Map(patterns.map((pattern) => [pattern.pattern, pattern]));
    return new Selection('', new Set(topics), byText, this.delimiter);
  }

  /** Forgets a selection that nobody uses any more. */
  collect(selection: Selection): void {
    if (selection.clients.size > 0) return;
    this.#byKey.delete(selection.key);
    this.#withPatterns.delete(selection);
  }

  [Symbol.iterator](): IterableIterator<Selection> {
    return this.#byKey.values();
  }
}
