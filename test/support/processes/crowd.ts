import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';

import { type Bench, until } from '../baseline.js';
import type { Figures } from '../measures/figures.js';

/** What one client of a crowd has seen. */
export interface CrowdClient {
  readonly events: number;
  /** Events that did not follow the one before: missing ones, and ones that came again. */
  readonly gaps: number;
  readonly repeats: number;
  /** The number that it expects next. */
  readonly next: number;
  /** The text of the last block. */
  readonly last: string;
  readonly ended: boolean;
  /** The response came to its proper end. */
  readonly complete: boolean;
}

/** What the reports of a crowd add to the figures of the run. */
export function figuresOf(clients: readonly CrowdClient[]): Partial<Figures> {
  return {
    checked: clients.length,
    losses: clients.reduce((sum, { gaps }) => sum + gaps, 0),
    duplicates: clients.reduce((sum, { repeats }) => sum + repeats, 0),
  };
}

/** Many clients that read, in a process of their own. Their events are numbered from 0: `{ n, at: timeNow(), … }`. */
export class Crowd {
  readonly #process: ChildProcess = fork(join(import.meta.dirname, 'crowd-process.js'), { execArgv: [] });

  constructor(bench: Bench) {
    bench.onEnd(() => this.#process.disconnect());
  }

  /** Settles when all of them have got their first bytes. */
  async open(url: string, count: number): Promise<void> {
    await this.#ask({ url, count });
  }

  async clients(): Promise<readonly CrowdClient[]> {
    return (await this.#ask({ ask: 'clients' })) as readonly CrowdClient[];
  }

  /** Waits until each of them has so many events. */
  async untilAllHave(count: number): Promise<void> {
    const haveAll = async (): Promise<boolean> => (await this.clients()).every(({ next }) => next === count);
    await until(`everyone who reads has ${count} events`, haveAll);
  }

  /** Milliseconds from `at` in an event's data to its arrival, of all that came since this was asked last. */
  async p99(): Promise<number> {
    return ((await this.#ask({ ask: 'p99' })) as { p99: number }).p99;
  }

  async #ask(message: object): Promise<unknown> {
    this.#process.send(message);
    const [answer] = (await once(this.#process, 'message')) as [unknown];
    return answer;
  }
}

/** On the clock that all processes of the machine share. */
export function timeNow(): number {
  return performance.timeOrigin + performance.now();
}
