import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { MemoryBackplane, SSEService } from 'nestjs-sse-hub';
import { TestNode } from 'nestjs-sse-hub/testing';

import { FakeTransport } from '../support/fake-transport.js';
import { event, StandingClock, TestHub, TestLog, turn } from '../support/test-hub.js';

let clock: StandingClock;

beforeEach(() => {
  clock = new StandingClock();
});

afterEach(() => {
  jest.restoreAllMocks();
});

const LARGE = ' '.repeat(12_000);

/** A node that has read one entry, and reads nothing more for now. */
async function lateNode(): Promise<{ late: TestHub; view: TestNode }> {
  const log = new TestLog();
  const view = new TestNode(log);
  const late = new TestHub({}, log, view);
  late.publish('room', 'read in time');
  await turn();
  view.hold();
  return { late, view };
}

describe('what is lost, found by the model of test/faults/model/any-order.spec.ts', () => {
  it('a slow client of a pattern that began anew is told of what is evicted before a newer loss', async () => {
    const test = new TestHub({ maxHistoryBytes: 65_536, history: [{ topics: 'busy', maxSize: 1 }] });
    test.publish('quiet', LARGE);
    test.publish('busy', '1', '2', '3');
    await turn();
    const transport = new FakeTransport({ capacity: 2 });
    const { transport: slow } = test.connect({ patterns: ['**'], lastEventId: '1~other~1-1', transport });
    await turn();
    test.publish('large', LARGE, LARGE);
    await turn();
    expect(slow.read()).toEqual(['open reset', 'reset epoch **']);
    await turn(2);
    expect(slow.lines[0]).toBe('reset slow **');
  });

  it('a client that accepts a little now and then, and never gets there, keeps nothing for others', async () => {
    const test = new TestHub({ maxHistorySize: 10, slowTimeout: 30_000, highWaterMark: 100 });
    const { transport } = await test.open({ topics: ['a'], transport: new FakeTransport({ capacity: 2 }) });
    const kept: number[] = [];
    for (let second = 0; second < 60; second++) {
      for (let i = 0; i < 10; i++) test.publish('a', `${second}`);
      await turn();
      transport.read();
      await turn();
      clock.advance(1_000);
      kept.push(test.hub.log.events);
    }
    expect(Math.max(...kept.slice(0, 30))).toBeGreaterThan(100);
    expect(kept.at(-1)).toBe(10);
    while (transport.inFlight.length > 0) {
      transport.read();
      await turn();
    }
    expect(test.hub.reporter.counters.resets).toMatchObject({ slow: expect.any(Number) as unknown });
  });

  it('a client that has had everything now and then keeps up, though it is never seen waiting', async () => {
    const test = new TestHub({ slowTimeout: 30_000 });
    const { client, transport } = await test.open({ topics: ['a'], transport: new FakeTransport({ capacity: 1 }) });
    for (let half = 0; half < 100; half++) {
      test.publish('a', `${half}`);
      transport.read();
      await turn();
      expect(client.keepsUp).toBe(true);
      clock.advance(500);
    }
  });

  it('a filter that publishes hides no loss from the client that it filters for', async () => {
    const test = new TestHub();
    const publishMore = jest.fn(() => {
      test.log.lose();
      test.publish('a', 'more');
    });
    const filter = ({ data }: { data: unknown }): boolean => {
      if (data === 'go') publishMore();
      return true;
    };
    const { transport } = test.connect({ topics: ['a'], filter });
    await turn();
    test.publish('a', 'go');
    await turn(2);
    expect(transport.lines).toEqual(['open none', 'go', 'reset slow a', 'more']);
    expect(publishMore).toHaveBeenCalledTimes(1);
  });

  it('notBefore excuses no loss that is newer', async () => {
    const test = new TestHub();
    const { client, transport } = test.connect({ notBefore: Date.now() - 1_000 });
    await turn();
    test.log.lose();
    test.publish('other', '1');
    await turn();
    test.hub.clients.subscribe(client.id, 'a', undefined);
    await turn();
    expect(transport.lines).toEqual(['open none', 'reset trimmed a']);
  });

  it('what is sent to a client before it is open comes after what it has lost', async () => {
    const test = new TestHub();
    const { client, transport } = test.connect({ topics: ['a'], lastEventId: 'foreign', onGap: 'latest' });
    client.sendEvent(event('private'));
    test.publish('a', '1');
    await turn();
    expect(transport.lines).toEqual(['open reset', 'reset foreign a', 'private']);
  });
});

