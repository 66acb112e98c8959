import { afterEach, describe, expect, it, jest } from '@jest/globals';

import { ClosedTopics } from '../../src/backplane/closed-topics.js';
import { event, StandingClock } from '../support/test-hub.js';

afterEach(() => {
  jest.restoreAllMocks();
});

describe('the closed topics of a log', () => {
  it('are those that were not opened again, the last one that was closed at the end', () => {
    const topics = new ClosedTopics();
    for (const topic of ['a', 'b', 'c']) topics.note({ kind: 'close', topic });
    topics.note({ kind: 'open', topic: 'b' });
    topics.note({ kind: 'close', topic: 'a' });
    topics.note(event('1', { topic: 'd' }));
    expect(topics.list()).toEqual(['c', 'a']);
  });

  it('are remembered for a day', () => {
    const clock = new StandingClock();
    const topics = new ClosedTopics();
    topics.note({ kind: 'close', topic: 'a' });
    clock.advance(20 * 3_600_000);
    topics.note({ kind: 'close', topic: 'b' });
    expect(topics.list()).toEqual(['a', 'b']);
    clock.advance(5 * 3_600_000);
    expect(topics.list()).toEqual(['b']);
  });

  it('are the last 100,000, however many were closed', () => {
    const topics = new ClosedTopics();
    for (let n = 1; n <= 250_500; n++) topics.note({ kind: 'close', topic: `job:${n}` });
    const list = topics.list();
    expect(list).toHaveLength(100_000);
    expect([list[0], list.at(-1)]).toEqual(['job:150501', 'job:250500']);
  });
});
