import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';

import { topicPattern } from '../../src/hub/topics/topic-pattern.js';
import type { Batch } from '../../src/protocol/frame.js';
import type { SSEConfig } from '../../src/sse.config.js';
import { FakeTransport, type FakeTransportOptions } from '../support/fake-transport.js';
import { type ConnectOptions, event, TestHub, turn } from '../support/test-hub.js';

const INTERVAL = 50;
/** The smallest log holds three of them. */
const LARGE = 'x'.repeat(10_000);

beforeEach(() => {
  jest.useFakeTimers({ doNotFake: ['nextTick', 'queueMicrotask', 'setImmediate'] });
});

afterEach(() => {
  jest.useRealTimers();
});

/** Counts what is written to it. */
class CountingTransport extends FakeTransport {
  readonly batches: Batch[] = [];

  override write(batch: Batch): void {
    this.batches.push(batch);
    super.write(batch);
  }
}

/** Time passes, to the end of the last turn in it. */
async function pass(ms: number): Promise<void> {
  for (let i = 0; i < ms; i++) {
    jest.advanceTimersByTime(1);
    await turn();
  }
}

/** A client that has what it starts with, and a hub that has had a pause. */
async function open(test: TestHub, options: ConnectOptions = {}, transport: FakeTransportOptions = {}) {
  const counting = new CountingTransport(transport);
  const { client } = await test.open({ topics: ['a'], transport: counting, ...options });
  counting.read();
  counting.batches.length = 0;
  return { client, transport: counting };
}

function hubWith(config: SSEConfig = {}): TestHub {
  return new TestHub({ flushInterval: INTERVAL, ...config });
}

