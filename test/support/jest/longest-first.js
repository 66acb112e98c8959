// The order in which Jest runs test files: first those that take longest, so that no worker has nothing left to do while
// another is still at one of them. Jest itself knows how long they take only from runs before.
import { createRequire } from 'node:module';

// Comes with Jest.
const { default: Sequencer } = createRequire(createRequire(import.meta.url).resolve('jest'))('@jest/test-sequencer');

// Of the quick run, `.slow` are those that it leaves out.
const LONGEST =
  /(\.slow|\b(package|browsers|nothing-lost|slow-readers|sample-nodes|sample-app|sample-survival|survive|layout|sharing))\.spec\.ts$/;

export default class LongestFirst extends Sequencer {
  sort(tests) {
    const sorted = super.sort(tests);
    return [...sorted.filter(({ path }) => LONGEST.test(path)), ...sorted.filter(({ path }) => !LONGEST.test(path))];
  }
}
