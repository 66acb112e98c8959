import type { Position } from '../protocol/cursor.js';
import type { EventEntry, RunEndEntry, RunEntry, RunOutcome, RunSignEntry } from '../protocol/entry.js';

/** A run, as far as the log tells. */
export interface Run {
  readonly id: string;
  readonly topic: string;
  /** The node that it is of. */
  readonly node: string;
  /** When it began, in milliseconds since 1970; unknown where this node did not read its beginning. */
  readonly since: number | undefined;
  /** `ending`: it has said its last. */
  readonly state: 'running' | 'ending' | RunOutcome;
  readonly reason: string | undefined;
  /** How many events it has had. */
  readonly events: number;
  /** The index of its first entry that this node has read. */
  readonly index: number;
  /** What its viewers get when it fails or is cancelled. */
  readonly failed: EventEntry | undefined;
  readonly cancelled: EventEntry | undefined;
}

type Known = { -readonly [Field in keyof Run]: Run[Field] } & {
  /** How it comes out, as its viewers were told. */
  told: RunOutcome | undefined;
  /** Signs of the node of one that is not going on. */
  needlessSigns: number;
  /** It was going on before something was missed: it may be over, and another one have begun. */
  isDoubtful: boolean;
  /** When its node said first which runs it has, and did not name this one any more; on the log's clock. */
  unnamedSince: number | undefined;
};

/** Milliseconds of the log that a node may be late to read that one of its runs has begun. Then it has it, or never will. */
const UNNAMED_FOR = 4_000;

/** A run that is over. */
export type RunThatIsOver = Pick<Run, 'topic' | 'id' | 'state' | 'reason'>;

/** What makes an event one of a run. */
type EventOfRun = Pick<EventEntry, 'n' | 'ends'> & { readonly topic: string; readonly run: string };

/** The node that a run belongs to. Its name begins with it, so whoever reads any one of its events knows that, too. */
export function nodeOfRun(id: string): string {
  return id.slice(0, id.indexOf('-'));
}

/**
 * Which run is going on, or was the last one, on each topic. Only the log decides that: of two that begin at a time, the
 * one that it has first; a run is over with the first entry that says so, and what is of it behind that is of nobody.
 */
export class Runs {
  readonly #runs = new Map<string, Known>();

  get(topic: string): Run | undefined {
    return this.#runs.get(topic);
  }

  /** The run that is going on there. */
  goingOn(topic: string): Run | undefined {
    const run = this.#runs.get(topic);
    return run && isGoingOn(run) ? run : undefined;
  }

  /** All that are going on. */
  *allGoingOn(): Generator<Run> {
    for (const run of this.#runs.values()) if (isGoingOn(run)) yield run;
  }

  /** The run, if it has begun before, be it over or not. That somebody has ended it, without more, says nothing. */
  begun({ topic, run }: RunEntry): Run | undefined {
    const known = this.#runs.get(topic);
    return known?.id === run && (known.since !== undefined || known.events > 0) ? known : undefined;
  }

  /** A run begins, where none is going on. */
  begin({ topic, run: id, failed, cancelled }: RunEntry, index: number, { ms }: Position): Run {
    return this.#add(topic, id, { since: ms, index, failed, cancelled });
  }

  /** Whether this event is to be delivered. One of a run that is not known yet says that there is one. */
  takes({ topic, run: id, n = 0, ends }: EventOfRun, index: number): boolean {
    const run = this.#ofEntry(topic, id, index);
    if (run.id !== id || run.state !== 'running') return false;
    run.events = Math.max(run.events, n + 1);
    if (ends) {
      run.state = 'ending';
      run.told = ends;
    }
    return true;
  }

  /** A node says that it has this run. Answers that run where it is over, which its node has not read for some time. */
  hear(topic: string, id: string, index: number): RunThatIsOver | undefined {
    const run = this.#ofEntry(topic, id, index);
    if (run.isDoubtful || (run.id === id && isGoingOn(run))) return undefined;
    // What it had written before it could read that is no sign of anything.
    run.needlessSigns++;
    if (run.needlessSigns < 2) return undefined;
    return run.id === id ? run : { topic, id, state: 'failed', reason: 'lost' };
  }

  /** A node says which runs it has. Answers those that it has not, for some time, though they go on as far as is known here. */
  unnamed(node: string, named: RunSignEntry['runs'], { ms }: Position): Run[] {
    const unnamed: Run[] = [];
    for (const run of this.#runs.values()) {
      if (run.node !== node || !isGoingOn(run)) continue;
      run.unnamedSince = named[run.topic] === run.id ? undefined : (run.unnamedSince ?? ms);
      if (run.unnamedSince !== undefined && ms - run.unnamedSince >= UNNAMED_FOR) unnamed.push(run);
    }
    return unnamed;
  }

  /** Answers the run that is over with this entry, if one is. Of one that is not known it is the first that is heard. */
  end({ topic, run: id, outcome, reason }: RunEndEntry, index = -1): Run | undefined {
    const run = id === undefined ? this.#runs.get(topic) : this.#ofEntry(topic, id, index);
    if (!run || !isGoingOn(run) || (id !== undefined && id !== run.id)) return undefined;
    run.state = run.told ?? outcome;
    if (run.state === outcome) run.reason = reason;
    return run;
  }

  /** Forgets what is over, as soon as it is forgotten that its topic was finished with it. */
  prune(isClosed: (topic: string) => boolean): void {
    for (const [topic, run] of this.#runs) if (!isGoingOn(run) && !isClosed(topic)) this.#runs.delete(topic);
  }

  /** What was going on may be over, and what was over begun again: this node does not know. But for those of this node. */
  missed(node: string): void {
    for (const [topic, run] of this.#runs) {
      if (run.node !== node || !isGoingOn(run)) this.#runs.delete(topic);
      else run.isDoubtful = true;
    }
  }

  /** The run that is known on the topic, or the one that an entry names where none is. */
  #ofEntry(topic: string, id: string, index: number): Known {
    const run = this.#runs.get(topic);
    // It was over before this node was told, and what has begun since it was not told.
    const isOutdated = run?.isDoubtful && !isGoingOn(run) && run.id !== id;
    return run && !isOutdated ? run : this.#add(topic, id, { index });
  }

  #add(topic: string, id: string, known: Pick<Known, 'index'> & Partial<Known>): Known {
    const run: Known = {
      id,
      topic,
      node: nodeOfRun(id),
      since: undefined,
      state: 'running',
      reason: undefined,
      events: 0,
      failed: undefined,
      cancelled: undefined,
      told: undefined,
      needlessSigns: 0,
      isDoubtful: false,
      unnamedSince: undefined,
      ...known,
    };
    this.#runs.set(topic, run);
    return run;
  }
}

function isGoingOn({ state }: Run): boolean {
  return state === 'running' || state === 'ending';
}
