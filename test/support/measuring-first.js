// The order in which Jest runs test files: first those that measure, while its workers are fresh. A worker that has run
// dozens of files keeps more of them than a server would have, and is slower by that.
import { createRequire } from 'node:module';

// Comes with Jest.
const { default: Sequencer } = createRequire(createRequire(import.meta.url).resolve('jest'))('@jest/test-sequencer');

const MEASURING = /\b(resume-load|connections\.slow|shutdown\.load)\.spec\.ts$/;

export default class MeasuringFirst extends Sequencer {
  sort(tests) {
    const sorted = super.sort(tests);
    return [
      ...sorted.filter(({ path }) => MEASURING.test(path)),
      ...sorted.filter(({ path }) => !MEASURING.test(path)),
    ];
  }
}
