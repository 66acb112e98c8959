import { Agent, type Server } from 'node:http';
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

import { describe, expect, it } from '@jest/globals';
import { Controller, Get, Inject } from '@nestjs/common';
import { SSEService } from 'nestjs-sse-hub';

import { withTimeout } from '../../../src/backplane/broker/with-timeout.js';
import { connectionsOf, returnToBaseline, until } from '../../support/baseline.js';
import { fillUp, neverReading } from '../../support/network/stuck.js';
import { platforms, type RunningApp } from '../../support/platforms.js';
import { RecordedEventSource } from '../../support/readers/event-source.js';
import { direct, transports } from '../../support/stream-controllers.js';

const bench = returnToBaseline();

/** A client that keeps the hub shutting down until it leaves, so that there is time to do something meanwhile. */
async function keepDraining({ url, sse }: RunningApp): Promise<Socket> {
  const stuck = await neverReading(bench, `${url}/events/stuck`);
  await until('the one that never reads is there', () => sse.getClientCount('stuck') === 1);
  await fillUp(sse, 'stuck');
  return stuck;
}

for (const platform of platforms) {
  for (const transport of transports) {
    describe(`${transport.name} on ${platform.name}`, () => {
      it('S1: close() with a few streams that all read is done at once', async () => {
        const running = await bench.start(platform, {
          config: { drainTimeout: 60_000 },
          controllers: [transport.controller()],
        });
        const { url, sse } = running;
        const streams = [];
        for (let i = 0; i < 10; i++) streams.push(await bench.connect(`${url}/events/a`));
        sse.broadcast('a', 'n', 1);
        for (const stream of streams) await stream.messagesUpTo(1);
        await withTimeout(running.close(), 30_000, 'close()');
        for (const stream of streams) {
          await stream.untilEnd();
          expect(stream.response.complete).toBe(true);
          expect(stream.data).toEqual([1]);
        }
      });

      it('S1: close() is done soon although a real EventSource, on a connection that it keeps, comes back at once', async () => {
        const before = await bench.start(platform, {
          config: { retryInterval: 10, retryJitter: 0, drainTimeout: 50 },
          controllers: [transport.controller()],
        });
        const source = RecordedEventSource.open(bench, `${before.url}/events/a`, ['n']);
        await source.untilCount('sse.open', 1);
        before.sse.broadcast('a', 'n', 1);
        await withTimeout(before.close(), 30_000, 'close()');
        await source.untilCount('n', 1);
        expect(source.data).toEqual([1]);
        // It keeps trying, for it has not been told to stop.
        expect(source.stopped).toBe(false);
      });

      it('S2: what was published before close(), in its turn too, leaves before the streams end', async () => {
        const running = await bench.start(platform, { controllers: [transport.controller()] });
        const { url, sse } = running;
        const stream = await bench.connect(`${url}/events/a`);
        sse.broadcast('a', 'n', 1);
        await sse.publish('a', 'n', 2);
        sse.broadcast('a', 'n', 3);
        await running.close();
        await stream.untilEnd();
        expect(stream.data).toEqual([1, 2, 3]);
        expect(stream.response.complete).toBe(true);
      });

      it('S2: while it shuts down a new stream is refused softly, and publishing says SHUTTING_DOWN', async () => {
        const running = await bench.start(platform, {
          config: { drainTimeout: 600_000, retryInterval: 1_000 },
          controllers: [transport.controller()],
        });
        const { url, sse } = running;
        const stream = await bench.connect(`${url}/events/a`);
        const stuck = await keepDraining(running);
        const { lastEventId } = stream;

        const closing = Promise.all([running.close(), running.app.close(), sse.shutdown(), sse.shutdown()]);
        await stream.untilEnd();
        const agent = new Agent({ keepAlive: true });
        bench.onEnd(() => agent.destroy());
        const refused = await bench.open(`${url}/events/a`, { lastEventId, agent });
        await refused.untilEnd();
        expect(refused.status).toBe(200);
        expect(refused.events).toEqual([{ event: 'sse.busy', data: '{"reason":"shutdown"}', lastEventId }]);
        expect(refused.retries[0]).toBeGreaterThanOrEqual(1_000);
        expect(refused.response.complete).toBe(true);
        // Otherwise it would come back on this connection again and again, and the server could not close.
        const server = running.app.getHttpServer() as Server;
        await until('only the one that never reads is connected', async () => (await connectionsOf(server)) === 1);

        const shuttingDown = expect.objectContaining({ code: 'SHUTTING_DOWN', status: 503 }) as unknown;
        expect(() => sse.broadcast('a', 'n', 1)).toThrow(shuttingDown);
        expect(() => sse.broadcastAll('n', 1)).toThrow(shuttingDown);
        expect(() => sse.closeTopic('a')).toThrow(shuttingDown);
        expect(() => sse.removeGroup('g')).toThrow(shuttingDown);
        await expect(sse.publish('a', 'n', 1)).rejects.toEqual(shuttingDown);
        await expect(sse.publishFrom(numbers(), 'a', 'n')).rejects.toEqual(shuttingDown);
        // What is wrong with an event comes first: it would be wrong another time too.
        expect(() => sse.broadcast('a*', 'n', 1)).toThrow(expect.objectContaining({ code: 'INVALID_TOPIC' }));

        stuck.destroy();
        await closing;
        await running.app.close();
        expect(stream.data).toEqual([]);
        expect(sse.stats()).toMatchObject({ clients: 0, topics: 0 });
        expect(() => sse.broadcast('a', 'n', 1)).toThrow(shuttingDown);
      });
    });
  }

  describe(`on ${platform.name}`, () => {
    it('S1: a request that is no stream is answered while the streams are drained', async () => {
      @Controller()
      class PlainController {
        constructor(@Inject(SSEService) private readonly sse: SSEService) {}

        @Get('clients')
        clients(): { clients: number } {
          return { clients: this.sse.stats().clients };
        }
      }
      const running = await bench.start(platform, {
        config: { drainTimeout: 600_000 },
        controllers: [direct.controller(), PlainController],
      });
      const stuck = await keepDraining(running);
      const closing = running.close();
      await delay(20);
      const answer = await bench.open(`${running.url}/clients`, { headers: { connection: 'close' } });
      await answer.untilEnd();
      expect(answer.status).toBe(200);
      stuck.destroy();
      await closing;
    });

    it('S2: shutdown() of a hub in an application that goes on ends its streams, and the application serves', async () => {
      const { url, sse } = await bench.start(platform, { controllers: [direct.controller()] });
      const stream = await bench.connect(`${url}/events/a`);
      await Promise.all([sse.shutdown(), sse.shutdown()]);
      await stream.untilEnd();
      const refused = await bench.open(`${url}/events/a`);
      await refused.untilEnd();
      expect(refused.events.map(({ event }) => event)).toEqual(['sse.busy']);
    });
  });
}

async function* numbers(): AsyncGenerator<number> {
  yield 1;
}
