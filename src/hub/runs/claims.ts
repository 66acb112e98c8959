import { setTimeout as delay } from 'node:timers/promises';

import type { Run, Runs } from '../../log/runs.js';
import { comparePositions, ORIGIN, type Position } from '../../protocol/cursor.js';
import { show } from '../../protocol/event.js';
import { SSEError } from '../../sse.error.js';
import type { RunOptions } from '../../sse.runs.js';
import type { Publisher } from '../publisher.js';
import type { OwnRun } from './own-run.js';
import type { RunEnds } from './run-ends.js';
import type { RunHandle } from './run-handle.js';

/** Milliseconds of the log that a node has to know before it begins a run: others say in that time which they have. */
const KNOWN_FOR = 5_000;
/** Milliseconds that a run waits for that. */
export const PATIENCE = 10_000;
/** Milliseconds between two looks. */
const LOOK_AGAIN_AFTER = 50;

export interface ClaimsContext {
  readonly runs: Runs;
  readonly publisher: Publisher;
  readonly ends: RunEnds;
  /** Whether the window of the log is known. */
  readonly ready: () => boolean;
  /** The time on the log's own clock, in milliseconds. */
  readonly now: () => number;
}

/** A run that the log has not decided on yet. */
export interface Claim {
  readonly own: OwnRun;
  readonly handle: RunHandle;
  readonly onRunning: NonNullable<RunOptions['onRunning']>;
  /** What the log says of it, which stays so whatever is not read afterwards. */
  verdict: 'begun' | 'joined' | { readonly existing: Run } | undefined;
  /** To be called when there is a verdict, and when its entry has to be written once more. */
  goOn: () => void;
}

/** Runs that this node wants to begin, until the log has decided which run is going on. */
export class Claims {
  readonly #claims = new Map<string, Claim>();
  /** What is before this place in the log, this node has not read. */
  #unknownUpTo = ORIGIN;

  constructor(private readonly context: ClaimsContext) {}

  get topics(): Iterable<string> {
    return Array.from(this.#claims.values(), ({ own }) => own.topic);
  }

  /** Settles when the log has decided. Rejects with `RUN_EXISTS`, `BACKPLANE_UNAVAILABLE`, `SHUTTING_DOWN`. */
  async settle(claim: Claim): Promise<'begun' | 'joined'> {
    const { own } = claim;
    this.#claims.set(own.id, claim);
    try {
      while (!claim.verdict) {
        this.context.publisher.open();
        // With the log in memory it is begun when run() returns.
        if (!this.#isKnown) await this.#untilKnown(claim);
        // An entry of it that was given up for lost may have been read meanwhile.
        else await this.#ask(claim);
      }
    } finally {
      this.#claims.delete(own.id);
    }
    if (typeof claim.verdict === 'object') throw exists(claim.verdict.existing);
    return claim.verdict;
  }

  /** This one has begun. Answers it, if it waits for that. */
  grant(id: string): Claim | undefined {
    const claim = this.#claims.get(id);
    if (!claim || claim.verdict) return undefined;
    claim.verdict = 'begun';
    claim.goOn();
    return claim;
  }

  /** This one has not begun, because another one is going on. Answers it, if it is to join that. */
  refuse(id: string, by: Run): Claim | undefined {
    const claim = this.#claims.get(id);
    if (!claim || claim.verdict) return undefined;
    if (claim.onRunning === 'join') claim.verdict = 'joined';
    else if (claim.onRunning === 'reject') claim.verdict = { existing: by };
    claim.goOn();
    return claim.verdict === 'joined' ? claim : undefined;
  }

  /** What is in the log before this place was not read. */
  missed(upTo: Position): void {
    this.#unknownUpTo = upTo;
    this.goOn();
  }

  /** Has each look anew. */
  goOn(): void {
    for (const claim of this.#claims.values()) claim.goOn();
  }

  async #ask(claim: Claim): Promise<void> {
    const { own, onRunning } = claim;
    const { runs, publisher, ends } = this.context;
    const current = runs.goingOn(own.topic);
    if (current && onRunning === 'replace') ends.end(current, 'cancelled', 'replaced', current.cancelled);
    const read = new Promise<void>((resolve) => (claim.goOn = resolve));
    // What the log has is decided, even where the answer to whoever wrote it was lost.
    await Promise.race([read, publisher.claim(own.entry).then(() => read)]);
  }

  /** Whoever begins a run has to know whether another one is going on, wherever that is. */
  get #isKnown(): boolean {
    const { ready, now } = this.context;
    const since = this.#unknownUpTo;
    return ready() && (comparePositions(since, ORIGIN) === 0 || Math.max(now(), Date.now()) - since.ms >= KNOWN_FOR);
  }

  async #untilKnown(claim: Claim): Promise<void> {
    const until = performance.now() + PATIENCE;
    while (!this.#isKnown && !claim.verdict) {
      if (performance.now() > until) {
        throw new SSEError('BACKPLANE_UNAVAILABLE', 'It is not known which runs are going on: the log cannot be read.');
      }
      await delay(LOOK_AGAIN_AFTER, undefined, { ref: false });
      this.context.publisher.open();
    }
  }
}

export function exists({ id, topic }: Run): SSEError {
  return new SSEError(
    'RUN_EXISTS',
    `A run is going on already on ${show(topic)}: ${id}. \`onRunning: 'join'\` follows it, 'replace' cancels it first.`,
  );
}
