import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { MemoryBackplane } from 'nestjs-sse-hub';
import { TestNode } from 'nestjs-sse-hub/testing';

import type { SSEConfig } from '../../src/sse.config.js';
import { FakeTransport } from '../support/fake-transport.js';
import { StandingClock, TestHub, TestLog, turn } from '../support/test-hub.js';

let clock: StandingClock;

beforeEach(() => {
  clock = new StandingClock();
});

afterEach(() => {
  jest.restoreAllMocks();
});

/** A node that reads what it is told to, and its figures. */
function nodeOf(log: MemoryBackplane | TestLog, config: SSEConfig = {}) {
  const backplane = new TestNode(log);
  const test = new TestHub(config, new TestLog(), backplane);
  const delays: number[] = [];
  const subscription = test.hub.deliveryDelays().subscribe((delay) => delays.push(delay));
  return { test, backplane, delays, subscription };
}

/** What is published, and read as late as that. */
async function publishAndReadAfter(ms: number, { test, backplane }: ReturnType<typeof nodeOf>, topic = 'a') {
  backplane.hold();
  test.publish(topic, 'data');
  clock.advance(ms);
  backplane.release();
  await turn();
}

describe('the delay of delivery', () => {
  for (const atOnce of [false, true]) {
    it(`is that of the oldest event of a turn, once, however many clients there are (atOnce: ${atOnce})`, async () => {
      const node = nodeOf(new MemoryBackplane());
      const { test, backplane, delays } = node;
      for (const topics of [['a'], ['a'], ['a', 'b']])
        await test.open({ topics, transport: new FakeTransport({ atOnce }) });
      // One with a filter reads for itself.
      await test.open({ topics: ['a'], filter: () => true, transport: new FakeTransport({ atOnce }) });
      expect(delays).toEqual([]);
      test.publish('a', 'at once');
      await turn();
      await publishAndReadAfter(250, node);
      backplane.hold();
      test.publish('a', 'older');
      clock.advance(30);
      test.publish('b', 'newer');
      clock.advance(10);
      backplane.release();
      await turn();
      expect(delays).toEqual([0, 250, 40]);
      expect(test.warnings).toEqual([]);
    });
  }

  it('is told only of what somebody gets', async () => {
    const node = nodeOf(new MemoryBackplane());
    await node.test.open({ topics: ['a'] });
    await publishAndReadAfter(10, node, 'nobody follows it');
    expect(node.delays).toEqual([]);
  });

  it('has nothing of what was published before: what a client comes back to, and what a node reads when it starts', async () => {
    const log = new TestLog();
    const node = nodeOf(log);
    node.test.publish('a', 'old');
    await turn();
    clock.advance(60_000);
    await node.test.open({ topics: ['a'], since: 0 });
    await turn();
    // Those who were there get all of it again, out of another epoch.
    log.restore(1);
    log.ready();
    await turn(2);
    expect(node.delays).toEqual([]);
    await publishAndReadAfter(7, node);
    expect(node.delays).toEqual([7]);
  });

  it('counts from publishing also what waits for its interval', async () => {
    const { test, delays } = nodeOf(new MemoryBackplane(), { flushInterval: 50 });
    for (const atOnce of [false, true]) await test.open({ topics: ['a'], transport: new FakeTransport({ atOnce }) });
    test.publish('a', 'first after a pause');
    await turn();
    test.publish('a', 'waits');
    await turn();
    expect(delays).toEqual([0]);
    clock.advance(50);
    test.endWaits();
    await turn();
    expect(delays).toEqual([0, 50]);
  });

  it('is never negative, where the clock of the log is ahead of the machine', async () => {
    const ahead = 5_000;
    const log = new TestLog();
    const append = log.append.bind(log);
    log.append = (entry) => {
      const { now } = Date;
      Date.now = () => now() + ahead;
      const place = append(entry);
      Date.now = now;
      return place;
    };
    const node = nodeOf(log);
    await node.test.open({ topics: ['a'] });
    node.test.publish('a', 'soon');
    await turn();
    await publishAndReadAfter(20, node);
    expect(node.delays).toEqual([0, 20]);
  });

  it('is not measured for nobody, and ends with the hub', async () => {
    const { test, delays, subscription } = nodeOf(new MemoryBackplane());
    await test.open({ topics: ['a'] });
    subscription.unsubscribe();
    test.publish('a', 'data');
    await turn();
    expect(delays).toEqual([]);
    let completed = false;
    test.hub.deliveryDelays().subscribe({ complete: () => (completed = true) });
    jest.restoreAllMocks();
    await test.hub.shutdown();
    expect(completed).toBe(true);
  });
});
