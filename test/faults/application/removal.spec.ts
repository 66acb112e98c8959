import { setTimeout as delay } from 'node:timers/promises';

import { describe, expect, it } from '@jest/globals';
import { Controller, Get, Inject, Res } from '@nestjs/common';
import { type NodeResponseLike, SSEService } from 'nestjs-sse-hub';

import { withTimeout } from '../../../src/backplane/broker/with-timeout.js';
import { returnToBaseline } from '../../support/baseline.js';
import { platforms } from '../../support/platforms.js';
import { RecordedEventSource } from '../../support/readers/event-source.js';
import { codeOf, disconnectReasons, names, serve } from '../../support/served.js';
import { direct, transports } from '../../support/stream-controllers.js';

const bench = returnToBaseline();

for (const platform of platforms) {
  for (const transport of transports) {
    describe(`${transport.name} on ${platform.name}`, () => {
      it('A5: a stream ends when `expiresAt` passes, in an orderly way, and only that one', async () => {
        const { sse, connect } = await serve(bench, platform, transport);
        const reasons = disconnectReasons(bench, sse);
        const stays = await connect('a', { expiresAt: Date.now() + 60_000 });
        const expiresAt = Date.now() + 1_500;
        const expiring = await connect('a', { expiresAt: new Date(expiresAt) });
        sse.broadcast('a', 'n', 1);
        expect(await expiring.messagesUpTo(1)).toEqual([1]);
        expect(expiring.ended).toBe(false);
        await withTimeout(expiring.untilEnd(), 10_000, 'its end');
        expect(Date.now()).toBeGreaterThanOrEqual(expiresAt);
        expect(names(expiring)).toEqual(['sse.open', 'n', 'sse.expired']);
        expect(expiring.response.complete).toBe(true);
        expect(expiring.lastEventId).toMatch(/^1~/);
        expect(reasons).toEqual(['expired']);
        sse.broadcast('a', 'n', 2);
        expect(await stays.messagesUpTo(2)).toEqual([1, 2]);
        expect(expiring.data).toEqual([1]);
      });

      it('A5: a client that has expired already gets nothing that is published from then on', async () => {
        const { sse, request } = await serve(bench, platform, transport);
        const late = await request('a', { expiresAt: Date.now() - 1 });
        sse.broadcast('a', 'n', 1);
        await late.untilEnd();
        expect(late.messages).toEqual([]);
      });

      it('A5: removeClient() lets out what this turn published before, and nothing after', async () => {
        const { sse, connect } = await serve(bench, platform, transport);
        const removed = await connect('a', { id: 'r' });
        const ended = await connect('a', { id: 'e' });
        const stays = await connect('a');
        sse.broadcast('a', 'n', 1);
        sse.sendEvent('r', { event: 'n', data: 'mine' });
        expect(sse.removeClient('r')).toBe(true);
        expect(sse.removeClient('e', { reconnect: false })).toBe(true);
        sse.broadcast('a', 'n', 2);
        expect(sse.removeClient('r')).toBe(false);
        expect(sse.sendTo('r', 'n', 3)).toBe(false);
        expect(codeOf(() => sse.sendEvent('r', { data: 3 }))).toBe('CLIENT_NOT_FOUND');
        expect(await stays.messagesUpTo(2)).toEqual([1, 2]);
        await Promise.all([removed.untilEnd(), ended.untilEnd()]);
        expect(removed.data).toEqual([1, 'mine']);
        expect(names(removed)).toEqual(['sse.open', 'n', 'n']);
        expect(names(ended)).toEqual(['sse.open', 'n', 'sse.end']);
        expect(ended.lastEventId).toBe('1~end');
        expect(removed.response.complete).toBe(true);
        // What the removed one missed is there for it when it comes back.
        const back = await connect('a', {}, removed.lastEventId);
        expect(await back.messagesUpTo(1)).toEqual([2]);
      });

      it.each([true, false])(
        'A5: removeGroup() does the same for the whole group (reconnect: %s)',
        async (reconnect) => {
          const { sse, connect } = await serve(bench, platform, transport);
          const members = [await connect('a', { group: 'g' }), await connect('b', { group: 'g' })];
          const stranger = await connect('a,b', { group: 'h' });
          sse.broadcast('a', 'n', 1);
          sse.broadcast('b', 'n', 1);
          sse.removeGroup('g', { reconnect });
          sse.broadcast('a', 'n', 2);
          sse.broadcast('b', 'n', 3);
          expect(sse.getClientsByGroup('g')).toEqual([]);
          for (const member of members) {
            await member.untilEnd();
            expect(names(member)).toEqual(reconnect ? ['sse.open', 'n'] : ['sse.open', 'n', 'sse.end']);
            expect(member.data).toEqual([1]);
          }
          expect(await stranger.messagesUpTo(4)).toEqual([1, 1, 2, 3]);
          const source = await connect('a', { group: 'g' });
          expect(source.ended).toBe(false);
        },
      );

      it('A5: a real EventSource that was removed comes back by itself, and with `reconnect: false` never', async () => {
        const { sse, url } = await serve(bench, platform, transport, { config: { retryInterval: 20, retryJitter: 0 } });
        const source = RecordedEventSource.open(bench, `${url}/events/a`, ['n']);
        await source.untilCount('sse.open', 1);
        sse.broadcast('a', 'n', 1);
        sse.removeClient(sse.getClients()[0]!.id);
        sse.broadcast('a', 'n', 2);
        await source.untilCount('n', 2);
        sse.removeClient(sse.getClients()[0]!.id, { reconnect: false });
        await source.untilStopped();
        await delay(60);
        expect(source.data).toEqual([1, 2]);
        expect(source.attempts.map(({ status }) => status)).toEqual([200, 200, 204]);
        expect(source.count('sse.reset')).toBe(0);
      });

      it('A5: unsubscribe() lets no event of the topic leave afterwards', async () => {
        const { sse, connect } = await serve(bench, platform, transport);
        const client = await connect('a,b', { id: 'c' });
        sse.broadcast('a', 'n', 1);
        expect(await client.messagesUpTo(1)).toEqual([1]);
        expect(sse.unsubscribe('c', 'a')).toBe(true);
        sse.broadcast('a', 'n', 2);
        sse.broadcast('b', 'n', 3);
        expect(await client.messagesUpTo(2)).toEqual([1, 3]);
        expect(sse.unsubscribe('c', 'a')).toBe(false);
      });
    });
  }

  describe(`on ${platform.name}`, () => {
    it('A5: removeClient() in the turn in which a client connected ends it in an orderly way', async () => {
      @Controller()
      class HastyController {
        constructor(@Inject(SSEService) private readonly sse: SSEService) {}

        @Get('hasty')
        hasty(@Res() response: NodeResponseLike): void {
          const id = this.sse.createClient(response, { topics: 'a' });
          this.sse.broadcast('a', 'n', 1);
          this.sse.removeClient(id, { reconnect: false });
          this.sse.broadcast('a', 'n', 2);
        }
      }
      const { url, sse } = await bench.start(platform, { controllers: [HastyController] });
      const stream = await bench.open(`${url}/hasty`);
      await stream.untilEnd();
      expect(names(stream)).toEqual(['sse.open', 'n', 'sse.end']);
      expect(stream.data).toEqual([1]);
      expect(sse.stats().clients).toBe(0);
    });

    it('A5: unsubscribe() in the turn of a publication keeps it from a direct client', async () => {
      const { sse, connect } = await serve(bench, platform, direct);
      const client = await connect('a,b', { id: 'c' });
      sse.broadcast('a', 'n', 1);
      sse.unsubscribe('c', 'a');
      sse.broadcast('b', 'n', 2);
      expect(await client.messagesUpTo(1)).toEqual([2]);
    });
  });
}
