import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { take } from 'rxjs';

import type { TopicsAndPatterns } from '../../src/hub/topics/following.js';
import { topicPattern } from '../../src/hub/topics/topic-pattern.js';
import { event, StandingClock, TestHub } from '../support/test-hub.js';
import { WindowLog } from '../support/window-log.js';

let clock: StandingClock;

beforeEach(() => {
  clock = new StandingClock();
});

afterEach(() => {
  jest.restoreAllMocks();
});

const T: TopicsAndPatterns = { topics: ['t'], patterns: [] };
const ALL: TopicsAndPatterns = { topics: [], patterns: [topicPattern('**')] };

function observing(test: TestHub, names: TopicsAndPatterns, since?: number) {
  const seen: unknown[] = [];
  let completed = false;
  const subscription = test.hub
    .observe(() => names, since)
    .subscribe({
      next: ({ data }) => seen.push(data),
      complete: () => (completed = true),
    });
  return { seen, subscription, completed: () => completed };
}

describe('an observer that begins in the past', () => {
  it('gets what is retained and newer, of its topics, then what comes, each once and in order', () => {
    const test = new TestHub();
    test.publish('t', 'too old');
    clock.advance(10);
    const since = Date.now();
    clock.advance(10);
    test.publish('t', '1');
    test.publish('other', 'not for it');
    test.publish('t', '2');
    const topic = observing(test, T, since);
    const pattern = observing(test, ALL, since);
    const all = observing(test, T, 0);
    test.publish('t', '3');
    expect(topic.seen).toEqual(['1', '2', '3']);
    expect(pattern.seen).toEqual(['1', 'not for it', '2', '3']);
    expect(all.seen).toEqual(['too old', '1', '2', '3']);
  });

  it('gets what is published while it reads, after what is before it, as every other does', () => {
    const test = new TestHub();
    for (const data of ['1', '2']) test.publish('t', data);
    const live = observing(test, T);
    const seen: unknown[] = [];
    test.hub
      .observe(() => T, 0)
      .subscribe(({ data }) => {
        seen.push(data);
        if (data === '1' || data === '3') test.publish('t', data === '1' ? '3' : '4');
      });
    expect(seen).toEqual(['1', '2', '3', '4']);
    expect(live.seen).toEqual(['3', '4']);
  });

  it('may begin within the delivery of an event, which it gets once', () => {
    for (const names of [T, ALL]) {
      const test = new TestHub();
      let inner: ReturnType<typeof observing> | undefined;
      test.hub.observe(() => names).subscribe(() => (inner ??= observing(test, names, 0)));
      test.publish('t', '1');
      test.publish('t', '2');
      expect(inner?.seen).toEqual(['1', '2']);
    }
  });

  it('has had enough in the midst of it', () => {
    const test = new TestHub();
    for (const data of ['1', '2', '3']) test.publish('t', data);
    const seen: unknown[] = [];
    test.hub
      .observe(() => T, 0)
      .pipe(take(2))
      .subscribe(({ data }) => seen.push(data));
    const left = observing(test, T, 0);
    left.subscription.unsubscribe();
    test.publish('t', '4');
    expect(seen).toEqual(['1', '2']);
    expect(left.seen).toEqual(['1', '2', '3']);
    expect(test.hub.delivery.catchingUp.size).toBe(0);
  });

  it('disturbs nobody when it throws, and gets the rest', () => {
    const test = new TestHub();
    for (const data of ['1', '2']) test.publish('t', data);
    const seen: unknown[] = [];
    test.hub
      .observe(() => T, 0)
      .subscribe(({ data }) => {
        seen.push(data);
        throw new Error('no');
      });
    test.publish('t', '3');
    expect(seen).toEqual(['1', '2', '3']);
    expect(test.warnings).toHaveLength(3);
  });

  it('begins when the window is known, and with another life of the log gets only what it has not seen', () => {
    const log = new WindowLog();
    const test = new TestHub({}, log);
    const now = Date.now();
    const { seen } = observing(test, T, now - 500);
    log.begin('e1');
    log.bring('e1', now - 1_000, event('old', { topic: 't' }));
    log.bring('e1', now - 400, event('retained', { topic: 't' }));
    expect(seen).toEqual([]);
    log.reader!.ready();
    log.bring('e1', now + 1, event('1', { topic: 't' }));
    expect(seen).toEqual(['retained', '1']);
    log.begin('e2');
    log.bring('e2', now - 400, event('retained', { topic: 't' }));
    log.bring('e2', now + 1, event('1', { topic: 't' }));
    log.bring('e2', now + 2, event('2', { topic: 't' }));
    log.reader!.ready();
    log.bring('e2', now + 3, event('3', { topic: 't' }));
    expect(seen).toEqual(['retained', '1', '2', '3']);
  });

  it('ends with the hub, also one that comes later', async () => {
    const test = new TestHub();
    test.publish('t', '1');
    const before = observing(test, T, 0);
    await test.hub.shutdown();
    const after = observing(test, T, 0);
    expect([before.completed(), after.completed()]).toEqual([true, true]);
    expect(before.seen).toEqual(['1']);
  });
});

describe('the cursor of now', () => {
  it('is behind what was published, and before what is published next', async () => {
    const test = new TestHub();
    test.publish('t', '1');
    const cursor = test.hub.cursor();
    test.publish('t', '2');
    const { transport } = await test.open({ topics: ['t'], lastEventId: cursor });
    expect(transport.lines).toEqual(['open full', '2']);
  });

  it('claims nothing as long as the log is not known', async () => {
    const log = new WindowLog();
    const test = new TestHub({}, log);
    const cursor = test.hub.cursor();
    log.begin('e1');
    log.bring('e1', Date.now(), event('1', { topic: 't' }));
    expect(test.hub.cursor()).toBe(cursor);
    log.reader!.ready();
    const { transport } = await test.open({ topics: ['t'], lastEventId: cursor });
    expect(transport.lines).toEqual(['open reset', 'reset foreign t', '1']);
  });
});
