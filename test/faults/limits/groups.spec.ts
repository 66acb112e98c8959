import { setTimeout as delay } from 'node:timers/promises';

import { describe, expect, it } from '@jest/globals';
import { type OnGroupLimit, type OnLimit, topicPattern } from 'nestjs-sse-hub';

import { returnToBaseline, until } from '../../support/baseline.js';
import { platforms } from '../../support/platforms.js';
import { RecordedEventSource } from '../../support/readers/event-source.js';
import { answerOf, answerTo, disconnectReasons, names, serve } from '../../support/served.js';
import { transports } from '../../support/stream-controllers.js';

const bench = returnToBaseline();

for (const platform of platforms) {
  for (const transport of transports) {
    describe(`${transport.name} on ${platform.name}`, () => {
      it('L2: with "evict-oldest" the oldest of a full group ends for good', async () => {
        const { sse, connect } = await serve(bench, platform, transport, { config: { maxClientsPerGroup: 2 } });
        const reasons = disconnectReasons(bench, sse);
        const first = await connect('a', { group: 'user:1' });
        const second = await connect('a', { group: 'user:1' });
        const stranger = await connect('a', { group: 'user:2' });
        const third = await connect('a', { group: 'user:1' });

        await first.untilEnd();
        expect(names(first)).toEqual(['sse.open', 'sse.end']);
        expect(first.lastEventId).toBe('1~end');
        expect(first.response.complete).toBe(true);
        expect(reasons).toEqual(['evicted']);
        sse.broadcast('a', 'n', 1);
        for (const stays of [second, stranger, third]) expect(await stays.messagesUpTo(1)).toEqual([1]);
        expect(sse.getClientsByGroup('user:1')).toHaveLength(2);
        expect(sse.getClientsByGroup('user:2')).toHaveLength(1);
      });

      it('L2: two tabs of a group with room for one do not push each other out for ever', async () => {
        const { url, sse } = await bench.start(platform, {
          config: { maxClientsPerGroup: 1, retryInterval: 20, retryJitter: 0 },
          controllers: [transport.controller(() => ({ group: 'user:1' }))],
        });
        const older = RecordedEventSource.open(bench, `${url}/events/a`, ['n']);
        await older.untilCount('sse.open', 1);
        const newer = RecordedEventSource.open(bench, `${url}/events/a`, ['n']);
        await older.untilStopped();
        await delay(100);
        expect(older.attempts.map(({ status }) => status)).toEqual([200, 204]);
        expect(older.attempts[1]!.lastEventId).toBe('1~end');
        expect(older.count('sse.end')).toBe(1);
        sse.broadcast('a', 'n', 1);
        await newer.untilCount('n', 1);
        expect(newer.attempts).toHaveLength(1);
      });

      it('L2: a wrong pattern is refused before anybody makes room for it', async () => {
        const { sse, connect } = await serve(bench, platform, transport, { config: { maxClientsPerGroup: 1 } });
        const oldest = await connect('a', { id: 'tab', group: 'user:1' });
        for (const id of ['tab', 'other']) {
          const connecting = (): unknown => sse.addClient({ topics: topicPattern('a*b'), id, group: 'user:1' });
          expect(connecting).toThrow(expect.objectContaining({ code: 'INVALID_TOPIC' }));
        }
        sse.broadcast('a', 'n', 1);
        expect(await oldest.messagesUpTo(1)).toEqual([1]);
        expect(sse.stats()).toMatchObject({ clients: 1, topics: 1 });
      });

      it('L2: the newcomer that evicts another gets in although all of maxClients are taken', async () => {
        const { sse, connect, request } = await serve(bench, platform, transport, {
          config: { maxClients: 2, maxClientsPerGroup: 1, onLimit: 'reject' },
        });
        const first = await connect('a', { group: 'user:1' });
        await connect('a', { group: 'user:2' });
        await connect('a', { group: 'user:1' });
        await first.untilEnd();
        expect(sse.stats()).toMatchObject({ clients: 2, refused: 0 });
        const refused = await request('a', { group: 'user:3' });
        expect(await answerTo(refused)).toEqual(answerOf(503, 'TOO_MANY_CLIENTS', /2 of 2 clients/));
      });

      it.each<[OnGroupLimit & OnLimit]>([['retry'], ['reject']])(
        'L2: with "%s" the newcomer is refused',
        async (onGroupLimit) => {
          const { sse, connect, request } = await serve(bench, platform, transport, {
            // The other limit's rule must not be mistaken for this one's.
            config: { maxClientsPerGroup: 1, onGroupLimit, onLimit: onGroupLimit === 'retry' ? 'reject' : 'retry' },
          });
          const first = await connect('a', { group: 'user:1' });
          const second = await request('a', { group: 'user:1' });
          if (onGroupLimit === 'reject') {
            expect(await answerTo(second)).toEqual(answerOf(503, 'TOO_MANY_CLIENTS', /group/));
          } else {
            await second.untilEnd();
            expect(second.status).toBe(200);
            expect(names(second)).toEqual(['sse.busy']);
          }
          sse.broadcast('a', 'n', 1);
          expect(await first.messagesUpTo(1)).toEqual([1]);
          expect(first.ended).toBe(false);
          expect(sse.stats()).toMatchObject({ clients: 1, refused: 1 });
        },
      );

      it('L7: the same id and group again replaces the client: the old stream ends quietly', async () => {
        const { sse, connect } = await serve(bench, platform, transport, {
          config: { maxClients: 1, maxClientsPerGroup: 1, onLimit: 'reject', onGroupLimit: 'reject' },
        });
        const options = { id: 'tab-1', group: 'user:1' };
        const reasons = disconnectReasons(bench, sse);
        const before = await connect('a', options);
        sse.broadcast('a', 'n', 1);
        await before.messagesUpTo(1);
        const after = await connect('a', options, before.lastEventId);

        await before.untilEnd();
        expect(names(before)).toEqual(['sse.open', 'n']);
        expect(before.response.complete).toBe(true);
        expect(reasons).toEqual(['replaced']);
        expect(sse.stats()).toMatchObject({ clients: 1, refused: 0, topics: 1 });
        expect(sse.sendTo('tab-1', 'private', 'x')).toBe(true);
        sse.broadcast('a', 'n', 2);
        expect(await after.messagesUpTo(2)).toEqual(['x', 2]);
      });

      it.each([
        ['another group', { id: 'tab-1', group: 'user:2' }],
        ['no group', { id: 'tab-1' }],
      ])('L7: the same id with %s is CLIENT_EXISTS, and the client that has it stays', async (_, options) => {
        const { sse, connect, request } = await serve(bench, platform, transport);
        const owner = await connect('a', { id: 'tab-1', group: 'user:1' });
        expect(await answerTo(await request('a', options))).toEqual(answerOf(409, 'CLIENT_EXISTS', /"tab-1"/));
        sse.broadcast('a', 'n', 1);
        expect(await owner.messagesUpTo(1)).toEqual([1]);
        expect(sse.stats().clients).toBe(1);
      });

      it("L7: two clients without a group cannot take each other's id, which is free again when its client has left", async () => {
        const { sse, connect, request } = await serve(bench, platform, transport);
        const owner = await connect('a', { id: 'x' });
        expect(await answerTo(await request('a', { id: 'x' }))).toEqual(answerOf(409, 'CLIENT_EXISTS', /"x"/));
        owner.close();
        await until('the owner has left', () => sse.getClient('x') === undefined);
        await connect('a', { id: 'x' });
      });
    });
  }
}
