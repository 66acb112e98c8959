import type { Position } from '../../../src/protocol/cursor.js';
import type { Fact, Facts } from './facts.js';

/** Lets every event through but each so many-th. */
export type Sieve = number | undefined;

export function passes(sieve: Sieve, n: number): boolean {
  return sieve === undefined || n < 0 || n % sieve !== 0;
}

/** With what a client comes. */
export type Came =
  | { readonly with: 'nothing' }
  | { readonly with: 'cursor'; readonly position: Position; readonly initialDue?: true | undefined }
  /** An id of the application's; the rest is where the client really is. */
  | { readonly with: 'id'; readonly position: Position; readonly initialDue?: true | undefined }
  | { readonly with: 'garbage' };

export interface TermsOptions {
  readonly clientId: string;
  readonly group: string | undefined;
  readonly names: readonly string[];
  readonly sieve: Sieve;
  readonly came: Came;
  readonly lastEventId: string;
  readonly since: number | undefined;
  readonly notBefore: number | undefined;
  readonly expiresAt: number;
  readonly onGap: 'earliest' | 'latest';
}

/** What has to be known of the node that the client is connected to. */
export interface NodeView {
  /** How much of the log it has read. */
  readonly read: () => number;
  /** Whether it still has this event. */
  readonly retains: (fact: Fact) => boolean;
}

/** How a name is followed. */
export interface Followed {
  /** Counts from this place in the log on; 0 for all that the client has not got. */
  readonly from: number;
  readonly sieve: Sieve;
}

/** Whether a topic, or a pattern of those that the model uses, covers a topic. */
export function covers(name: string, topic: string): boolean {
  if (name === '**') return true;
  return name.endsWith(':*') ? topic.startsWith(name.slice(0, -1)) : name === topic;
}

/** Which events one connection is to get, by what it came with and what it follows. */
export class Terms {
  readonly names = new Map<string, Followed>();
  readonly #everFollowed = new Set<string>();
  /** Where the log ended on this node when it connected. */
  readonly head: number;
  /** With `since` it begins anew, so events to everybody count from here only. */
  readonly anewAt: number;

  constructor(
    private readonly facts: Facts,
    private readonly node: NodeView,
    readonly options: TermsOptions,
  ) {
    for (const name of options.names) this.setName(name, { from: 0, sieve: undefined });
    this.head = node.read();
    this.anewAt = options.came.with === 'nothing' && options.since !== undefined ? this.head : 0;
  }

  /** The first fact that it may lack. */
  get firstDue(): number {
    const { came, since } = this.options;
    if (came.with === 'garbage') return 0;
    if (came.with !== 'nothing') return this.facts.countUpTo(came.position);
    return since === undefined ? this.head : 0;
  }

  setName(name: string, followed: Followed): void {
    this.names.set(name, followed);
    this.#everFollowed.add(name);
  }

  hasEverFollowed(name: string): boolean {
    return this.#everFollowed.has(name);
  }

  hasEverCovered(topic: string): boolean {
    return [...this.#everFollowed].some((name) => covers(name, topic));
  }

  /** By which it gets this event. */
  namesOf({ topic, index }: Fact): string[] {
    if (topic === undefined) return [];
    return [...this.names].filter(([name, { from }]) => covers(name, topic) && from <= index).map(([name]) => name);
  }

  /** It must come, or be told as lost: followed since before it was published, whatever filters say. */
  isDue(fact: Fact): boolean {
    const { notBefore = 0 } = this.options;
    return fact.position.ms >= notBefore && this.mayCome(fact);
  }

  mayCome(fact: Fact): boolean {
    if (fact.kind !== 'event' && fact.kind !== 'lost') return false;
    if (fact.position.ms > this.options.expiresAt) return false;
    if (fact.kind === 'lost') return [...this.names.values()].some(({ from }) => from <= fact.index);
    if (fact.topic === undefined) return this.names.size > 0 && fact.index >= this.anewAt;
    return this.namesOf(fact).length > 0;
  }

  /** Nothing holds it back: no filter, no exception. */
  isWanted(fact: Fact): boolean {
    if (fact.kind === 'lost') return true;
    if (this.#isHeldBack(fact)) return false;
    if (fact.topic === undefined) return true;
    return this.namesOf(fact).some((name) => passes(this.names.get(name)!.sieve, fact.n));
  }

  /** With `since` it asked for what was retained then, of the present life of its topics. */
  isAskedFor(fact: Fact): boolean {
    const { came, since } = this.options;
    if (came.with !== 'nothing' || since === undefined) return true;
    if (fact.position.ms <= since) return false;
    if (fact.index >= this.anewAt) return true;
    if (fact.topic === undefined || !this.node.retains(fact)) return false;
    return fact.index >= this.facts.beginningOf(fact.topic, this.anewAt);
  }

  /** The node has read it and let go of it. */
  isGone(fact: Fact): boolean {
    return fact.index < this.node.read() && !this.node.retains(fact);
  }

  /** Still to be had, by somebody who does not only want what is new after a gap. */
  isLeft(fact: Fact): boolean {
    return this.options.onGap === 'earliest' && !this.isGone(fact);
  }

  /** What a name that counts from now on passes over, of what somebody who came back expects. */
  skipped(name: string, from: number): Fact[] {
    const { came, notBefore = 0 } = this.options;
    if (came.with === 'nothing') return [];
    return this.facts.all.slice(this.firstDue, from).filter((fact) => {
      if (fact.kind !== 'event' || fact.topic === undefined || !covers(name, fact.topic)) return false;
      if (fact.position.ms < notBefore || this.#isHeldBack(fact)) return false;
      return this.node.retains(fact) && passes(this.names.get(name)?.sieve, fact.n);
    });
  }

  /** From everything that this client follows. */
  #isHeldBack({ except, exceptGroup, n }: Fact): boolean {
    const { clientId, group, sieve } = this.options;
    const isOfGroup = exceptGroup !== undefined && exceptGroup === group;
    return isOfGroup || except.includes(clientId) || !passes(sieve, n);
  }
}
