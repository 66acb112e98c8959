import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';

import { FakeTransport } from '../support/fake-transport.js';
import { event, StandingClock, TestHub, turn } from '../support/test-hub.js';

let clock: StandingClock;

beforeEach(() => {
  clock = new StandingClock();
});

afterEach(() => {
  jest.restoreAllMocks();
});

/** A hub that has read three events, a second apart. */
async function started(): Promise<TestHub> {
  const test = new TestHub();
  for (const data of ['1', '2', '3']) {
    test.publish('a', data);
    clock.advance(1_000);
  }
  await turn();
  return test;
}

describe('another life of the log under open streams', () => {
  for (const atOnce of [false, true]) {
    const kind = atOnce ? 'a client that is written to at once' : 'a client';

    it(`${kind} is told, and gets what the new life retains`, async () => {
      const test = await started();
      const { transport } = test.connect({ topics: ['a'], transport: new FakeTransport({ atOnce }) });
      await turn();
      test.log.restore(2);
      test.log.ready();
      await turn();
      test.publish('a', 'new');
      await turn();
      expect(transport.lines).toEqual(['open none', 'reset epoch a', '1', '2', 'new']);
    });

    it(`${kind} that wants only what is new after a gap gets that, and a place behind all that is retained`, async () => {
      const test = await started();
      const { transport } = test.connect({ topics: ['a'], onGap: 'latest', transport: new FakeTransport({ atOnce }) });
      await turn();
      test.log.restore(2);
      test.log.ready();
      test.publish('a', 'new');
      await turn();
      expect(transport.lines).toEqual(['open none', 'reset epoch a', 'new']);
      const reset = transport.inFlight.find(({ event }) => event === 'sse.reset');
      const again = test.connect({ topics: ['a'], lastEventId: reset!.id!, onGap: 'latest' });
      await turn();
      expect(again.transport.lines).toEqual(['open full', 'new']);
    });
  }

  it('a client gets nothing that is older than its notBefore', async () => {
    const test = await started();
    const { transport } = test.connect({ topics: ['a'], notBefore: Date.now() - 2_500 });
    await turn();
    test.publish('a', 'live');
    await turn();
    test.log.restore(3);
    test.log.ready();
    await turn();
    expect(transport.lines).toEqual(['open none', 'live', 'reset epoch a', '2', '3']);
  });

  it('a client that follows nothing is told when it follows something', async () => {
    const test = await started();
    const { client, transport } = test.connect();
    await turn();
    test.publish('a', 'never seen');
    await turn();
    test.log.restore(0);
    test.log.ready();
    await turn();
    test.hub.clients.subscribe(client.id, 'a', undefined);
    test.publish('a', 'new');
    await turn();
    expect(transport.lines).toEqual(['open none', 'reset epoch a', 'new']);
  });

  it('a client that has given up its topics stays in the old life until it follows something', async () => {
    const test = await started();
    const { client, transport } = test.connect({ topics: ['a'], heartbeatInterval: 1_000 });
    await turn();
    test.hub.clients.unsubscribe(client.id, 'a');
    await turn();
    test.log.restore(0);
    test.log.ready();
    await turn();
    expect(client.view.lastEventId).toContain('~e1~');
    test.hub.clients.subscribe(client.id, 'b', undefined);
    await turn();
    expect(transport.lines).toEqual(['open none', 'reset epoch b']);
    expect(test.hub.turn.behind.size).toBe(0);
  });

  it('a client that connects at that moment begins with what is new', async () => {
    const test = await started();
    const { transport } = test.connect({ topics: ['a'] });
    test.log.restore(2);
    await turn();
    test.log.ready();
    await turn();
    test.publish('a', 'new');
    await turn();
    expect(transport.lines).toEqual(['cursor', 'open none', 'new']);
  });

  it('a client learns which of its topics were closed meanwhile, and ends with the last of them', async () => {
    const test = new TestHub();
    for (const topic of ['b', 'c']) test.close(topic);
    test.publish('a', '1', '2');
    for (const topic of ['b', 'c']) void test.hub.publisher.append({ kind: 'open', topic }, 'queue');
    test.publish('a', 'lost');
    const { transport: some } = test.connect({ topics: ['a', 'b'] });
    const { transport: all } = test.connect({ topics: ['b', 'c'] });
    await turn();
    test.log.restore(4);
    test.log.ready();
    await turn();
    expect(some.lines).toEqual(['open none', 'reset epoch a,b', 'closed b', '1', '2']);
    expect(all.lines).toEqual(['open none', 'reset epoch b,c', 'closed b', 'end']);
  });

  it('says what was closed in what is retained to those who want only what is new', async () => {
    const test = await started();
    test.close('b');
    const { transport } = test.connect({ topics: ['a'], onGap: 'latest' });
    const { transport: both } = test.connect({ topics: ['a', 'b'], onGap: 'latest' });
    await turn();
    test.log.restore(4);
    test.log.ready();
    await turn();
    expect(transport.lines).toEqual(['open none', 'reset epoch a']);
    expect(both.lines).toEqual(['open none', 'closed b', 'closed b', 'reset epoch a,b']);
  });
});

