import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';

import type { Backplane } from '../../backplane/backplane.js';
import type { Run, Runs, RunThatIsOver } from '../../log/runs.js';
import type { Position } from '../../protocol/cursor.js';
import type { EventEntry, RunEntry, RunOutcome } from '../../protocol/entry.js';
import { show, type SSEEvent } from '../../protocol/event.js';
import { SSEError } from '../../sse.error.js';
import type { CancelRunOptions, Merge, RunOptions, RunSource, RunWork } from '../../sse.runs.js';
import { assertTopic } from '../check-event.js';
import type { Publisher } from '../publisher.js';
import type { SSELogger } from '../reporting/logger.js';
import type { Reporter } from '../reporting/reporter.js';
import { assertLine, assertRun } from './check-run.js';
import { type Claim, Claims, exists, PATIENCE } from './claims.js';
import { Outcomes } from './outcomes.js';
import { OwnRun } from './own-run.js';
import { FAILED, RunEnds } from './run-ends.js';
import { RunHandle, RunState } from './run-handle.js';
import { SignsOfLife } from './signs-of-life.js';

export interface OwnRunsContext {
  readonly runs: Runs;
  readonly publisher: Publisher;
  readonly backplane: Backplane;
  readonly reporter: Reporter;
  readonly logger: SSELogger;
  readonly enabled: boolean;
  /** Whether the window of the log is known. */
  readonly ready: () => boolean;
  /** The time on the log's own clock, in milliseconds. */
  readonly now: () => number;
}

/**
 * The runs of this node: claims their topics in the log, does their work, says how they came out. Which run is going on is
 * for the log alone to say (`Runs`); what that means for those who started or joined one is seen to here.
 */
export class OwnRuns {
  /** This node, for others. */
  readonly node = randomUUID().slice(-12);
  readonly #signs: SignsOfLife;
  #count = 0;
  readonly #ends: RunEnds;
  readonly #claims: Claims;
  /** What this node does. */
  readonly #active = new Map<string, OwnRun>();
  readonly #outcomes = new Outcomes();
  /** How those who come late get less of a run, by its topic. */
  readonly #merges = new Map<string, Merge>();
  #isStopped = false;
  #onIdle = (): void => {};

