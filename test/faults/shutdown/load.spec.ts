import type { Server } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

import { describe, expect, it } from '@jest/globals';
import type { NestApplicationOptions } from '@nestjs/common';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { MemoryBackplane, SSEError } from 'nestjs-sse-hub';

import { withTimeout } from '../../../src/backplane/broker/with-timeout.js';
import { connectionsOf, returnToBaseline, until } from '../../support/baseline.js';
import { Checker } from '../../support/checker.js';
import { record } from '../../support/measures/figures.js';
import { amount } from '../../support/measures/scale.js';
import { openHttp2 } from '../../support/network/http2-stream.js';
import { fillUp, neverReading } from '../../support/network/stuck.js';
import { type Platform, platforms } from '../../support/platforms.js';
import { Crowd, figuresOf, timeNow } from '../../support/processes/crowd.js';
import { type EventStream, open, type ReceivedEvent } from '../../support/readers/event-stream.js';
import { integer, seededRandom } from '../../support/seed.js';
import { direct, type Transport, transports } from '../../support/stream-controllers.js';

const bench = returnToBaseline();

interface Deployment extends Platform {
  readonly open: typeof open;
  readonly nest?: NestApplicationOptions;
}

const http2 = { http2: true } as object;

const deployments: readonly Deployment[] = [
  { name: 'Express', adapter: () => new ExpressAdapter(), open },
  {
    name: 'Express with forceCloseConnections',
    adapter: () => new ExpressAdapter(),
    nest: { forceCloseConnections: true },
    open,
  },
  { name: 'Fastify', adapter: () => new FastifyAdapter(), open },
  {
    name: 'Fastify with forceCloseConnections',
    adapter: () => new FastifyAdapter({ forceCloseConnections: true }),
    open,
  },
  { name: 'Fastify over HTTP/2', adapter: () => new FastifyAdapter(http2), open: openHttp2 },
  {
    name: 'Fastify over HTTP/2 with forceCloseConnections',
    adapter: () => new FastifyAdapter(http2),
    nest: { forceCloseConnections: true },
    open: openHttp2,
  },
];

const TOPICS = ['a', 'b', 'c'];
const CLIENTS = 30;

/** Two nodes on one log, one of which is to be closed while both publish. */
async function startPair(deployment: Deployment, transport: Transport) {
  const backplane = new MemoryBackplane();
  const start = () =>
    bench.start(deployment, {
      config: { backplane, drainTimeout: 60_000, maxHistorySize: Infinity },
      controllers: [transport.controller()],
      ...(deployment.nest && { nest: deployment.nest }),
    });
  return { closing: await start(), staying: await start() };
}

for (const deployment of deployments) {
  for (const transport of transports) {
    describe(`${transport.name} on ${deployment.name}`, () => {
      it('S2: close() under load: what was published is delivered there or on another node, or was refused', async () => {
        const random = seededRandom();
        const { closing, staying } = await startPair(deployment, transport);
        const checker = new Checker();
        let publishing = true;
        let refused = 0;

        const publish = async (): Promise<void> => {
          for (let n = 0; publishing; n++) {
            const topic = TOPICS[integer(random, 0, TOPICS.length - 1)]!;
            const publishOn = (sse: typeof closing.sse) => sse.publish(topic, 'n', { topic, n });
            const cursor = await publishOn(n % 2 === 0 ? closing.sse : staying.sse).catch((error: unknown) => {
              if (!(error instanceof SSEError) || error.code !== 'SHUTTING_DOWN') throw error;
              refused++;
              return publishOn(staying.sse);
            });
            checker.recordPublished(cursor, topic, n);
            if (n % 5 === 0) await delay(1);
          }
        };

        const cutOff: EventStream[] = [];
        const follow = async (topics: readonly string[]): Promise<string[]> => {
          const path = `/events/${topics.join(',')}`;
          const first = await deployment.open(closing.url + path);
          first.request.on('error', () => {});
          await first.untilEnd();
          if (!first.response.complete) cutOff.push(first);
          const received: ReceivedEvent[] = [...first.events];
          const second = await deployment.open(staying.url + path, { lastEventId: first.lastEventId });
          await until('publishing is over', () => !publishing);
          await second.until(() => checker.placeOf(second.lastEventId) >= checker.newestOf(topics));
          second.close();
          received.push(...second.events);
          return checker.faultsOf(topics, received);
        };

        const published = publish();
        const clients = Array.from({ length: CLIENTS }, (_, i) => follow(TOPICS.slice(0, 1 + (i % 3))));
        await until('all are there', () => closing.sse.getClientCount() === CLIENTS);
        await delay(100);
        await withTimeout(closing.close(), 30_000, 'close()');
        await delay(100);
        publishing = false;
        await published;

        expect((await Promise.all(clients)).flat()).toEqual([]);
        expect(staying.sse.stats().resets).toEqual({});
        expect(refused).toBeGreaterThan(0);
        // Each of them saw a proper end, however the platform closes connections.
        expect(cutOff).toEqual([]);
        expect(await connectionsOf(closing.app.getHttpServer() as Server)).toBe(0);
      });
    });
  }
}

