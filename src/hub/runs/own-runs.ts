import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';

import type { Backplane } from '../../backplane/backplane.js';

import type { Run, Runs, RunThatIsOver } from '../../log/runs.js';
import { comparePositions, ORIGIN, type Position } from '../../protocol/cursor.js';
import type { EventEntry, RunEndEntry, RunEntry, RunOutcome } from '../../protocol/entry.js';
import { show, type SSEEvent } from '../../protocol/event.js';
import { SSEError } from '../../sse.error.js';
import type { CancelRunOptions, Merge, RunOptions, RunSource, RunWork } from '../../sse.runs.js';
import { assertTopic } from '../check-event.js';
import type { Publisher } from '../publisher.js';
import type { SSELogger } from '../reporting/logger.js';
import type { Reporter } from '../reporting/reporter.js';
import { assertLine, assertRun } from './check-run.js';
import { OwnRun } from './own-run.js';
import { RunHandle, RunState } from './run-handle.js';
import { SignsOfLife } from './signs-of-life.js';

/** Milliseconds of the log that a node has to know before it begins a run: others say in that time which they have. */
const KNOWN_FOR = 5_000;
/** Milliseconds that a run waits for that. */
const PATIENCE = 10_000;
/** Milliseconds between two looks, and between two attempts to tell that a run is over. */
const LOOK_AGAIN_AFTER = 50;
const TELL_AGAIN_AFTER = 1_000;

const FAILED: SSEEvent = { event: 'failed', data: { message: 'The work behind these events failed.' } };

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

/** A run that the log has not decided on yet. */
interface Claim {
  readonly own: OwnRun;
  readonly handle: RunHandle;
  readonly onRunning: NonNullable<RunOptions['onRunning']>;
  /** What the log says of it, which stays so whatever is not read afterwards. */
  verdict: 'begun' | 'joined' | { readonly existing: Run } | undefined;
  /** To be called when there is a verdict, and when its entry has to be written once more. */
  goOn: () => void;
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
  readonly #claims = new Map<string, Claim>();
  /** What this node does. */
  readonly #active = new Map<string, OwnRun>();
  /** Who waits for the outcome of a run, by its id. */
  readonly #waiting = new Map<string, Set<RunHandle>>();
  /** How those who come late get less of a run, by its topic. */
  readonly #merges = new Map<string, Merge>();
  /** What is before this place in the log, this node has not read. */
  #unknownUpTo = ORIGIN;
  #isStopped = false;
  #onIdle = (): void => {};

