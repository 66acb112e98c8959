import { types } from 'node:util';

import type { EventEntry, RunEntry, RunOutcome } from '../../protocol/entry.js';
import { show } from '../../protocol/event.js';
import type { RunWork } from '../../sse.runs.js';
import type { Publisher } from '../publisher.js';
import { describe, type SSELogger, stackOf } from '../reporting/logger.js';
import { consume } from './consume.js';
import { eventOf } from './run-events.js';

/** Events that may wait for the log. Then the source waits, too: that is what a slow broker costs. */
const MAX_UNCONFIRMED = 1_000;

/** Work that this node does: what its source gives becomes events of its topic. */
export class OwnRun {
  readonly id: string;
  readonly topic: string;
  /** Its work is done: has the log say so. */
  end: (() => void) | undefined;
  readonly #controller = new AbortController();
  #events = 0;
  #unconfirmed = 0;
  #onConfirmed = (): void => {};
  #failure: { readonly error: unknown } | undefined;

  constructor(
    readonly entry: RunEntry,
    /** What is said when it has finished. */
    readonly last: EventEntry | undefined,
    /** The name of its events, where they have one. */
    private readonly name: string | undefined,
    private readonly publisher: Publisher,
    private readonly logger: SSELogger,
  ) {
    this.id = entry.run;
    this.topic = entry.topic;
  }

  /** How many events it has published. */
  get events(): number {
    return this.#events;
  }

  /** What its source has failed with. */
  get failure(): { readonly error: unknown } | undefined {
    return this.#failure;
  }

  /** Has it stop: whatever it gives from now on is thrown away. */
  abort(reason: unknown): void {
    this.#controller.abort(reason);
    this.#onConfirmed();
  }

  /** Publishes what its source gives, up to its end. A source that fails is logged. */
  async perform(work: RunWork<unknown>): Promise<RunOutcome> {
    const { signal } = this.#controller;
    try {
      if (!signal.aborted) {
        const given = work(signal);
        // Not awaited without need: an Observable may be given its values as soon as it has been handed over.
        const source = types.isPromise(given) ? await given : given;
        await consume(source, signal, (value) => this.#take(value));
      }
      if (!signal.aborted) await this.#confirmed(1);
      if (!signal.aborted) return 'finished';
    } catch (error) {
      if (!signal.aborted) this.#fail(error);
    }
    return this.#failure ? 'failed' : 'cancelled';
  }

  #take(value: unknown): Promise<void> | undefined {
    const { id, topic, name } = this;
    const event = eventOf(value, topic, name);
    const entry = this.publisher.entryForRun(event, { run: id, n: this.#events });
    this.#events++;
    this.#unconfirmed++;
    this.publisher.appendForRun(entry).then(
      () => this.#onAppended(),
      (error: unknown) => {
        this.#onAppended();
        if (!this.#controller.signal.aborted) this.#fail(error);
      },
    );
    return this.#unconfirmed < MAX_UNCONFIRMED ? undefined : this.#confirmed(MAX_UNCONFIRMED);
  }

  #onAppended(): void {
    this.#unconfirmed--;
    this.#onConfirmed();
  }

  /** Settles when fewer than so many wait for the log, or when it is stopped. */
  #confirmed(count: number): Promise<void> {
    return new Promise((resolve) => {
      const { signal } = this.#controller;
      this.#onConfirmed = () => {
        if (this.#unconfirmed < count || signal.aborted) resolve();
      };
      this.#onConfirmed();
    });
  }

  #fail(error: unknown): void {
    this.#failure = { error };
    this.logger.error(`The run on ${show(this.topic)} failed: ${describe(error)}`, stackOf(error));
    this.abort(error);
  }
}
