import { describe, expect, it } from '@jest/globals';
import { topicPattern } from 'nestjs-sse-hub';

import { returnToBaseline } from '../../support/baseline.js';
import { platforms } from '../../support/platforms.js';
import { codeOf, names, type Options, Poison, serve } from '../../support/served.js';
import { transports } from '../../support/stream-controllers.js';

const bench = returnToBaseline();

for (const platform of platforms) {
  for (const transport of transports) {
    describe(`${transport.name} on ${platform.name}`, () => {
      it('A1: an observer that throws is logged; the publisher, other observers and the clients notice nothing', async () => {
        const { sse, connect, logger } = await serve(bench, platform, transport);
        const client = await connect('a');
        const seen: unknown[] = [];
        const observers = [
          sse.observe('a').subscribe(() => {
            throw new Error('observer fails');
          }),
          sse.observe(topicPattern('*')).subscribe(() => {
            throw new Error('observer of a pattern fails');
          }),
          sse.observe('a').subscribe(({ data }) => seen.push(data)),
          sse.connections.subscribe(() => {
            throw new Error('observer of connections fails');
          }),
        ];
        sse.broadcast('a', 'n', 1);
        await sse.publish('a', 'n', 2);
        expect(seen).toEqual([1, 2]);
        const other = await connect('a');
        sse.broadcast('a', 'n', 3);
        expect(await client.messagesUpTo(3)).toEqual([1, 2, 3]);
        expect(await other.messagesUpTo(1)).toEqual([3]);
        const errors = logger.ofHub('error');
        expect(errors.filter((text) => text.includes('observer fails'))).toHaveLength(3);
        expect(errors.filter((text) => text.includes('observer of a pattern fails'))).toHaveLength(3);
        expect(errors.filter((text) => text.includes('observer of connections fails'))).toHaveLength(1);
        for (const observer of observers) observer.unsubscribe();
      });

      it('A1: a filter that throws hides the event and ends that client, which comes back behind it', async () => {
        const { sse, connect, logger } = await serve(bench, platform, transport);
        const filter: Options['filter'] = ({ data }) => {
          if (data === 2) throw new Error('filter fails');
          return true;
        };
        const failing = await connect('a', { filter });
        const healthy = await connect('a', { filter: () => true });
        const plain = await connect('a');
        for (const n of [1, 2, 3]) sse.broadcast('a', 'n', n);
        await failing.untilEnd();
        expect(names(failing)).toEqual(['sse.open', 'n', 'sse.reset']);
        expect(JSON.parse(failing.events.at(-1)!.data)).toEqual({ reason: 'filter', topics: ['a'] });
        expect(failing.response.complete).toBe(true);
        expect(await healthy.messagesUpTo(3)).toEqual([1, 2, 3]);
        expect(await plain.messagesUpTo(3)).toEqual([1, 2, 3]);

        const back = await connect('a', { filter }, failing.lastEventId);
        expect(await back.messagesUpTo(1)).toEqual([3]);
        expect(names(back)).toEqual(['sse.open', 'n']);
        expect(logger.ofHub('error')).toEqual([expect.stringContaining('filter fails')]);
        expect(sse.stats()).toMatchObject({ clients: 3, resets: { filter: 1 } });
      });

      it('A1: a filter of one topic that throws does the same', async () => {
        const { sse, connect } = await serve(bench, platform, transport);
        const failing = await connect('a', { id: 'f' });
        const plain = await connect('a,b');
        sse.subscribe('f', 'b', {
          filter: () => {
            throw new Error('filter fails');
          },
        });
        sse.broadcast('a', 'n', 1);
        sse.broadcast('b', 'n', 2);
        await failing.untilEnd();
        expect(names(failing)).toEqual(['sse.open', 'n', 'sse.reset']);
        expect(await plain.messagesUpTo(2)).toEqual([1, 2]);
      });

      it('A1: data whose toJSON throws is INVALID_EVENT for whoever publishes it, and for nobody else', async () => {
        const { sse, connect } = await serve(bench, platform, transport);
        const client = await connect('a', { id: 'c' });
        expect(codeOf(() => sse.broadcast('a', 'n', new Poison()))).toBe('INVALID_EVENT');
        expect(codeOf(() => sse.broadcastAll('n', new Poison()))).toBe('INVALID_EVENT');
        expect(codeOf(() => sse.sendEvent('c', { data: new Poison() }))).toBe('INVALID_EVENT');
        expect(codeOf(() => sse.sendTo('c', 'n', new Poison()))).toBe('INVALID_EVENT');
        await expect(sse.publish('a', 'n', new Poison())).rejects.toMatchObject({ code: 'INVALID_EVENT' });
        sse.broadcast('a', 'n', 1);
        expect(await client.messagesUpTo(1)).toEqual([1]);
        expect(sse.stats()).toMatchObject({ clients: 1, published: 1 });
      });

      it.each([
        ['rejects', () => Promise.reject(new Error('initial fails: secret'))],
        ['has data that has no JSON form', () => ({ data: new Poison() })],
        [
          'throws',
          () => {
            throw new Error('initial fails: secret');
          },
        ],
      ] as const)(
        'A1: when `initial` %s, that stream ends, the others go on, and it is asked again',
        async (_, initial) => {
          const { sse, connect, request, logger } = await serve(bench, platform, transport);
          const healthy = await connect('a', { initial: { data: 'welcome' } });
          const failing = await request('a', { initial });
          await failing.untilEnd();
          expect(failing.status).toBe(200);
          expect(names(failing)).toEqual(['sse.open']);
          expect(failing.raw).not.toMatch(/secret|toJSON|stack/);
          sse.broadcast('a', 'n', 1);
          expect(await healthy.messagesUpTo(2)).toEqual(['welcome', 1]);
          expect(logger.ofHub('error')).toEqual([expect.stringContaining('`initial`')]);
          expect(sse.stats().clients).toBe(1);

          const back = await connect('a', { initial: { data: 'welcome' } }, failing.lastEventId);
          expect(await back.messagesUpTo(2)).toEqual(['welcome', 1]);
        },
      );

      it('A1: a `deserialize` that throws ends the clients that filter, and leaves the others alone', async () => {
        const { sse, connect } = await serve(bench, platform, transport, {
          config: {
            deserialize: () => {
              throw new Error('deserialize fails');
            },
          },
        });
        const failing = await connect('a', { filter: ({ data }) => data !== undefined });
        const plain = await connect('a');
        const observing = sse.observe('a').subscribe(({ data }) => data);
        sse.broadcast('a', 'n', { n: 1 });
        await failing.untilEnd();
        expect(names(failing)).toEqual(['sse.open', 'sse.reset']);
        expect(await plain.messagesUpTo(1)).toEqual([{ n: 1 }]);
        observing.unsubscribe();
      });
    });
  }
}
