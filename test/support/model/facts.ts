import { comparePositions, type Cursor, ORIGIN, type Position } from '../../../src/protocol/cursor.js';
import type { Entry } from '../../../src/protocol/entry.js';

/** What the log has at one place, as the model remembers it. */
export interface Fact {
  readonly index: number;
  readonly position: Position;
  /** `dropped`: published after its topic was closed. `lost`: no node ever reads it. */
  readonly kind: 'event' | 'dropped' | 'lost' | 'close' | 'open' | 'group';
  readonly topic: string | undefined;
  /** What events are told apart by; -1 for anything else. */
  readonly n: number;
  readonly except: readonly string[];
  readonly exceptGroup: string | undefined;
  readonly id: string | undefined;
  /** An event whose publisher had forgotten that its topic was closed. */
  readonly opens: boolean;
}

/** The number at the beginning of an event's data. */
export function numberIn(data: string): number {
  return Number.parseInt(data, 10);
}

/** The log as a plain list: nothing is ever evicted from it. */
export class Facts {
  readonly all: Fact[] = [];
  readonly #byNumber = new Map<number, Fact>();
  /** Where topics were closed that are. */
  readonly #closed = new Map<string, Position>();

  constructor(readonly epoch: string) {}

  record(position: Position, entry: Entry | undefined): Fact {
    const fact = this.#factOf(position, entry);
    this.all.push(fact);
    if (fact.n >= 0) this.#byNumber.set(fact.n, fact);
    if (fact.kind === 'close') this.#closed.set(fact.topic!, position);
    if (fact.kind === 'open' || fact.opens) this.#closed.delete(fact.topic!);
    return fact;
  }

  isClosed(topic: string): boolean {
    return this.#closed.has(topic);
  }

  withNumber(n: number): Fact | undefined {
    return this.#byNumber.get(n);
  }

  /** Whether this is a place in the log, or before it. */
  has({ epoch, position }: Cursor): boolean {
    if (epoch !== this.epoch) return false;
    const at = this.countUpTo(position) - 1;
    return comparePositions(this.all[at]?.position ?? ORIGIN, position) === 0;
  }

  /** How many facts there are up to this position. */
  countUpTo(position: Position): number {
    return this.all.findLastIndex((fact) => comparePositions(fact.position, position) <= 0) + 1;
  }

  /** Where the topic's present life began: 0 for its first. */
  beginningOf(topic: string, upTo: number): number {
    let began = 0;
    let closed = false;
    for (const { kind, topic: other, index, opens } of this.all.slice(0, upTo)) {
      if (other !== topic) continue;
      if (opens || (kind === 'open' && (closed || began > 0))) began = index;
      if (kind === 'close') closed = true;
    }
    return began;
  }

  /** Whether the topic was closed when the log was so long. */
  wasClosed(topic: string, upTo: number): boolean {
    const marks = this.all.slice(0, upTo).filter((fact) => fact.topic === topic && isMark(fact));
    return marks.at(-1)?.kind === 'close';
  }

  #factOf(position: Position, entry: Entry | undefined): Fact {
    const nothing = { topic: undefined, n: -1, except: [], exceptGroup: undefined, id: undefined, opens: false };
    const place = { index: this.all.length, position };
    if (!entry) return { ...place, ...nothing, kind: 'lost' };
    if ('group' in entry) return { ...place, ...nothing, kind: 'group' };
    if (entry.kind === 'open' || entry.kind === 'close')
      return { ...place, ...nothing, kind: entry.kind, topic: entry.topic };
    if (entry.kind !== 'event') throw new TypeError(`the model has no ${entry.kind}`);
    const { topic, data, except = [], exceptGroup, id } = entry;
    const closed = topic === undefined ? undefined : this.#closed.get(topic);
    const opens = closed !== undefined && comparePositions(closed, entry.opens ?? ORIGIN) <= 0;
    const kind = closed && !opens ? 'dropped' : 'event';
    return { ...place, kind, topic, n: numberIn(data), except, exceptGroup, id, opens };
  }
}

function isMark({ kind, opens }: Fact): boolean {
  return kind === 'close' || kind === 'open' || opens;
}
