import { describe, expect, it } from '@jest/globals';

import { note } from '../../support/measures/figures.js';
import { RunWorld } from '../../support/model/run-world.js';
import { integer, seed, seededRandom } from '../../support/seed.js';

/** `RUN_WORLDS=2000` for the long run. They wait for the dead together. */
const WORLDS = Number(process.env['RUN_WORLDS'] ?? 60);
const STEPS = 40;

describe('runs on three nodes, whatever happens in whatever order', () => {
  for (const { name, isLossy } of [
    { name: 'nodes that read late and are replaced', isLossy: false },
    { name: 'nodes that miss something, are cut off or die, and a log that is emptied', isLossy: true },
  ]) {
    it(`are told by all nodes as the log has them, and nobody waits for ever: ${name}`, async () => {
      const totals = { started: 0, cancelled: 0, viewers: 0, delivered: 0 };
      const tryOne = async (number: number): Promise<string[]> => {
        const random = seededRandom(number + (isLossy ? 1_000_000 : 0));
        const world = new RunWorld(random, isLossy);
        await world.run(integer(random, 5, STEPS));
        await world.end();
        for (const key of Object.keys(totals) as (keyof typeof totals)[]) totals[key] += world.figures[key];
        return world.faults.length === 0
          ? []
          : [`SEED=${seed}, world ${number}: ${world.faults.join('; ')}\n${world.story.join('\n')}`];
      };
      const numbers = Array.from({ length: WORLDS }, (_, i) => i);
      const faults = (await Promise.all(numbers.map(tryOne))).flat();
      note(`Runs in any order: ${WORLDS} worlds with ${name}, ${JSON.stringify(totals)}`);
      expect(faults.slice(0, 3).join('\n\n')).toBe('');
    });
  }
});
