import { Agent, type IncomingMessage, type Server } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

import { describe, expect, it } from '@jest/globals';

import { returnToBaseline, until } from '../../support/baseline.js';
import { platforms } from '../../support/platforms.js';
import { RecordedEventSource } from '../../support/readers/event-source.js';
import type { EventStream } from '../../support/readers/event-stream.js';
import { answerOf, answerTo, names, serve } from '../../support/served.js';
import { transports } from '../../support/stream-controllers.js';

const bench = returnToBaseline();

for (const platform of platforms) {
  for (const transport of transports) {
    describe(`${transport.name} on ${platform.name}`, () => {
      it('L1: with "retry" the client over maxClients gets 200, sse.busy with a retry and a cursor, and the end', async () => {
        const { url, sse } = await bench.start(platform, {
          config: { maxClients: 2, retryInterval: 1_000, retryJitter: 0.5 },
          controllers: [transport.controller()],
        });
        await bench.connect(`${url}/events/a`);
        await bench.connect(`${url}/events/a`);

        const third = await bench.open(`${url}/events/a`);
        await third.untilEnd();
        expect(third.status).toBe(200);
        // Express adds a charset to what a web response says.
        expect(third.response.headers['content-type']).toMatch(/^text\/event-stream(; charset=utf-8)?$/);
        expect(third.events).toEqual([
          {
            event: 'sse.busy',
            data: '{"reason":"full"}',
            lastEventId: expect.stringMatching(/^1~\w+~0-0$/) as unknown,
          },
        ]);
        expect(third.retries[0]).toBeGreaterThanOrEqual(1_000);
        expect(third.retries[0]).toBeLessThanOrEqual(1_500);
        expect(third.response.complete).toBe(true);
        expect(sse.stats()).toMatchObject({ clients: 2, refused: 1, topics: 1 });
      });

      it('L1: a refused client keeps the cursor it came with, and loses nothing', async () => {
        const { url, sse } = await bench.start(platform, {
          config: { maxClients: 1 },
          controllers: [transport.controller()],
        });
        const reader = await bench.connect(`${url}/events/a`);
        sse.broadcast('a', 'n', 1);
        await reader.messagesUpTo(1);
        const { lastEventId } = reader;
        reader.close();
        await until('the first has left', () => sse.stats().clients === 0);

        const other = await bench.connect(`${url}/events/a`);
        sse.broadcast('a', 'n', 2);
        const refused = await bench.open(`${url}/events/a`, { lastEventId });
        await refused.untilEnd();
        expect(refused.lastEventId).toBe(lastEventId);
        other.close();
        await until('the other has left', () => sse.stats().clients === 0);
        sse.broadcast('a', 'n', 3);
        const back = await bench.open(`${url}/events/a`, { lastEventId: refused.lastEventId });
        expect(await back.messagesUpTo(2)).toEqual([2, 3]);
        expect(JSON.parse(back.events[0]!.data)).toMatchObject({ resumed: 'full' });
      });

      it('L1: to be refused moves nobody: what a client comes back with means what it meant', async () => {
        const { sse, connect, request } = await serve(bench, platform, transport, { config: { maxClients: 1 } });
        const holder = await connect('a');
        sse.broadcast('a', 'n', 1, 'own');
        sse.broadcast('a', 'n', 2);
        await holder.messagesUpTo(2);
        const unreadable = `?lastEventId=${encodeURIComponent('not\na line')}`;
        const cases = [
          { options: { initial: { event: 'state', data: 'state' } }, resumed: 'none', data: ['state', 4] },
          { options: { since: 0 }, resumed: 'none', data: [1, 2, 3, 4] },
          { lastEventId: 'own', resumed: 'full', data: [2, 3, 4] },
          { lastEventId: 'not-a-cursor', resumed: 'reset', data: [1, 2, 3, 4] },
          { query: unreadable, resumed: 'reset', data: [1, 2, 3, 4] },
          { resumed: 'full', data: [3, 4] },
        ];
        const refused: EventStream[] = [];
        for (const { options = {}, lastEventId, query = '' } of cases) {
          const stream = await request(`a${query}`, options, lastEventId);
          await stream.untilEnd();
          expect(names(stream)).toEqual(['sse.busy']);
          refused.push(stream);
        }
        holder.close();
        await until('the first has left', () => sse.stats().clients === 0);
        sse.broadcast('a', 'n', 3);
        for (const [i, { options = {}, resumed, data }] of cases.entries()) {
          const back = await connect('a', options, refused[i]!.lastEventId);
          expect(JSON.parse(back.events[0]!.data)).toMatchObject({ resumed });
          await back.until(() => back.messages.length >= data.length - 1);
          if (i === 0) sse.broadcast('a', 'n', 4);
          await back.messagesUpTo(data.length);
          expect(back.data).toEqual(data);
          back.close();
          await until('it has left', () => sse.stats().clients === 0);
        }
      });

      it('L1: with "reject" it gets 503 as JSON, and those who are in stay', async () => {
        const { url, sse } = await bench.start(platform, {
          config: { maxClients: 1, onLimit: 'reject' },
          controllers: [transport.controller()],
        });
        const first = await bench.connect(`${url}/events/a`);
        expect(await answerTo(await bench.open(`${url}/events/a`))).toEqual(
          answerOf(503, 'TOO_MANY_CLIENTS', /1 of 1 clients/),
        );
        expect(sse.stats()).toMatchObject({ clients: 1, refused: 1 });
        sse.broadcast('a', 'n', 1);
        expect(await first.messagesUpTo(1)).toEqual([1]);
      });

      it('L1: a slot is free again at once when its client leaves, over and over', async () => {
        const { url, sse } = await bench.start(platform, {
          config: { maxClients: 1, onLimit: 'reject' },
          controllers: [transport.controller()],
        });
        for (let i = 0; i < 20; i++) {
          const only = await bench.connect(`${url}/events/a`);
          expect(sse.stats().clients).toBe(1);
          only.close();
          await until('it has left', () => sse.stats().clients === 0);
        }
        expect(sse.stats().refused).toBe(0);
      });

      it('L1: a HEAD request and one with the terminal cursor take no slot, even when all are taken', async () => {
        const { url, sse } = await bench.start(platform, {
          config: { maxClients: 1, onLimit: 'reject' },
          controllers: [transport.controller()],
        });
        await bench.connect(`${url}/events/a`);
        const head = await bench.open(`${url}/events/a`, { method: 'HEAD' });
        expect(head.status).toBe(200);
        await head.untilEnd();
        expect(head.raw).toBe('');
        const over = await bench.open(`${url}/events/a`, { lastEventId: '1~end' });
        expect(over.status).toBe(204);
        await over.untilEnd();
        expect(over.raw).toBe('');
        expect(over.response.headers['content-length']).toBeUndefined();
        expect(over.response.headers['transfer-encoding']).toBeUndefined();
        expect(sse.stats()).toMatchObject({ clients: 1, refused: 0 });
      });

      it('L1: a real EventSource comes back until there is room, and has missed nothing since it first came', async () => {
        const { url, sse } = await bench.start(platform, {
          config: { maxClients: 1, retryInterval: 30, retryJitter: 0 },
          controllers: [transport.controller()],
        });
        const first = await bench.connect(`${url}/events/a`);
        const waiting = RecordedEventSource.open(bench, `${url}/events/a`, ['n']);
        await waiting.untilCount('sse.busy', 3);
        for (const n of [1, 2, 3]) sse.broadcast('a', 'n', n);
        expect(await first.messagesUpTo(3)).toEqual([1, 2, 3]);
        first.close();
        await waiting.untilCount('n', 3);
        sse.broadcast('a', 'n', 4);
        await waiting.untilCount('n', 4);
        expect(waiting.data).toEqual([1, 2, 3, 4]);
        expect(waiting.count('sse.reset')).toBe(0);
        expect(waiting.attempts.every(({ status }) => status === 200)).toBe(true);
      });

      it('L1: a real EventSource never comes back after a 503', async () => {
        const { url } = await bench.start(platform, {
          config: { maxClients: 1, onLimit: 'reject', retryInterval: 20, retryJitter: 0 },
          controllers: [transport.controller()],
        });
        await bench.connect(`${url}/events/a`);
        const rejected = RecordedEventSource.open(bench, `${url}/events/a`);
        await rejected.untilStopped();
        await delay(100);
        expect(rejected.attempts).toEqual([{ status: 503, lastEventId: undefined }]);
      });
    });
  }

  describe(`on ${platform.name}`, () => {
    it('L1: a connection that has carried many refused and finished streams has no more listeners than before', async () => {
      const { url, app, sse } = await bench.start(platform, {
        config: { maxClients: 1 },
        controllers: [transports[0]!.controller()],
      });
      const agent = new Agent({ keepAlive: true, maxSockets: 1 });
      bench.onEnd(() => agent.destroy());
      const counts: number[][] = [];
      (app.getHttpServer() as Server).on('request', ({ socket }: IncomingMessage) =>
        counts.push(socket.eventNames().map((name) => socket.listenerCount(name))),
      );
      for (let i = 0; i < 10; i++) {
        const stream = await bench.connect(`${url}/events/a`, { agent });
        sse.removeClient(sse.getClients()[0]!.id);
        await stream.untilEnd();
      }
      const other = await bench.connect(`${url}/events/a`);
      counts.pop();
      for (let i = 0; i < 10; i++) await (await bench.open(`${url}/events/a`, { agent })).untilEnd();
      other.close();
      expect(counts).toHaveLength(20);
      expect(counts.at(-1)!.toSorted(ascending)).toEqual(counts[2]!.toSorted(ascending));
    });
  });
}

function ascending(a: number, b: number): number {
  return a - b;
}
