import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';

import type { Block } from '../../src/protocol/encode.js';
import type { Frame } from '../../src/protocol/frame.js';
import { FakeTransport } from '../support/fake-transport.js';
import { type Connection, event, StandingClock, TestHub, turn } from '../support/test-hub.js';

let clock: StandingClock;

beforeEach(() => {
  clock = new StandingClock();
});

afterEach(() => {
  jest.restoreAllMocks();
});

/** A transport that calls `act` while it writes the block with this data. */
function actingOn(data: string, act: () => void, atOnce = false): FakeTransport {
  return new FakeTransport({ atOnce, onBlock: (block: Block) => void (block.data === data && act()) });
}

function idsOf({ transport }: Connection): (string | undefined)[] {
  return transport.inFlight.map(({ id }) => id);
}

describe('clients that get the same bytes', () => {
  it('share one batch, whenever they came and whatever else was published', async () => {
    const test = new TestHub();
    const batches: unknown[] = [];
    const transports = [new FakeTransport(), new FakeTransport(), new FakeTransport()];
    for (const transport of transports) {
      const write = transport.write.bind(transport);
      transport.write = (batch) => (batches.push(batch), write(batch));
      test.connect({ topics: ['a'], transport });
      test.publish('b', 'to nobody');
      await turn();
    }
    batches.length = 0;
    test.publish('a', '1', '2');
    await turn();
    expect(batches).toHaveLength(3);
    expect(new Set(batches).size).toBe(1);
    for (const { lines } of transports) expect(lines).toEqual(['open none', '1', '2']);
  });

  it('share the bytes of an event with an id of its own, whose cursor has one form for each kind of reader', async () => {
    const test = new TestHub();
    const named = [await test.open({ topics: ['a'] }), await test.open({ topics: ['a'] })];
    const bare = [true, false].map((atOnce) => new FakeTransport({ atOnce }));
    for (const transport of bare) test.connect({ topics: ['a'], controlEvents: false, transport });
    await turn();
    const frames = new Map<FakeTransport, readonly Frame[]>();
    for (const transport of [...named.map((connection) => connection.transport), ...bare]) {
      transport.read();
      const write = transport.write.bind(transport);
      transport.write = (batch) => (frames.set(transport, batch.frames), write(batch));
    }
    void test.hub.publisher.append(event('1', { topic: 'a', id: 'own' }), 'queue');
    await turn();
    const [cursor] = test.log.cursors;
    for (const { transport } of named) {
      expect(transport.text).toBe(`id: own\ndata: 1\n\nevent: sse.cursor\nid: ${cursor}\ndata: {}\n\n`);
    }
    for (const transport of bare) expect(transport.text).toBe(`id: own\ndata: 1\n\nid: ${cursor}\n\n`);
    const made = [...frames.values()].flat();
    // The event once, and its cursor twice, whoever gets them.
    expect(made).toHaveLength(8);
    expect(new Set(made).size).toBe(3);
  });

  it('get several topics of a turn in the order of the log', async () => {
    const test = new TestHub();
    const both = test.connect({ topics: ['a', 'b'] });
    const one = test.connect({ topics: ['b'] });
    await turn();
    test.publish('b', '1');
    test.publish('a', '2');
    test.publish(undefined, '3');
    test.publish('b', '4');
    await turn();
    expect(both.transport.lines).toEqual(['open none', '1', '2', '3', '4']);
    expect(one.transport.lines).toEqual(['open none', '1', '3', '4']);
  });

  it('a stream that is opened while an event is handed to others does not get it twice', async () => {
    const test = new TestHub();
    let newcomer: Connection | undefined;
    const open = (): void => {
      newcomer = test.connect({ topics: ['a'], transport: new FakeTransport({ atOnce: true }) });
    };
    test.connect({ topics: ['a'], transport: actingOn('1', open, true) });
    test.publish('a', '1', '2');
    await turn();
    expect(newcomer!.transport.lines).toEqual(['open none', '2']);
  });

  it('one that is sent something while the turn is written to others gets all of it once, with cursors that grow', async () => {
    const test = new TestHub();
    const send = (): void => other.client.sendEvent(event('alone'));
    test.connect({ topics: ['a'], transport: actingOn('1', send) });
    const other = test.connect({ topics: ['a'] });
    await turn();
    test.publish('a', '1');
    await turn(2);
    expect(other.transport.lines.toSorted()).toEqual(['1', 'alone', 'open none']);
    const ids = idsOf(other);
    expect(ids).toEqual(ids.toSorted((a = '', b = '') => (a < b ? -1 : 1)));
    test.publish('a', '2');
    await turn();
    expect(other.transport.lines.at(-1)).toBe('2');
  });

  it('one that was written to and is sent something in the same turn gets nothing twice', async () => {
    const test = new TestHub();
    const early = test.connect({ topics: ['a'] });
    test.connect({ topics: ['a'], transport: actingOn('1', () => early.client.sendEvent(event('alone'))) });
    await turn();
    test.publish('a', '1');
    await turn(2);
    expect(early.transport.lines).toEqual(['open none', '1', 'alone']);
  });

  it('one that was written to and is removed in the same turn gets nothing twice', async () => {
    const test = new TestHub();
    const early = test.connect({ topics: ['a'] });
    test.connect({ topics: ['a'], transport: actingOn('1', () => test.remove(early.client.id, true)) });
    await turn();
    test.publish('a', '1');
    await turn(2);
    expect(early.transport.lines).toEqual(['open none', '1']);
  });

  it('get what is sent to one of them before what is published after it', async () => {
    const test = new TestHub();
    const { client, transport } = test.connect({ topics: ['a'] });
    await turn();
    client.sendEvent(event('alone'));
    test.publish('a', '1');
    await turn(2);
    expect(transport.lines).toEqual(['open none', 'alone', '1']);
  });

  it('leave when their time is up, also between two looks at the clock', async () => {
    const test = new TestHub();
    const brief = test.connect({ topics: ['a'], expiresAt: Date.now() + 1_000 });
    const lasting = test.connect({ topics: ['a'] });
    await turn();
    test.publish('a', '1');
    await turn();
    clock.advance(1_001);
    test.publish('a', '2');
    await turn();
    expect(brief.transport.lines).toEqual(['open none', '1', 'expired']);
    // Before what it did not get: with new rights it goes on there.
    expect(idsOf(brief).at(-1)).toBe(test.log.cursors[0]);
    expect(brief.client.connected).toBe(false);
    expect(lasting.transport.lines).toEqual(['open none', '1', '2']);
  });

  it('one that is full is left to catch up, and then is one of them again', async () => {
    const test = new TestHub();
    const slow = test.connect({ topics: ['a'], transport: new FakeTransport({ capacity: 2 }) });
    const quick = test.connect({ topics: ['a'] });
    await turn();
    for (const data of ['1', '2', '3']) {
      test.publish('a', data);
      await turn();
    }
    expect(slow.transport.read()).toEqual(['open none', '1']);
    await turn(2);
    expect(slow.transport.read()).toEqual(['2', '3']);
    await turn(2);
    test.publish('a', '4');
    await turn();
    expect(slow.transport.lines).toEqual(['4']);
    expect(quick.transport.lines).toEqual(['open none', '1', '2', '3', '4']);
    expect(slow.client.view.lastEventId).toBe(quick.client.view.lastEventId);
  });

  it('one that is full has slowTimeout, although nothing follows, and is not looked at before', async () => {
    const test = new TestHub({ slowTimeout: 1_000 });
    const transport = new FakeTransport({ capacity: 2 });
    const { client } = await test.open({ topics: ['a'], heartbeatInterval: 100, transport });
    test.publish('a', '1');
    await turn();
    const full = performance.now();
    clock.advance(500);
    expect(client.timer.tick(performance.now())).toBe(full + 1_000);
    clock.advance(500);
    client.timer.tick(performance.now());
    expect(client.connected).toBe(false);
  });

  it('one that is full and then reads gets its heartbeats as before', async () => {
    const test = new TestHub({ slowTimeout: 60_000 });
    const transport = new FakeTransport({ capacity: 2 });
    const { client } = await test.open({ topics: ['a'], heartbeatInterval: 1_000, transport });
    test.publish('a', '1');
    await turn();
    const schedule = jest.spyOn(test.hub.timers, 'schedule');
    expect(transport.read()).toEqual(['open none', '1']);
    await turn(2);
    const [who, at] = schedule.mock.lastCall!;
    expect(who).toBe(client.timer);
    expect(at - performance.now()).toBeLessThanOrEqual(1_250);
    test.publish('a', '2');
    await turn();
    expect(transport.lines).toEqual(['2']);
  });

  it('get no heartbeat while events flow', async () => {
    const test = new TestHub();
    const { client, transport } = test.connect({ topics: ['a'], heartbeatInterval: 1_000 });
    await turn();
    clock.advance(900);
    test.publish('a', '1');
    await turn();
    clock.advance(900);
    client.timer.tick(performance.now());
    expect(transport.lines).toEqual(['open none', '1']);
    clock.advance(200);
    client.timer.tick(performance.now());
    expect(transport.inFlight).toHaveLength(3);
  });
});