for (const atOnce of [false, true]) {
  const name = atOnce
    ? 'a client that is written to within the call'
    : 'a client that is written to at the end of a turn';

  describe(name, () => {
    it('gets the first event after a pause as if there was no interval, and what follows when that is over', async () => {
      const test = hubWith();
      const { transport } = await open(test, {}, { atOnce });
      for (let pause = 0; pause < 2; pause++) {
        test.publish('a', '1');
        if (!atOnce) await turn();
        expect(transport.read()).toEqual(['1']);
        test.publish('a', '2');
        await pass(INTERVAL - 10);
        test.publish('a', '3');
        await pass(9);
        expect(transport.lines).toEqual([]);
        await pass(2);
        expect(transport.read()).toEqual(['2', '3']);
        await pass(INTERVAL);
      }
    });

    it('gets a flood in order, in at most one write in each interval', async () => {
      const test = hubWith();
      const { transport } = await open(test, {}, { atOnce });
      const published = Array.from({ length: 200 }, (_, i) => `${i}`);
      for (const data of published) {
        test.publish('a', data);
        await pass(5);
      }
      await pass(INTERVAL + 1);
      expect(transport.lines).toEqual(published);
      expect(transport.batches.length).toBeGreaterThanOrEqual(18);
      expect(transport.batches.length).toBeLessThanOrEqual(1_000 / INTERVAL + 1);
    });

    it('gets what waits before an event of an urgent topic, and with it', async () => {
      const test = hubWith({ flush: [{ topics: topicPattern('urgent:*'), interval: 0 }] });
      const { transport } = await open(test, { topics: ['a', 'urgent:x'] }, { atOnce });
      test.publish('a', '1', '2');
      await turn();
      test.publish('urgent:x', '3');
      await turn();
      expect(transport.read()).toEqual(['1', '2', '3']);
      test.publish('a', '4');
      await pass(INTERVAL - 1);
      expect(transport.lines).toEqual([]);
      await pass(2);
      expect(transport.read()).toEqual(['4']);
    });

    it('waits no longer than the shortest interval of what waits', async () => {
      const test = hubWith({ flushInterval: 1_000, flush: [{ topics: 'b', interval: 100 }] });
      const { transport } = await open(test, { topics: ['a', 'b'] }, { atOnce });
      test.publish('a', '1');
      await turn();
      transport.read();
      test.publish('a', '2');
      await pass(10);
      test.publish('b', '3');
      await pass(89);
      expect(transport.lines).toEqual([]);
      await pass(2);
      expect(transport.read()).toEqual(['2', '3']);
      test.publish('b', '4');
      test.publish('a', '5');
      await pass(101);
      expect(transport.read()).toEqual(['4', '5']);
    });

    it('is not hurried by events of topics that it does not follow', async () => {
      const test = hubWith({ flush: [{ topics: 'urgent', interval: 0 }] });
      const { transport } = await open(test, {}, { atOnce });
      await open(test, { topics: ['a', 'urgent'] }, { atOnce });
      test.publish('a', '1');
      await turn();
      test.publish('a', '2');
      test.publish('urgent', '3');
      await turn();
      expect(transport.read()).toEqual(['1']);
      await pass(INTERVAL + 1);
      expect(transport.read()).toEqual(['2']);
    });

    it('gets at once what has waited, when its topic is closed', async () => {
      const test = hubWith();
      const { transport } = await open(test, { topics: ['a', 'b'] }, { atOnce });
      test.publish('a', '1');
      await turn();
      test.publish('a', '2');
      await turn();
      test.close('a');
      expect(transport.lines).toEqual(['1', '2', 'closed a']);
      test.close('b');
      expect(transport.lines).toEqual(['1', '2', 'closed a', 'end']);
    });

    it('gets at once what has waited, when it is removed', async () => {
      const test = hubWith();
      const { client, transport } = await open(test, {}, { atOnce });
      test.publish('a', '1');
      await turn();
      test.publish('a', '2');
      await turn();
      test.remove(client.id, false);
      expect(transport.lines).toEqual(['1', '2', 'end']);
    });

    it('gets at once what has waited, when its group is full', async () => {
      const test = hubWith({ maxClientsPerGroup: 1 });
      const { transport } = await open(test, { group: 'g' }, { atOnce });
      test.publish('a', '1');
      await turn();
      test.publish('a', '2');
      await turn();
      test.connect({ group: 'g', topics: ['a'] });
      expect(transport.lines).toEqual(['1', '2', 'end']);
    });

    it('gets what has waited before its time is up', async () => {
      const test = hubWith();
      const { client, transport } = await open(test, { expiresAt: Date.now() + 20 }, { atOnce });
      test.publish('a', '1');
      await turn();
      test.publish('a', '2');
      await pass(21);
      client.timer.tick(performance.now());
      expect(transport.lines).toEqual(['1', '2', 'expired']);
    });

    it('gets what has waited at the shutdown', async () => {
      const test = hubWith();
      const { transport } = await open(test, {}, { atOnce });
      test.publish('a', '1');
      await turn();
      test.publish('a', '2');
      await turn();
      await test.hub.shutdown();
      expect(transport.lines).toEqual(['1', '2', 'cursor']);
    });

    it('gets what is for it alone behind what was published before, and does not wait for it', async () => {
      const test = hubWith();
      const { client, transport } = await open(test, {}, { atOnce });
      test.publish('a', '1');
      await turn();
      test.publish('a', '2');
      await turn();
      client.sendEvent(event('alone'));
      test.publish('a', '3');
      await turn();
      expect(transport.read().slice(0, 3)).toEqual(['1', '2', 'alone']);
      test.publish('a', '4');
      await pass(INTERVAL + 1);
      expect(transport.lines.at(-1)).toBe('4');
    });

    it('has its heartbeats while it waits, with the cursor of what it has', async () => {
      const test = hubWith({ flushInterval: 60_000 });
      const { client, transport } = await open(test, { heartbeatInterval: 1_000 }, { atOnce });
      test.publish('a', '1');
      await turn();
      const [, cursorOfFirst] = [...test.log.cursors.keys(), test.log.cursors[0]];
      test.publish('a', '2');
      await turn();
      jest.setSystemTime(Date.now() + 2_000);
      jest.advanceTimersByTime(2_000);
      expect(transport.read()).toEqual(['1', 'comment']);
      expect(client.cursorAt(client.next)).toBe(cursorOfFirst);
      jest.advanceTimersByTime(60_000);
      await turn();
      expect(transport.lines.filter((line) => line !== 'comment')).toEqual(['2']);
    });

    it('that comes back is not kept waiting', async () => {
      const test = hubWith();
      await open(test, {}, { atOnce });
      test.publish('a', '1', '2');
      await turn();
      test.publish('a', '3');
      await turn();
      const { transport } = test.connect({
        topics: ['a'],
        lastEventId: test.log.cursors[0]!,
        transport: new FakeTransport({ atOnce }),
      });
      await turn();
      expect(transport.lines).toEqual(['open full', '2', '3']);
      test.publish('a', '4');
      await pass(INTERVAL + 1);
      expect(transport.lines).toEqual(['open full', '2', '3', '4']);
    });

    it('that was full reads at once what others have, and goes on with them', async () => {
      const test = hubWith();
      const slow = await open(test, {}, { atOnce, capacity: 1 });
      const quick = await open(test, {}, { atOnce });
      for (const data of ['1', '2']) {
        test.publish('a', data);
        await pass(INTERVAL + 1);
      }
      test.publish('a', '3');
      await turn();
      test.publish('a', '4');
      await turn();
      expect(slow.transport.read()).toEqual(['1']);
      await turn(2);
      expect(slow.transport.read()).toEqual(['2', '3', '4']);
      await pass(INTERVAL + 1);
      test.publish('a', '5');
      await pass(INTERVAL + 1);
      expect(slow.transport.lines).toEqual(['5']);
      expect(quick.transport.lines).toEqual(['1', '2', '3', '4', '5']);
    });

    it('that was full, and has what others have, waits with them', async () => {
      const test = hubWith();
      const full = await open(test, {}, { atOnce, capacity: 1 });
      const other = await open(test, {}, { atOnce });
      await turn();
      test.publish('a', '1');
      await turn();
      test.publish('other', 'to nobody');
      await turn();
      test.publish('a', '2');
      await turn();
      expect(full.transport.read()).toEqual(['1']);
      await turn(2);
      test.publish('a', '3');
      await turn();
      expect(full.transport.lines).toEqual([]);
      await pass(INTERVAL + 1);
      expect(full.transport.lines).toEqual(['2', '3']);
      if (!atOnce) expect(full.transport.batches.at(-1)).toBe(other.transport.batches.at(-1));
    });

    const others: Record<string, { act: (test: TestHub, id: string) => void; lines: string[] }> = {
      'what is for it alone': {
        act: (test, id) => test.hub.clients.get(id)!.sendEvent(event('alone')),
        lines: ['alone'],
      },
      'the end of a topic': { act: (test) => test.close('a'), lines: ['closed a'] },
      'the end of the last topic that it follows': {
        act: (test, id) => {
          test.close('a');
          test.hub.clients.unsubscribe(id, 'b');
        },
        lines: ['end'],
      },
      'what was lost': {
        act: (test) => (test.log.lose(), test.publish('other', 'to nobody')),
        lines: ['reset slow a,b'],
      },
    };
    for (const [name, { act, lines }] of Object.entries(others)) {
      it(`that was full does not wait with ${name}`, async () => {
        const test = hubWith();
        const { client, transport } = await open(test, { topics: ['a', 'b'] }, { atOnce, capacity: 1 });
        await turn();
        test.publish('a', '1');
        await turn(2);
        act(test, client.id);
        const read = transport.read();
        for (let i = 0; i < 5; i++) {
          await turn();
          read.push(...transport.read());
        }
        expect(read).toEqual(['1', ...lines]);
      });
    }

    it('that comes back is told all there is to say, however little its connection takes', async () => {
      const test = hubWith({ maxHistorySize: 1 });
      test.publish('a', '1', '2', '3');
      await turn(2);
      test.publish('b', '4');
      test.close('b');
      await turn();
      const [cursor = ''] = test.log.cursors;
      const received: Record<string, string[]> = {};
      for (const [topic, lastEventId] of [
        ['a', cursor],
        ['b', test.log.cursors.at(-1)!],
      ] as const) {
        const transport = new FakeTransport({ atOnce, capacity: 1 });
        test.connect({ topics: [topic], lastEventId, onGap: 'latest', transport });
        received[topic] = [];
        for (let i = 0; i < 5; i++) {
          await turn();
          received[topic].push(...transport.read());
        }
      }
      expect(received).toEqual({ a: ['open reset', 'reset trimmed a'], b: ['open full', 'end'] });
    });

    for (const maxHistorySize of [0, 1]) {
      it(`loses nothing for a history of ${maxHistorySize} events`, async () => {
        const test = hubWith({ maxHistorySize });
        const { transport } = await open(test, {}, { atOnce });
        test.publish('a', '1');
        await turn();
        for (const data of ['2', '3', '4']) {
          test.publish('a', data);
          await pass(5);
          test.hub.turn.prune();
        }
        await pass(INTERVAL);
        expect(transport.lines).toEqual(['1', '2', '3', '4']);
        expect(test.hub.log.events).toBe(maxHistorySize);
      });
    }

    it('gets what has waited before the log lets go of it, for want of bytes', async () => {
      const test = hubWith({ maxHistoryBytes: 65_536 });
      const { transport } = await open(test, {}, { atOnce });
      const published = Array.from({ length: 9 }, (_, i) => `${i}${LARGE}`);
      const [first, ...others] = published;
      test.publish('a', first!);
      while (others.length > 0) {
        await pass(1);
        test.publish('a', ...others.splice(0, 2));
      }
      await pass(INTERVAL + 1);
      expect(transport.lines).toEqual(published);
    });

    it('gets what has waited before it is told of a hole in the log', async () => {
      const test = hubWith();
      const { transport } = await open(test, {}, { atOnce });
      test.publish('a', '1');
      await turn();
      test.publish('a', '2');
      await turn();
      test.log.lose();
      test.publish('a', '4');
      await turn();
      expect(transport.lines).toEqual(['1', '2', 'reset slow a', '4']);
    });

    it('gets what has waited before another epoch begins', async () => {
      const test = hubWith();
      const { transport } = await open(test, {}, { atOnce });
      test.publish('a', '1');
      await turn();
      test.publish('a', '2');
      await turn();
      test.log.restore(0);
      test.log.ready();
      await turn();
      expect(transport.read()).toEqual(['1', '2', 'reset epoch a']);
      test.publish('a', '3');
      await pass(INTERVAL + 1);
      expect(transport.read()).toEqual(['3']);
    });

    it('gets each event once when it is given a part of them with another topic', async () => {
      const test = hubWith();
      const { client, transport } = await open(test, {}, { atOnce });
      test.publish('a', '1');
      await turn();
      test.publish('a', '2');
      await turn();
      test.hub.clients.subscribe(client.id, 'b', undefined);
      await turn();
      test.publish('a', '3');
      test.publish('b', '4');
      await pass(INTERVAL + 1);
      expect(transport.lines).toEqual(['1', '2', '3', '4']);
    });

    it('gets what waits with its filter', async () => {
      const test = hubWith();
      const filter = ({ data }: { readonly data: unknown }): boolean => data !== '3';
      const { transport } = await open(test, { filter }, { atOnce });
      test.publish('a', '1');
      await turn();
      test.publish('a', '2', '3', '4');
      await turn();
      expect(transport.lines).toEqual(['1']);
      await pass(INTERVAL + 1);
      expect(transport.lines).toEqual(['1', '2', '4']);
      expect(transport.batches).toHaveLength(2);
    });
  });
}

