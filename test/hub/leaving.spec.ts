import { describe, expect, it } from '@jest/globals';
import { SSEService } from 'nestjs-sse-hub';
import { firstValueFrom } from 'rxjs';

import { FakeTransport } from '../support/fake-transport.js';
import { event, TestHub, turn } from '../support/test-hub.js';

/** Why clients have gone, in order. */
function reasonsOf({ hub }: TestHub): unknown[] {
  const reasons: unknown[] = [];
  hub.connectionChanges().subscribe(({ type, reason }) => reasons.push(type === 'connect' ? type : reason));
  return reasons;
}

describe('a client that leaves', () => {
  it('while sse.open is written is gone, whatever becomes of its initial events', async () => {
    for (const initial of [() => [event('first')], () => Promise.reject(new Error('no database'))]) {
      const test = new TestHub({ maxClients: 1 });
      const reasons = reasonsOf(test);
      const transport = new FakeTransport({ atOnce: true, onBlock: () => transport.cut() });
      const { client } = test.connect({ topics: ['a'], initial, transport });
      await turn(2);
      expect(client.connected).toBe(false);
      expect(reasons).toEqual(['connect', 'closed']);

      const next = test.connect({ topics: ['a'], transport: new FakeTransport({ atOnce: true }) });
      test.publish('a', '1');
      expect(next.transport.lines).toEqual(['open none', '1']);
      expect(test.hub.clients.size).toBe(1);
    }
  });

  it('with the first message of a stream leaves nothing behind', async () => {
    const sse = new SSEService({ maxClients: 1 });
    const initial = (): Promise<never> => Promise.reject(new Error('no database'));
    expect(await firstValueFrom(sse.stream('a', { initial }))).toMatchObject({ type: 'sse.open' });
    await turn(2);
    expect(sse.stats()).toMatchObject({ clients: 0, topics: 0 });
    const received: unknown[] = [];
    sse.stream('a').subscribe(({ data }) => received.push(data));
    sse.broadcast('a', 'n', 1);
    expect(received.slice(1)).toEqual(['1']);
  });

  it('before its response could be begun was never there for observers', () => {
    const test = new TestHub();
    const reasons = reasonsOf(test);
    const transport = new FakeTransport();
    transport.open = () => {
      throw new Error('no headers');
    };
    expect(() => test.connect({ topics: ['a'], transport })).toThrow('no headers');
    expect(reasons).toEqual([]);
    expect(test.hub.clients.size).toBe(0);
  });

  it('with its last topic gets what was sent to it alone before', async () => {
    const test = new TestHub();
    const { client, transport } = await test.open({ topics: ['a'], transport: new FakeTransport({ capacity: 2 }) });
    test.publish('a', '1', '2');
    await turn();
    test.close('a');
    client.sendEvent(event('to you'));
    await turn();
    expect(transport.read()).toEqual(['open none', '1', '2']);
    await turn(2);
    expect(transport.read()).toEqual(['to you', 'end']);
    expect(client.connected).toBe(false);
  });

  it('at shutdown leaves a hub that is shutting down already', async () => {
    const test = new TestHub();
    const seen: boolean[] = [];
    test.hub.connectionChanges().subscribe(({ type }) => {
      if (type === 'disconnect') seen.push(test.hub.shuttingDown);
    });
    test.connect({ topics: ['a'] });
    await test.hub.shutdown();
    expect(seen).toEqual([true]);
  });

  it('leaves nothing of its group', async () => {
    const test = new TestHub();
    const { client } = await test.open({ topics: ['a'], group: 'g' });
    expect([...test.hub.clients.membersOf('g')]).toEqual([client]);
    test.remove(client.id, true);
    expect([...test.hub.clients.membersOf('g')]).toEqual([]);
  });
});
