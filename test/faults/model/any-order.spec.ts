import { afterAll, beforeAll, describe, it, jest } from '@jest/globals';
import fc from 'fast-check';

import { note } from '../../support/measures/figures.js';
import { limitsOfNodes, operation } from '../../support/model/operations.js';
import { World } from '../../support/model/world.js';
import { seed } from '../../support/seed.js';
import { StandingClock } from '../../support/test-hub.js';

/** `MODEL_RUNS=20000` for the long run. */
const RUNS = Number(process.env['MODEL_RUNS'] ?? 400);

jest.setTimeout(Math.max(300_000, RUNS * 100));

let clock: StandingClock;

beforeAll(() => {
  clock = new StandingClock();
});

afterAll(() => {
  jest.restoreAllMocks();
});

describe('whatever happens in whatever order', () => {
  it('every client gets what it follows, once and in order, or is told that it is gone', async () => {
    const totals = { published: 0, received: 0, connections: 0, resets: 0 };
    await fc.assert(
      fc.asyncProperty(
        limitsOfNodes,
        fc.array(operation, { maxLength: 60, size: 'max' }),
        async (limits, operations) => {
          const world = new World(limits, clock);
          await world.run(operations);
          await world.end();
          for (const key of Object.keys(totals) as (keyof typeof totals)[]) totals[key] += world.figures[key];
          if (world.faults.length > 0) throw new Error(`${world.faults[0]}\n${world.story.join('\n')}`);
        },
      ),
      { numRuns: RUNS, seed },
    );
    note(`Model: ${RUNS} runs, ${JSON.stringify(totals)}`);
  });
});