  constructor(private readonly context: OwnRunsContext) {
    const { runs, publisher, backplane, reporter, ready, now } = context;
    this.#ends = new RunEnds({ runs, publisher, reporter });
    this.#claims = new Claims({ runs, publisher, ends: this.#ends, ready, now });
    this.#signs = new SignsOfLife({
      node: this.node,
      runs,
      own: () => this.#active.values(),
      append: (entry) => publisher.appendForRun(entry),
      isReading: () => ready() && backplane.status === 'up',
      fail: (run) => this.#ends.lose(run),
    });
  }

  /** How many runs this node does. */
  get size(): number {
    return this.#active.size;
  }

  /** Starts a run, or joins the one that is going on. Throws `RUN_EXISTS`, and what is wrong with topic and options. */
  run(topic: string, work: RunWork<unknown>, options: RunOptions): RunHandle {
    assertRun(work, options);
    const { onRunning = 'join', merge } = options;
    const own = this.#ownOf(topic, options);
    if (merge) this.#merges.set(topic, merge);
    // Who hears of nothing any more joins nothing: as a start of its own it is refused.
    const current = this.#isStopped ? undefined : this.context.runs.goingOn(topic);
    if (current && onRunning === 'reject') throw exists(current);
    if (current && onRunning === 'join') {
      const joined = new RunHandle(current.id, topic, merge);
      this.#join(joined, current);
      return joined;
    }
    const handle = new RunHandle(own.id, topic, merge);
    void this.#start({ own, handle, onRunning, verdict: undefined, goOn: () => {} }, work);
    return handle;
  }

  /** The same for `publishFrom()`, which wants to know of a failure. */
  async publishFrom(source: RunSource<unknown>, topic: string, event: string): Promise<void> {
    const run = this.run(topic, () => source, { event, onRunning: 'reject' });
    await run.started;
    const outcome = await run.done;
    if (run.failure) throw run.failure.error;
    if (outcome === 'failed') throw stopped();
    if (outcome === 'finished') return;
    throw new SSEError('TOPIC_CLOSED', `The topic ${show(topic)} was closed before its source had come to its end.`);
  }

  /** What is known of the topic's run. */
  stateOf(topic: string): RunState | undefined {
    assertTopic(topic);
    const run = this.context.runs.get(topic);
    return run && new RunState(run, this.#merges.get(topic));
  }

  /** Throws `INVALID_TOPIC`, `INVALID_CONFIG`. What other nodes cannot read would be a hole in their log. */
  cancel(topic: string, { id, reason }: CancelRunOptions): void {
    assertTopic(topic);
    assertLine('id', id);
    assertLine('reason', reason);
    const run = this.context.runs.goingOn(topic);
    if (run && (id === undefined || id === run.id)) return this.#ends.end(run, 'cancelled', reason, run.cancelled);
    // This node may be behind: what that means, the log says.
    void this.#ends.tell({ kind: 'endRun', topic, run: id, outcome: 'cancelled', reason });
  }

  /** Lets go of what is only of use while a run is known. */
  prune(): void {
    const claimed = new Set(this.#claims.topics);
    for (const topic of this.#merges.keys()) {
      if (!this.context.runs.get(topic) && !claimed.has(topic)) this.#merges.delete(topic);
    }
  }

  /** The log says that a run has begun, or once more that it has. */
  began(run: Run): void {
    this.#signs.watch();
    if (run.node !== this.node || this.#active.has(run.id)) return;
    // It had been given up when its entry got there, or there is no time for it any more: nobody does its work.
    if (this.#isStopped || !this.#grant(run.id)) this.#ends.lose(run);
  }

  /** The log says that a run was not begun, because another one is going on. */
  refused({ run }: RunEntry, by: Run): void {
    const claim = this.#claims.refuse(run, by);
    if (claim) this.#join(claim.handle, by);
  }

  /** The log says that a run is over. */
  ended({ id, state, reason }: Run): void {
    const outcome = state as RunOutcome;
    // Its node may have missed that it has begun.
    this.#grant(id);
    this.#outcomes.finish(id, outcome);
    this.#letGo(id)?.abort(aborted(outcome, reason));
  }

  /** Something that a node has written of its runs was read. */
  heard(node: string): void {
    this.#signs.heard(node);
    this.#signs.watch();
  }

  /** Somebody has asked this node for a sign. */
  doubted(node: string): void {
    this.#signs.doubted(node);
  }

  /** A node says that it still has a run which is over: it has not read that. */
  tellAgain(run: RunThatIsOver): void {
    this.#ends.tellAgain(run);
  }

  /** Nobody does its work. */
  lose(run: Run): void {
    this.#ends.lose(run);
  }

  /** The log has what is said last in a run. */
  saidLast(run: Run, outcome: RunOutcome): void {
    const own = this.#active.get(run.id);
    if (own && !own.end) void this.#ends.follow(run, outcome);
  }

  /** What is in the log before this place was not read. */
  missed(upTo: Position): void {
    this.#claims.missed(upTo);
    // What the log had of its end may be gone with the rest. Not now: what is said here would come before the news.
    for (const { end } of this.#active.values()) if (end) queueMicrotask(end);
    if (this.#outcomes.size > 0) setTimeout(() => this.#giveUpOnUnknown(), PATIENCE).unref();
  }

  /** Waits until all work of this node is done, and so long at most. What is not done then is told as failed. */
  async drain(timeout: number): Promise<void> {
    if (this.#active.size > 0) {
      const cancel = new AbortController();
      const timeIsUp = delay(timeout, undefined, { signal: cancel.signal }).catch(() => {});
      await Promise.race([new Promise<void>((resolve) => (this.#onIdle = resolve)), timeIsUp]);
      cancel.abort();
    }
    this.#isStopped = true;
    for (const own of [...this.#active.values()]) {
      this.context.logger.warn(`The run on ${show(own.topic)} is cut short by the shutdown, and is told as failed.`);
      this.#ends.end(own, 'failed', 'shutdown', own.entry.failed);
      this.#letGo(own.id)?.abort(aborted('failed', 'shutdown'));
      this.#outcomes.finish(own.id, 'failed');
    }
  }

  /** Nothing more is read. */
  stop(): void {
    this.#isStopped = true;
    this.#signs.stop();
    this.#ends.stop();
    this.#claims.goOn();
    this.#outcomes.reject(() => true, stopped());
  }

  /** What is wrong with topic and options is the caller's to know, now: what was checked is what is said in the end. */
  #ownOf(topic: unknown, { failed = FAILED, cancelled, last, event }: RunOptions): OwnRun {
    assertTopic(topic);
    const { publisher, logger } = this.context;
    const run = `${this.node}-${(this.#count++).toString(36)}`;
    const farewell = (given: SSEEvent, ends: RunOutcome): EventEntry =>
      this.#ends.farewell({ ...given, topic }, run, ends);
    if (event !== undefined) farewell({ event, data: '' }, 'finished');
    const goodbyes = { failed: farewell(failed, 'failed'), cancelled: cancelled && farewell(cancelled, 'cancelled') };
    const entry: RunEntry = { kind: 'run', topic: goodbyes.failed.topic!, run, ...goodbyes };
    return new OwnRun(entry, last && farewell(last, 'finished'), event, publisher, logger);
  }

  async #start(claim: Claim, work: RunWork<unknown>): Promise<void> {
    const { own, handle } = claim;
    const { enabled } = this.context;
    try {
      const claiming = enabled ? this.#claims.settle(claim) : 'begun';
      // With the log in memory it is decided by now, and whoever has called run() may count on that.
      if (claim.verdict !== 'begun' && (await claiming) === 'joined') return;
    } catch (error) {
      handle.reject(error);
      return;
    }
    handle.begin(own.id);
    const outcome = await own.perform(work);
    handle.failure = own.failure;
    if (!enabled) return handle.finish(outcome);
    // Unless the log says already that it is over.
    if (!this.#active.has(own.id)) return;
    const [reason, farewell] = outcome === 'failed' ? ['source', own.entry.failed] : [undefined, own.last];
    own.end = () => this.#ends.end(own, outcome, reason, farewell);
    own.end();
  }

  #join(handle: RunHandle, run: Run): void {
    this.#outcomes.wait(handle, run.id);
    handle.begin(run.id);
  }

  /** Answers whether somebody waits for this run to begin. */
  #grant(id: string): boolean {
    const claim = this.#claims.grant(id);
    if (!claim) return false;
    this.#active.set(id, claim.own);
    this.#outcomes.wait(claim.handle, id);
    return true;
  }

  #letGo(id: string): OwnRun | undefined {
    const own = this.#active.get(id);
    this.#active.delete(id);
    if (this.#active.size === 0) this.#onIdle();
    return own;
  }

  /** Its end was in what was not read, or it would have been heard of. */
  #giveUpOnUnknown(): void {
    const goingOn = new Set(Array.from(this.context.runs.allGoingOn(), ({ id }) => id));
    const message = 'What became of the run is not known: this node could not read the log for a while.';
    this.#outcomes.reject((id) => !goingOn.has(id), new SSEError('BACKPLANE_UNAVAILABLE', message));
  }
}

/** For `signal.reason`, as `AbortController` has it. */
function aborted(outcome: RunOutcome, reason: string | undefined): DOMException {
  const why = reason === undefined ? '' : `: ${reason}`;
  return new DOMException(`The run is over (${outcome}${why}).`, 'AbortError');
}

function stopped(): SSEError {
  return new SSEError('SHUTTING_DOWN', 'The hub is shut down, and hears of runs no more.');
}