for (const platform of platforms) {
  for (const transport of transports) {
    const idle = transport === direct ? 5_000 : amount(5_000, 1_000);

    describe(`${transport.name} on ${platform.name}`, () => {
      const drainTimeout = transport === direct ? 3_000 : 1_500;

      it(`S1: close() ends ${idle} idle streams and 50 that never read within drainTimeout and a second`, async () => {
        // What else runs on the machine can only add to the time: the best of three is nearest to what the hub takes.
        const times = [await closeOnce()];
        while (times.length < 3 && times.at(-1)! >= drainTimeout + 1_000) times.push(await closeOnce());
        expect(Math.min(...times)).toBeLessThan(drainTimeout + 1_000);
      });

      /** Answers with how long it took, in milliseconds. */
      async function closeOnce(): Promise<number> {
        const running = await bench.start(platform, {
          config: { maxClients: 10_000, drainTimeout, retryInterval: 100, retryJitter: 0 },
          controllers: [transport.controller()],
        });
        const { app, url, sse } = running;
        const crowd = new Crowd(bench);
        await crowd.open(`${url}/events/idle`, idle);
        sse.broadcast('idle', 'n', { n: 0, at: timeNow() });
        for (let i = 0; i < 50; i++) await neverReading(bench, `${url}/events/stuck`);
        await until('all are there', () => sse.stats().clients === idle + 50);
        await fillUp(sse, 'stuck');

        const started = performance.now();
        await running.close();
        const took = performance.now() - started;
        // The fifty were given their time.
        expect(took).toBeGreaterThan(drainTimeout - 100);
        expect(sse.stats()).toMatchObject({ clients: 0, topics: 0 });
        expect(await connectionsOf(app.getHttpServer() as Server)).toBe(0);

        const clients = await crowd.clients();
        expect(clients).toHaveLength(idle);
        record(figuresOf(clients));
        const farewell = /^event: sse\.cursor\nid: 1~\w+~\w+-\w+\nretry: \d+\ndata: \{\}$/;
        const wrong = clients.filter(({ events, complete, last }) => events !== 1 || !complete || !farewell.test(last));
        expect(wrong).toEqual([]);
        const retries = clients.map(({ last }) => Number(/retry: (\d+)/.exec(last)![1]));
        expect(Math.min(...retries)).toBeGreaterThanOrEqual(100);
        expect(Math.max(...retries)).toBeLessThanOrEqual(100 + drainTimeout);
        // Spread, so that they do not come back all at once: each quarter of the range has its share.
        for (let quarter = 0; quarter < 4; quarter++) {
          const from = 100 + (quarter * drainTimeout) / 4;
          const share = retries.filter((retry) => retry >= from && retry < from + drainTimeout / 4).length;
          expect(share).toBeGreaterThan(idle / 10);
        }
        return took;
      }
    });
  }
}
