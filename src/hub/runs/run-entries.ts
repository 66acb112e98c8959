import type { EventLog } from '../../log/event-log.js';
import { nodeOfRun, type Run, type Runs } from '../../log/runs.js';
import type { ClosedTopics } from '../../log/closed-topics.js';
import type { Position } from '../../protocol/cursor.js';
import type { EventEntry, RunDoubtEntry, RunEndEntry, RunEntry, RunSignEntry } from '../../protocol/entry.js';
import type { OwnRuns } from './own-runs.js';

export interface RunEntriesContext {
  readonly log: EventLog;
  readonly closedTopics: ClosedTopics;
  readonly runs: Runs;
  readonly own: OwnRuns;
  /** Whether what is read is news. */
  readonly ready: () => boolean;
  /** Finishes the topic at this place. */
  readonly finish: (topic: string, position: Position) => void;
}

/** What the log says of runs, one entry after the other, as it is delivered. */
export class RunEntries {
  constructor(private readonly context: RunEntriesContext) {}

  deliver(entry: RunEntry | RunEndEntry | RunSignEntry | RunDoubtEntry, position: Position): void {
    switch (entry.kind) {
      case 'run':
        return this.#begin(entry, position);
      case 'endRun':
        return this.#end(entry, position);
      case 'signOfRuns':
        return this.#hear(entry, position);
      case 'doubtRuns':
        this.context.log.append(position, undefined);
        if (this.context.ready()) this.context.own.doubted(entry.node);
    }
  }

  /** Whether an event of a run is to be delivered: not behind the end of that, or beside another one. */
  takes({ topic, run, n, ends }: EventEntry): boolean {
    const { runs, own, log } = this.context;
    if (topic === undefined || run === undefined) return true;
    const isTaken = runs.takes({ topic, run, n, ends }, log.head);
    own.heard(nodeOfRun(run));
    if (!isTaken) return false;
    // Also where its beginning was not read, or was in another life of the log.
    log.keepWhole(topic);
    if (ends) own.saidLast(runs.get(topic)!, ends);
    return true;
  }

  /** A topic was closed: so is what ran there. */
  closed(topic: string): void {
    const run = this.context.runs.end({ kind: 'endRun', topic, outcome: 'cancelled', reason: 'closed' });
    if (run) this.#isOver(run);
  }

  #begin(entry: RunEntry, position: Position): void {
    const { log, closedTopics, runs, own } = this.context;
    const { topic } = entry;
    const present = runs.goingOn(topic);
    if (present && present.id !== entry.run) {
      log.append(position, undefined);
      own.refused(entry, present);
      return;
    }
    const known = runs.begun(entry);
    // Whoever has not read that it has begun says it again, and then it may be over already.
    if (known) {
      log.append(position, undefined);
      if (present) own.began(present);
      else own.ended(known);
      return;
    }
    const index = log.append(position, { kind: 'open', topic });
    closedTopics.begin(topic, index, position);
    log.keepWhole(topic);
    own.began(runs.begin(entry, index, position));
  }

  #end(entry: RunEndEntry, position: Position): void {
    const { log, runs } = this.context;
    const run = runs.end(entry, log.head);
    if (!run) {
      log.append(position, undefined);
      return;
    }
    this.context.finish(entry.topic, position);
    this.#isOver(run);
  }

  #isOver(run: Run): void {
    this.context.log.keepForItsTime(run.topic);
    this.context.own.ended(run);
  }

  #hear({ node, runs: named }: RunSignEntry, position: Position): void {
    const { log, runs, own, ready } = this.context;
    const index = log.append(position, undefined);
    for (const [topic, id] of Object.entries(named)) {
      if (nodeOfRun(id) !== node) continue;
      const over = runs.hear(topic, id, index);
      if (over && ready()) own.tellAgain(over);
    }
    own.heard(node);
    for (const run of runs.unnamed(node, named, position)) if (ready()) own.lose(run);
  }
}