describe('until the window of the new life is known', () => {
  it('nothing is written but heartbeats, and what is sent to a client comes behind the reset', async () => {
    const test = await started();
    const { client, transport } = test.connect({ topics: ['a'], heartbeatInterval: 1_000 });
    await turn();
    test.log.restore(2);
    client.sendEvent(event('for you'));
    await turn();
    clock.advance(1_000);
    client.timer.tick(performance.now());
    expect(transport.lines).toEqual(['open none', 'comment']);
    test.log.ready();
    await turn();
    expect(transport.read().slice(2)).toEqual(['reset epoch a', '1', '2', 'for you']);
    expect(test.hub.turn.behind.size).toBe(0);
  });

  it('a client that follows something else before that is known takes no cursor with it that hides the loss', async () => {
    const test = await started();
    const { client, transport } = await test.open({ topics: ['a'] });
    const known = client.view.lastEventId;
    test.log.restore(2);
    test.hub.clients.subscribe(client.id, 'b', undefined);
    test.hub.clients.unsubscribe(client.id, 'a');
    await test.hub.shutdown();
    expect(transport.inFlight.at(-1)).toMatchObject({ id: known, retry: expect.any(Number) });
  });

  it('a client that gives up its topics is told when it follows something', async () => {
    const test = await started();
    const { client, transport } = await test.open({ topics: ['a'] });
    test.log.restore(2);
    test.hub.clients.unsubscribe(client.id, 'a');
    test.log.ready();
    await turn();
    expect(transport.lines).toEqual(['open none']);
    test.hub.clients.subscribe(client.id, 'b', undefined);
    test.publish('b', 'new');
    await turn();
    expect(transport.lines).toEqual(['open none', 'reset epoch b', 'new']);
  });

  it('a client that leaves has no place in it', async () => {
    const test = await started();
    const { client, transport } = test.connect({ topics: ['a'] });
    await turn();
    const before = client.view.lastEventId;
    test.log.restore(2);
    await turn();
    await test.hub.shutdown();
    expect(transport.inFlight.at(-1)).toMatchObject({ id: before });
    expect(transport.lines).toEqual(['open none', 'cursor']);
  });

  it('no more is kept for a client than for those who come then', async () => {
    const test = new TestHub({ maxHistorySize: 2 });
    test.publish('a', '1', '2', '3', '4');
    await turn();
    const { transport } = test.connect({ topics: ['a'] });
    await turn();
    test.log.restore(4);
    await turn();
    expect(test.hub.log.events).toBe(2);
    test.log.ready();
    await turn();
    expect(transport.lines).toEqual(['open none', 'reset epoch a', '3', '4']);
  });

  it('yet another life may begin', async () => {
    const test = await started();
    const { transport } = test.connect({ topics: ['a'] });
    await turn();
    test.log.restore(2);
    await turn();
    test.log.restore(1);
    test.log.ready();
    await turn();
    expect(transport.lines).toEqual(['open none', 'reset epoch a', '1']);
  });

  it('a topic that is followed then counts from there on', async () => {
    const test = await started();
    const { client, transport } = test.connect({ topics: ['a'] });
    await turn();
    test.log.restore(3);
    test.hub.clients.subscribe(client.id, 'b', undefined);
    await turn();
    test.log.ready();
    test.publish('b', 'new');
    await turn();
    expect(transport.lines).toEqual(['open none', 'reset epoch a,b', '1', '2', '3', 'new']);
  });
});