  constructor(private readonly context: OwnRunsContext) {
    const { runs, publisher, backplane, ready } = context;
    this.#signs = new SignsOfLife({
      node: this.node,
      runs,
      own: () => this.#active.values(),
      append: (entry) => publisher.appendForRun(entry),
      isReading: () => ready() && backplane.status === 'up',
      fail: (run) => this.lose(run),
    });
  }

  /** How many runs this node does. */
  get size(): number {
    return this.#active.size;
  }

  /** Starts a run, or joins the one that is going on. Throws `RUN_EXISTS`, and what is wrong with topic and options. */
  run(topic: string, work: RunWork<unknown>, options: RunOptions): RunHandle {
    assertRun(work, options);
    const { onRunning = 'join' } = options;
    // oxlint-disable-next-line typescript/unbound-method -- An option is a function, and what several share is told by it.
    const { merge } = options;
    const entry = this.#entryOf(topic, options);
    if (merge) this.#merges.set(topic, merge);
    // Who hears of nothing any more joins nothing: as a start of its own it is refused.
    const current = this.#isStopped ? undefined : this.context.runs.goingOn(topic);
    if (current && onRunning === 'reject') throw exists(current);
    if (current && onRunning === 'join') {
      const joined = new RunHandle(current.id, topic, merge);
      this.#join(joined, current);
      return joined;
    }
    const handle = new RunHandle(entry.run, topic, merge);
    const own = new OwnRun(entry, options, this.context.publisher, this.context.logger);
    void this.#start({ own, handle, onRunning, verdict: undefined, goOn: () => {} }, work, options);
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
    if (run && (id === undefined || id === run.id)) return this.#end(run, 'cancelled', reason, run.cancelled);
    // This node may be behind: what that means, the log says.
    void this.#tell({ kind: 'endRun', topic, run: id, outcome: 'cancelled', reason });
  }

  /** Lets go of what is only of use while a run is known. */
  prune(): void {
    const claimed = new Set(Array.from(this.#claims.values(), ({ own }) => own.topic));
    for (const topic of this.#merges.keys()) {
      if (!this.context.runs.get(topic) && !claimed.has(topic)) this.#merges.delete(topic);
    }
  }

  /** The log says that a run has begun, or once more that it has. */
  began(run: Run): void {
    this.#signs.watch();
    if (run.node !== this.node || this.#active.has(run.id)) return;
    // It had been given up when its entry got there, or there is no time for it any more: nobody does its work.
    if (this.#isStopped || !this.#grant(run.id)) this.lose(run);
  }

  /** The log says that a run was not begun, because another one is going on. */
  refused({ run }: RunEntry, by: Run): void {
    const claim = this.#claims.get(run);
    if (!claim || claim.verdict) return;
    if (claim.onRunning === 'join') {
      this.#join(claim.handle, by);
      claim.verdict = 'joined';
    } else if (claim.onRunning === 'reject') {
      claim.verdict = { existing: by };
    }
    claim.goOn();
  }

  /** The log says that a run is over. */
  ended({ id, state, reason }: Run): void {
    const outcome = state as RunOutcome;
    // Its node may have missed that it has begun.
    this.#grant(id);
    for (const handle of this.#waiting.get(id) ?? []) handle.finish(outcome);
    this.#waiting.delete(id);
    this.#letGo(id)?.abort(aborted(outcome, reason));
  }

  /** Something that this node has written of its runs was read. */
  heard(node: string): void {
    this.#signs.heard(node);
    this.#signs.watch();
  }

  /** Somebody has asked this node for a sign. */
  doubted(node: string): void {
    this.#signs.doubted(node);
  }

  /** A node says that it still has a run which is over: it has not read that. */
  tellAgain({ topic, id, state, reason }: RunThatIsOver): void {
    void this.#tell({ kind: 'endRun', topic, run: id, outcome: state as RunOutcome, reason });
  }

  /** Nobody does its work. What its viewers are to get then is not known where its beginning was not read. */
  lose(run: Run): void {
    const { id, topic, failed } = run;
    const farewell = failed ?? this.#farewell({ ...FAILED, topic }, id, 'failed');
    this.#end(run, 'failed', 'lost', farewell);
  }

  /** What is in the log before this place was not read. */
  missed(upTo: Position): void {
    this.#unknownUpTo = upTo;
    for (const claim of this.#claims.values()) claim.goOn();
    // What the log had of its end may be gone with the rest. Not now: what is said here would come before the news.
    for (const { end } of this.#active.values()) if (end) queueMicrotask(end);
    if (this.#waiting.size > 0) setTimeout(() => this.#giveUpOnUnknown(), PATIENCE).unref();
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
      this.#end(own, 'failed', 'shutdown', own.entry.failed);
      this.#letGo(own.id)?.abort(aborted('failed', 'shutdown'));
      for (const handle of this.#waiting.get(own.id) ?? []) handle.finish('failed');
      this.#waiting.delete(own.id);
    }
  }

  /** Nothing more is read. */
  stop(): void {
    this.#isStopped = true;
    this.#signs.stop();
    for (const claim of this.#claims.values()) claim.goOn();
    this.#rejectWaiting(() => true, stopped());
  }

  #entryOf(topic: unknown, options: RunOptions): RunEntry {
    assertTopic(topic);
    const run = `${this.node}-${(this.#count++).toString(36)}`;
    const { failed = FAILED, cancelled, last, event } = options;
    const farewell = (given: SSEEvent, ends: RunOutcome): EventEntry => this.#farewell({ ...given, topic }, run, ends);
    // What is wrong with these is the caller's to know, now.
    if (last) farewell(last, 'finished');
    if (event !== undefined) farewell({ event, data: '' }, 'finished');
    const goodbyes = { failed: farewell(failed, 'failed'), cancelled: cancelled && farewell(cancelled, 'cancelled') };
    return { kind: 'run', topic: goodbyes.failed.topic!, run, ...goodbyes };
  }

  async #start(claim: Claim, work: RunWork<unknown>, { last }: RunOptions): Promise<void> {
    const { own, handle } = claim;
    const { enabled } = this.context;
    try {
      const claiming = enabled ? this.#claim(claim) : 'begun';
      // With the log in memory it is decided by now, and whoever has called run() may count on that.
      if (claim.verdict !== 'begun' && (await claiming) === 'joined') return;
    } catch (error) {
      handle.reject(error);
      return;
    } finally {
      this.#claims.delete(own.id);
    }
    handle.begin(own.id);
    const outcome = await own.perform(work);
    handle.failure = own.failure;
    if (!enabled) return handle.finish(outcome);
    // Unless the log says already that it is over.
    if (!this.#active.has(own.id)) return;
    const [reason, farewell] =
      outcome === 'failed'
        ? ['source', own.entry.failed]
        : [undefined, last && this.#farewell({ ...last, topic: own.topic }, own.id, outcome)];
    own.end = () => this.#end(own, outcome, reason, farewell);
    own.end();
  }

  /** Settles when the log has decided which run is going on. */
  async #claim(claim: Claim): Promise<'begun' | 'joined'> {
    const { own } = claim;
    const { publisher } = this.context;
    this.#claims.set(own.id, claim);
    while (!claim.verdict) {
      publisher.open();
      // With the log in memory it is begun when run() returns.
      if (!this.#isKnown) await this.#untilKnown(claim);
      // An entry of it that was given up for lost may have been read meanwhile.
      else await this.#ask(claim);
    }
    if (typeof claim.verdict === 'object') throw exists(claim.verdict.existing);
    return claim.verdict;
  }

  async #ask(claim: Claim): Promise<void> {
    const { own, onRunning } = claim;
    const { runs, publisher } = this.context;
    const current = runs.goingOn(own.topic);
    if (current && onRunning === 'replace') this.#end(current, 'cancelled', 'replaced', current.cancelled);
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

  #farewell(event: SSEEvent & { readonly topic: string }, run: string, ends: RunOutcome): EventEntry {
    return this.context.publisher.entryForRun(event, { run, n: 0, ends });
  }

  /** Has the log say that a run is over, and before it what its viewers get. */
  #end(
    run: { readonly id: string; readonly topic: string; readonly events: number },
    outcome: RunOutcome,
    reason: string | undefined,
    farewell: EventEntry | undefined,
  ): void {
    const { publisher, reporter } = this.context;
    if (farewell) {
      const last = { ...farewell, n: run.events };
      publisher.appendForRun(last).catch((error: unknown) => reporter.publishFailed(last, error));
    }
    void this.#tell({ kind: 'endRun', topic: run.topic, run: run.id, outcome, reason });
  }

  /** Until the log has it, or has what makes it needless: who follows the run waits for it. */
  async #tell(entry: RunEndEntry): Promise<void> {
    const { publisher, reporter, runs } = this.context;
    do {
      try {
        await publisher.appendForRun(entry);
        return;
      } catch (error) {
        reporter.publishFailed(entry, error);
        await delay(TELL_AGAIN_AFTER, undefined, { ref: false });
      }
    } while (!this.#isStopped && runs.goingOn(entry.topic)?.id === entry.run);
  }

  #join(handle: RunHandle, run: Run): void {
    this.#wait(handle, run.id);
    handle.begin(run.id);
  }

  #wait(handle: RunHandle, id: string): void {
    const handles = this.#waiting.get(id);
    if (handles) handles.add(handle);
    else this.#waiting.set(id, new Set([handle]));
  }

  /** Answers whether somebody waits for this run to begin. */
  #grant(id: string): boolean {
    const claim = this.#claims.get(id);
    if (!claim || claim.verdict) return false;
    this.#active.set(id, claim.own);
    this.#wait(claim.handle, id);
    claim.verdict = 'begun';
    claim.goOn();
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
    this.#rejectWaiting((id) => !goingOn.has(id), new SSEError('BACKPLANE_UNAVAILABLE', message));
  }

  #rejectWaiting(isMeant: (id: string) => boolean, error: SSEError): void {
    for (const [id, handles] of this.#waiting) {
      if (!isMeant(id)) continue;
      this.#waiting.delete(id);
      for (const handle of handles) handle.reject(error);
    }
  }
}

/** For `signal.reason`, as `AbortController` has it. */
function aborted(outcome: RunOutcome, reason: string | undefined): DOMException {
  const why = reason === undefined ? '' : `: ${reason}`;
  return new DOMException(`The run is over (${outcome}${why}).`, 'AbortError');
}

function exists({ id, topic }: Run): SSEError {
  return new SSEError(
    'RUN_EXISTS',
    `A run is going on already on ${show(topic)}: ${id}. \`onRunning: 'join'\` follows it, 'replace' cancels it first.`,
  );
}

function stopped(): SSEError {
  return new SSEError('SHUTTING_DOWN', 'The hub is shut down, and hears of runs no more.');
}
