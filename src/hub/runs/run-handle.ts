import type { Run } from '../../log/runs.js';
import type { RunOutcome } from '../../protocol/entry.js';
import type { Merge, SSERun, SSERunState } from '../../sse.runs.js';

/** What somebody who starts or joins a run gets. */
export class RunHandle implements SSERun {
  readonly started: Promise<void>;
  readonly done: Promise<RunOutcome>;
  #begin!: () => void;
  #finish!: (outcome: RunOutcome) => void;
  readonly #rejects: ((error: unknown) => void)[] = [];
  /** What its source has failed with, if this node does its work. */
  failure: { readonly error: unknown } | undefined;

  constructor(
    private current: string,
    readonly topic: string,
    readonly merge: Merge | undefined,
  ) {
    this.started = new Promise((resolve, reject) => {
      this.#begin = resolve;
      this.#rejects.push(reject);
    });
    this.done = new Promise((resolve, reject) => {
      this.#finish = resolve;
      this.#rejects.push(reject);
    });
    // Who awaits neither is not to have the process end for it.
    for (const promise of [this.started, this.done]) promise.catch(() => {});
  }

  get id(): string {
    return this.current;
  }

  /** It is this one that is going on. */
  begin(id: string): void {
    this.current = id;
    this.#begin();
  }

  finish(outcome: RunOutcome): void {
    this.#finish(outcome);
  }

  /** It never began, or its outcome cannot be known any more. */
  reject(error: unknown): void {
    for (const reject of this.#rejects) reject(error);
  }
}

/** What is known of a run, for the application. */
export class RunState implements SSERunState {
  readonly id: string;
  readonly topic: string;
  readonly state: SSERunState['state'];
  readonly node: string;
  readonly events: number;
  declare readonly since?: string;
  declare readonly reason?: string;

  readonly #merge: Merge | undefined;

  constructor({ id, topic, state, node, events, since, reason }: Run, merge: Merge | undefined) {
    this.#merge = merge;
    this.id = id;
    this.topic = topic;
    this.state = state === 'ending' ? 'running' : state;
    this.node = node;
    this.events = events;
    if (since !== undefined) this.since = new Date(since).toISOString();
    if (reason !== undefined) this.reason = reason;
  }

  /** Not for the application, which would find a function in what it takes for data. */
  get merge(): Merge | undefined {
    return this.#merge;
  }
}
