import { describe, expect, it } from '@jest/globals';

import { FakeTransport } from '../support/fake-transport.js';
import { TestHub, turn } from '../support/test-hub.js';

describe('a client that is gone before it was ever pumped', () => {
  for (const atOnce of [false, true]) {
    it(`leaves nothing behind when its connection goes within its own connect event (at once: ${atOnce})`, async () => {
      const test = new TestHub();
      const transport = new FakeTransport({ atOnce });
      test.hub.connectionChanges().subscribe(({ type }) => {
        if (type === 'connect') transport.cut();
      });
      test.connect({ topics: ['a'], transport });
      await turn(2);
      expect([transport.lines, test.warnings, test.hub.turn.behind.size, test.hub.timers.size]).toEqual([[], [], 0, 0]);
    });
  }

  it('leaves nothing behind when a neighbour that a close ends takes it along', async () => {
    const test = new TestHub();
    await test.open({ id: 'first', topics: ['a'] });
    const { transport } = test.connect({ topics: ['a'] });
    test.hub.connectionChanges().subscribe(({ type, client }) => {
      if (type === 'disconnect' && client.id === 'first') transport.cut();
    });
    test.close('a');
    await turn(2);
    expect([transport.lines, test.warnings, test.hub.turn.behind.size]).toEqual([[], [], 0]);
  });

  it('leaves nothing behind when its group is removed, and the first one takes it along', async () => {
    const test = new TestHub();
    await test.open({ id: 'first', group: 'g', topics: ['a'] });
    const { transport } = test.connect({ topics: ['b'], group: 'g' });
    test.hub.connectionChanges().subscribe(({ type, client }) => {
      if (type === 'disconnect' && client.id === 'first') transport.cut();
    });
    void test.hub.publisher.append({ kind: 'removeGroup', group: 'g', reconnect: true }, 'queue');
    await turn(2);
    expect([transport.lines, test.warnings, test.hub.turn.behind.size]).toEqual([[], [], 0]);
  });

  it('is not opened by the shutdown', async () => {
    const test = new TestHub();
    const logged: string[] = [];
    test.hub.connectionChanges().subscribe(({ type, client }) => logged.push(`${type} ${client.id}`));
    await test.open({ id: 'first', topics: ['a'] });
    const { transport } = test.connect({ id: 'second', topics: ['a'] });
    test.hub.connectionChanges().subscribe(({ type, client }) => {
      if (type === 'disconnect' && client.id === 'first') transport.cut();
    });
    await test.hub.shutdown();
    expect([transport.lines, test.warnings, test.hub.turn.behind.size]).toEqual([[], [], 0]);
  });
});

describe('two clients with one id', () => {
  it('who comes while its predecessor is told of as gone is not lost sight of', async () => {
    const test = new TestHub();
    const told: string[] = [];
    let inner: ReturnType<typeof test.connect> | undefined;
    await test.open({ id: 'x', group: 'g', topics: ['a'] });
    test.hub.connectionChanges().subscribe(({ type, client }) => {
      told.push(`${type} ${String(client.connected)}`);
      if (type === 'disconnect' && !inner) inner = test.connect({ id: 'x', group: 'g', topics: ['a'] });
    });
    const { transport: outer } = test.connect({ id: 'x', group: 'g', topics: ['a'] });
    await turn();
    inner!.transport.cut();
    await turn();
    test.publish('a', '1');
    await turn();
    expect(told).toEqual(['disconnect false', 'connect true', 'connect true', 'disconnect false']);
    expect(outer.lines).toEqual(['open none', '1']);
    expect(test.hub.audience.count('a')).toBe(1);
    outer.cut();
    expect(test.hub.audience.count('a')).toBe(0);
    expect(test.hub.clients.size).toBe(0);
    expect(test.hub.clients.membersOf('g').size).toBe(0);
  });
});

describe('a client that follows its first topic as it hears of its open stream', () => {
  for (const atOnce of [true, false]) {
    it(`gets what it asked for before it is removed for good (at once: ${atOnce})`, async () => {
      const test = new TestHub();
      test.publish('a', '0');
      await turn();
      const transport: FakeTransport = new FakeTransport({
        atOnce,
        onBlock: ({ event }) => event === 'sse.open' && test.hub.clients.subscribe('x', 'a', undefined),
      });
      test.connect({ id: 'x', lastEventId: test.log.cursors[0]!, transport });
      test.publish('a', '1');
      test.remove('x', false);
      await turn();
      expect(transport.lines).toEqual(['open full', '1', 'end']);
    });
  }
});