describe('clients that follow the same', () => {
  it('share the bytes of what has waited', async () => {
    const test = hubWith();
    const crowd = [await open(test), await open(test), await open(test)];
    test.publish('a', '1');
    await turn();
    // One of them has got a part of it, and is one of the others again behind it.
    test.publish('a', '2');
    await turn();
    crowd[0]!.client.sendEvent(event('alone'));
    await turn();
    const joinStep = jest.spyOn(crowd[0]!.client, 'joinStep');
    await turn(5);
    expect(joinStep).not.toHaveBeenCalled();
    test.publish('a', '3');
    await pass(INTERVAL + 1);
    test.publish('a', '4');
    await pass(INTERVAL + 1);
    expect(crowd[0]!.transport.lines).toEqual(['1', '2', 'alone', '3', '4']);
    for (const { transport } of crowd.slice(1)) expect(transport.lines).toEqual(['1', '2', '3', '4']);
    expect(crowd[1]!.transport.batches).toHaveLength(3);
    expect(crowd[1]!.transport.batches).toEqual(crowd[2]!.transport.batches);
    const last = crowd.map(({ transport }) => transport.batches.at(-1));
    expect(new Set(last).size).toBe(1);
  });

  it('need one timer, however many wait, and none when nobody does', async () => {
    const test = hubWith({ flushInterval: 1_000 });
    await open(test);
    test.publish('a', '1');
    await turn();
    const before = jest.getTimerCount();
    for (let i = 0; i < 50; i++) await open(test, { topics: ['a', `own-${i}`] });
    test.publish('a', '2');
    await turn();
    test.publish('a', '3');
    await turn();
    expect(jest.getTimerCount()).toBe(before + 1);
    await pass(1_001);
    expect(jest.getTimerCount()).toBe(before);
    expect(test.hub.turn.pace!.waits).toEqual([]);
  });

  it('leave nothing waiting behind when they leave', async () => {
    const test = hubWith();
    const { transport } = await open(test);
    test.publish('a', '1');
    await turn();
    test.publish('a', '2');
    await turn();
    transport.cut();
    await pass(INTERVAL + 1);
    expect([test.hub.turn.pace!.waits, test.hub.turn.oldestPlace, test.hub.topics.size]).toEqual([[], 2, 0]);
  });
});