describe('what must arrive, or must not', () => {
  it('a client that comes back and follows nothing gets what is sent to it', async () => {
    const test = new TestHub();
    test.publish('a', '1', '2', '3');
    await turn();
    const { client, transport } = test.connect({ lastEventId: test.log.cursors[0]! });
    client.sendEvent(event('at once'));
    await turn();
    client.sendEvent(event('later'));
    await turn();
    expect(transport.lines).toEqual(['open full', 'at once', 'later']);
    test.hub.clients.subscribe(client.id, 'a', undefined);
    await turn();
    expect(transport.lines.slice(3)).toEqual(['2', '3']);
  });

  it('a client that gives up its topics before it is open gets what is sent to it', async () => {
    const test = new TestHub();
    test.publish('a', '1');
    const { client, transport } = test.connect({ topics: ['a'], lastEventId: test.log.cursors[0]! });
    test.publish('a', '2');
    client.sendEvent(event('for you'));
    test.hub.clients.unsubscribe(client.id, 'a');
    await turn();
    expect(transport.lines).toEqual(['open full', 'for you']);
  });

  it('a node that reads late sends nothing that is older than notBefore', async () => {
    const { late, view } = await lateNode();
    clock.advance(1_000);
    late.publish('room', 'before the member joined');
    clock.advance(1_000);
    const { transport } = late.connect({ topics: ['room'], notBefore: Date.now() });
    await turn();
    view.release();
    clock.advance(1);
    late.publish('room', 'after');
    late.publish('room', 'and on');
    await turn();
    expect(transport.lines).toEqual(['open none', 'after', 'and on']);
  });

  it('a node that reads late, a part at a time, sends nothing that is older than notBefore either', async () => {
    const { late, view } = await lateNode();
    for (const text of ['long before', 'before the member joined']) {
      clock.advance(1_000);
      late.publish('room', text);
    }
    clock.advance(1_000);
    view.readSome(1);
    const { transport } = late.connect({ topics: ['room'], notBefore: Date.now() });
    await turn();
    view.release();
    clock.advance(1);
    late.publish('room', 'after');
    await turn();
    expect(transport.lines).toEqual(['open none', 'after']);
  });

  it('a clock that is ahead of the log hides nothing that is published from now on', async () => {
    const test = new TestHub();
    test.publish('room', 'earlier');
    await turn();
    const { transport } = test.connect({ topics: ['room'], notBefore: Date.now() + 3_600_000 });
    await turn();
    test.publish('room', 'new');
    await turn();
    expect(transport.lines).toEqual(['open none', 'new']);
  });

  it('two hubs on one log in memory deliver in one order what an observer publishes', async () => {
    const log = new MemoryBackplane();
    const first = await new SSEService({ backplane: log }).start();
    const second = await new SSEService({ backplane: log }).start();
    const seen: unknown[] = [];
    first.observe('a').subscribe(({ data }) => first.broadcast('b', 'n', data));
    second.observe(['a', 'b']).subscribe(({ topic }) => seen.push(topic));
    first.broadcast('a', 'n', 1);
    expect(seen).toEqual(['a', 'b']);
    expect(second.stats()).toMatchObject({ dropped: 0, published: 2 });
    await Promise.all([first.shutdown(), second.shutdown()]);
  });
});
