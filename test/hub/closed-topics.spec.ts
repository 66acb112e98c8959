import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { TestNode } from 'nestjs-sse-hub/testing';

import { FakeTransport } from '../support/fake-transport.js';
import { StandingClock, TestHub, TestLog, turn } from '../support/test-hub.js';

let clock: StandingClock;

beforeEach(() => {
  clock = new StandingClock();
});

afterEach(() => {
  jest.restoreAllMocks();
});

describe('a client that follows a topic which is finished already, and others', () => {
  it('is told so when it connects', async () => {
    const test = new TestHub();
    test.close('a');
    await turn();
    const { transport } = await test.open({ topics: ['a', 'b'] });
    expect(transport.lines).toEqual(['open none', 'closed a']);
  });

  it('is told so when it follows it later', async () => {
    const test = new TestHub();
    test.close('a');
    const { client, transport } = await test.open({ topics: ['b'] });
    test.hub.clients.subscribe(client.id, 'a', undefined);
    test.publish('b', '1');
    await turn();
    expect(transport.lines).toEqual(['open none', 'closed a', '1']);
  });

  it('is told so when it first follows something after its stream was open', async () => {
    const test = new TestHub();
    test.close('a');
    const { client, transport } = await test.open();
    for (const topic of ['a', 'b']) test.hub.clients.subscribe(client.id, topic, undefined);
    await turn();
    expect(transport.lines).toEqual(['open none', 'closed a']);
  });

  it('is told so when the log has let go of the end that it would have read', async () => {
    const test = new TestHub({ history: [{ topics: 'a', maxAge: 0 }] });
    test.publish('b', '1');
    test.publish('a', '2');
    test.close('a');
    clock.advance(10);
    test.publish('b', '3');
    await turn(2);
    const { transport } = await test.open({ topics: ['a', 'b'], since: 1 });
    expect(transport.lines).toEqual(['open none', 'closed a', '1', '3']);
  });

  it('gets the end instead when all it follows is finished', async () => {
    const test = new TestHub();
    test.close('a');
    test.close('b');
    const { transport } = await test.open({ topics: ['a', 'b'] });
    expect(transport.lines).toEqual(['open none', 'end']);
  });
});

describe('a topic that is finished', () => {
  /** What the log has let go of is forgotten in its time. */
  const keepHouse = ({ hub }: TestHub): void => hub.closedTopics.prune(hub.turn.oldestPlace);

  async function age(...hubs: TestHub[]): Promise<void> {
    clock.advance(10_000);
    // What time does to a log shows when something is published.
    hubs[0]!.publish('another', 'x');
    await turn(2);
    for (const test of hubs) keepHouse(test);
  }

  it('is known to be so as long as the log retains its end, however few events it keeps', async () => {
    const test = new TestHub({ maxHistorySize: 0, maxHistoryAge: 20_000 });
    test.publish('a', '1');
    test.close('a');
    await age(test);
    expect(test.hub.publisher.isClosed('a')).toBe(true);
    expect((await test.open({ topics: ['a'] })).transport.lines).toEqual(['open none', 'end']);
    await age(test);
    await age(test);
    expect(test.hub.publisher.isClosed('a')).toBe(false);
    expect(test.hub.closedTopics.size).toBe(0);
    expect((await test.open({ topics: ['a'] })).transport.lines).toEqual(['open none']);
  });

  it('keeps all the events that a topic may have', async () => {
    const test = new TestHub({ maxHistorySize: 3 });
    test.publish('a', '1', '2', '3');
    test.close('a');
    await turn(2);
    expect((await test.open({ topics: ['a'], since: 1 })).transport.lines).toEqual(['open none', '1', '2', '3', 'end']);
  });

  it('is read to its end by who asked for what is new since some time, although it starts over meanwhile', async () => {
    const test = new TestHub({ highWaterMark: 1 });
    test.publish('a', '1', '2', '3', '4');
    test.close('a');
    await turn(2);
    const transport = new FakeTransport({ capacity: 2 });
    await test.open({ topics: ['a'], since: 1, transport });
    void test.hub.publisher.append({ kind: 'open', topic: 'a' }, 'queue');
    test.publish('a', '5');
    const lines: string[] = [];
    for (let i = 0; i < 10; i++) {
      lines.push(...transport.read());
      await turn(2);
    }
    expect(lines.filter((line) => !line.startsWith('closed'))).toEqual(['open none', '1', '2', '3', '4', '5']);
    expect((await test.open({ topics: ['a'], since: 1 })).transport.lines).toEqual(['open none', '5']);
  });

  it('is known to be so until those who are behind have been told', async () => {
    const test = new TestHub({ maxHistoryAge: 5_000 });
    const { transport } = await test.open({ topics: ['a'], transport: new FakeTransport({ capacity: 1 }) });
    test.publish('a', '1', '2');
    test.close('a');
    // It reads too little to be waited for.
    for (let i = 0; i < 5; i++) await age(test);
    expect(test.hub.log.historyOf('a')?.size ?? 0).toBe(0);
    expect(test.hub.publisher.isClosed('a')).toBe(true);
    const lines: string[] = [];
    while (!transport.ended) {
      lines.push(...transport.read());
      await turn(2);
    }
    lines.push(...transport.read());
    expect(lines).toEqual(['open none', 'reset slow a', 'end']);
    await age(test);
    expect(test.hub.publisher.isClosed('a')).toBe(false);
  });

  it('starts over on every node with what a node publishes that has forgotten it, whatever the others retain', async () => {
    const log = new TestLog();
    const [brief, long] = [new TestHub({ maxHistoryAge: 5_000 }, log), new TestHub({}, log)];
    const readers = [await brief.open({ topics: ['a', 'b'] }), await long.open({ topics: ['a', 'b'] })];
    long.publish('a', '1');
    long.close('a');
    await age(brief, long);
    expect([brief, long].map(({ hub }) => hub.publisher.isClosed('a'))).toEqual([false, true]);
    brief.publish('a', '2');
    await turn(2);
    for (const { transport } of readers) expect(transport.lines).toEqual(['open none', '1', 'closed a', '2']);
    expect(long.hub.publisher.isClosed('a')).toBe(false);
    long.publish('a', '3');
    const late = await long.open({ topics: ['a'], since: 1 });
    expect(late.transport.lines).toEqual(['open none', '2', '3']);
  });

  it('stays so for what a node publishes that has not read it yet, whatever else that has forgotten', async () => {
    const log = new TestLog();
    const view = new TestNode(log);
    const [late, prompt] = [new TestHub({ maxHistoryAge: 5_000 }, log, view), new TestHub({}, log)];
    late.publish('a', '1');
    late.publish('b', '2');
    await age(late, prompt);
    view.hold();
    prompt.close('a');
    late.publish('a', 'too late');
    view.release();
    await turn(2);
    for (const { hub } of [late, prompt]) {
      expect(hub.publisher.isClosed('a')).toBe(true);
      expect(hub.stats().dropped).toBe(1);
    }
  });
});
