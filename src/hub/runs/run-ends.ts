import { setTimeout as delay } from 'node:timers/promises';

import type { Run, RunThatIsOver, Runs } from '../../log/runs.js';
import type { EventEntry, RunEndEntry, RunOutcome } from '../../protocol/entry.js';
import type { SSEEvent } from '../../protocol/event.js';
import type { Publisher } from '../publisher.js';
import type { Reporter } from '../reporting/reporter.js';

/** Milliseconds between two attempts to tell that a run is over. */
const TELL_AGAIN_AFTER = 1_000;

/** What viewers of a run that has failed get, unless it says something else. */
export const FAILED: SSEEvent = { event: 'failed', data: { message: 'The source of these events failed.' } };

export interface RunEndsContext {
  readonly runs: Runs;
  readonly publisher: Publisher;
  readonly reporter: Reporter;
}

/** Has the log say that runs are over. */
export class RunEnds {
  #isStopped = false;

  constructor(private readonly context: RunEndsContext) {}

  /** What is said last in a run. Throws what is wrong with it. */
  farewell(event: SSEEvent & { readonly topic: string }, run: string, ends: RunOutcome): EventEntry {
    return this.context.publisher.entryForRun(event, { run, n: 0, ends });
  }

  /** A run is over, and before that its viewers get this. */
  end(
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
    void this.tell({ kind: 'endRun', topic: run.topic, run: run.id, outcome, reason });
  }

  /** Nobody does its work. What its viewers are to get then is not known where its beginning was not read. */
  lose(run: Run): void {
    const { id, topic, failed } = run;
    this.end(run, 'failed', 'lost', failed ?? this.farewell({ ...FAILED, topic }, id, 'failed'));
  }

  /** A node says that it still has a run which is over: it has not read that. */
  tellAgain({ topic, id, state, reason }: RunThatIsOver): void {
    void this.tell({ kind: 'endRun', topic, run: id, outcome: state as RunOutcome, reason });
  }

  /** Somebody has said the last of a run. Where the end does not follow, whoever that was is dead: then it is said here. */
  async follow({ topic, id }: Run, outcome: RunOutcome): Promise<void> {
    await delay(TELL_AGAIN_AFTER, undefined, { ref: false });
    if (this.#goesOn(topic, id)) await this.tell({ kind: 'endRun', topic, run: id, outcome });
  }

  /** Until the log has it, or has what makes it needless: who follows the run waits for it. */
  async tell(entry: RunEndEntry): Promise<void> {
    const { publisher, reporter } = this.context;
    do {
      try {
        await publisher.appendForRun(entry);
        return;
      } catch (error) {
        reporter.publishFailed(entry, error);
        await delay(TELL_AGAIN_AFTER, undefined, { ref: false });
      }
    } while (this.#goesOn(entry.topic, entry.run));
  }

  stop(): void {
    this.#isStopped = true;
  }

  #goesOn(topic: string, id: string | undefined): boolean {
    return !this.#isStopped && this.context.runs.goingOn(topic)?.id === id;
  }
}