describe('an application that acts while it is given what has waited', () => {
  const acts: Record<string, (test: TestHub, id: string) => void> = {
    publishes: (test) => test.publish('a', '4', '5'),
    'publishes what is urgent': (test) => test.publish('urgent', '4', '5'),
    'publishes what has time': (test) => test.publish('lazy', '4', '5'),
    'sends its own client something': (test, id) => test.hub.clients.get(id)!.sendEvent(event('4')),
    'closes the topic': (test) => {
      test.close('a');
      test.close('urgent');
      test.close('lazy');
    },
  };
  for (const [name, act] of Object.entries(acts)) {
    it(`gets all of it in order, and ${name}`, async () => {
      const flush = [
        { topics: 'urgent', interval: 0 },
        { topics: 'lazy', interval: 10 * INTERVAL },
      ];
      const test = hubWith({ flush });
      const onBlock = ({ data }: { data?: string | undefined }): void => void (data === '2' && act(test, 'acting'));
      const topics = ['a', 'urgent', 'lazy'];
      const before = await open(test, { topics }, { atOnce: true });
      const acting = await open(test, { id: 'acting', topics }, { atOnce: true, onBlock });
      const behind = await open(test, { topics }, { atOnce: true });
      test.publish('a', '1');
      await turn();
      test.publish('a', '2', '3');
      await pass(12 * INTERVAL);
      const cursors = acting.transport.inFlight.map(({ id }) => id ?? '');
      expect(acting.transport.lines.slice(0, 4)).toEqual(['1', '2', '3', expect.stringMatching(/^(4|closed a)$/)]);
      expect(cursors.slice(0, -1)).toEqual(cursors.slice(0, -1).toSorted());
      if (name.startsWith('publishes')) {
        for (const { transport } of [before, acting, behind])
          expect(transport.lines).toEqual(['1', '2', '3', '4', '5']);
      }
    });
  }
});
