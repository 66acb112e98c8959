import { appendFileSync } from 'node:fs';

import { expect } from '@jest/globals';
import type { SSEService } from 'nestjs-sse-hub';

/** What a run of the fault suite adds up, by file. */
export interface Figures {
  /** Faults beyond the one that a test stands for. */
  readonly faults: number;
  readonly published: number;
  readonly delivered: number;
  readonly resets: number;
  /** Clients whose every event was held against what was published. */
  readonly checked: number;
  readonly losses: number;
  readonly duplicates: number;
}

/** Adds to the figures of the test that is running, where somebody asked for them: see fault-report.js. */
export function record(figures: Partial<Figures>): void {
  append({ path: expect.getState().testPath, ...figures });
}

/** Says in that report what a test has measured. */
export function note(text: string): void {
  append({ note: text });
}

/** To be called when a hub has done its part. */
export function recordHub(sse: SSEService): void {
  const { published, delivered, resets } = sse.stats();
  record({ published, delivered, resets: Object.values(resets).reduce((sum, count) => sum + count, 0) });
}

function append(line: object): void {
  const file = process.env['FAULT_FIGURES'];
  if (file) appendFileSync(file, `${JSON.stringify(line)}\n`);
}
