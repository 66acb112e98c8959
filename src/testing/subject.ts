import assert from 'node:assert/strict';
import { setTimeout as delay } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';

import type { Backplane } from '../backplane/backplane.js';

/** A log to be checked, empty, and used by nothing else. */
export interface ContractSubject {
  /** A backplane for another node: a new object on the same log, or the same object where the log is in it. */
  node(): Backplane;
  /** Called when the check is over and its nodes are closed. */
  dispose?(): void | Promise<void>;
}

export interface ContractCheck {
  readonly name: string;
  /** Only for logs that keep entries for nodes which start later. */
  readonly ofRetention: boolean;
  run(make: () => ContractSubject | Promise<ContractSubject>): Promise<void>;
}

/** Milliseconds. */
const PATIENCE = 10_000;

/** Waits until something holds. */
export async function until(what: string, holds: () => boolean): Promise<void> {
  const deadline = performance.now() + PATIENCE;
  while (!holds()) {
    assert.ok(performance.now() < deadline, `not within ${PATIENCE} ms: ${what}`);
    await delay(2);
  }
}

/** Waits until the answer is the expected one. */
export async function untilEqual<T>(what: string, ask: () => Promise<T>, expected: T): Promise<void> {
  const deadline = performance.now() + PATIENCE;
  for (;;) {
    const answer = await ask();
    if (isDeepStrictEqual(answer, expected)) return;
    if (performance.now() > deadline) assert.deepEqual(answer, expected, `not within ${PATIENCE} ms: ${what}`);
    await delay(20);
  }
}

/** Long enough for something to arrive that should not. */
export function aWhile(): Promise<void> {
  return delay(100);
}

/** A check that gets its subject, and a list for what has to be closed when it is over. */
export function check(
  name: string,
  run: (subject: ContractSubject, endings: (() => Promise<unknown>)[]) => Promise<void>,
  ofRetention = false,
): ContractCheck {
  return {
    name,
    ofRetention,
    run: async (make) => {
      const subject = await make();
      const endings: (() => Promise<unknown>)[] = [];
      try {
        await run(subject, endings);
      } finally {
        for (const end of endings) await end();
        await subject.dispose?.();
      }
    },
  };
}

export function checkOfRetention(...[name, run]: Parameters<typeof check>): ContractCheck {
  return check(name, run, true);
}

export function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}
