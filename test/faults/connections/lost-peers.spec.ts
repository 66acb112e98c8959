import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

import { describe, expect, it } from '@jest/globals';
import type { ExecutionContext } from '@nestjs/common';

import { connectionsOf, returnToBaseline, until } from '../../support/baseline.js';
import { Checker } from '../../support/checker.js';
import { record } from '../../support/measures/figures.js';
import { collectGarbage, heap, KiB, MiB } from '../../support/measures/memory.js';
import { amount } from '../../support/measures/scale.js';
import { Proxy } from '../../support/network/proxy.js';
import { RawConnection } from '../../support/network/raw-connection.js';
import { publishMuch } from '../../support/network/stuck.js';
import { platforms } from '../../support/platforms.js';
import { integer, pick, seededRandom } from '../../support/seed.js';
import { disconnectReasons } from '../../support/served.js';
import { type Transport, transports } from '../../support/stream-controllers.js';

const bench = returnToBaseline();

const ROUNDS = amount(10_000, 300);
const AT_A_TIME = 20;

/** How a client leaves, after it has said what it wants. */
const departures = ['reset', 'half-close', 'close'] as const;
/** When it leaves. */
const moments = ['in the request', 'before the headers', 'in a slow guard', 'during write', 'during replay'] as const;

type Departure = (typeof departures)[number];
type Moment = (typeof moments)[number];

function requestLine(moment: Moment, lastEventId: string): string {
  if (moment === 'in the request') return 'GET /events/t HTTP/1.1\r\nHost: loc';
  const path = moment === 'in a slow guard' ? '/events/t?slow' : '/events/t,replayed';
  const cursor = moment === 'during replay' ? `Last-Event-ID: ${lastEventId}\r\n` : '';
  return `GET ${path} HTTP/1.1\r\nHost: localhost\r\n${cursor}\r\n`;
}

async function comeAndGo(url: string, moment: Moment, departure: Departure, lastEventId: string): Promise<void> {
  const connection = await RawConnection.open(url);
  connection.socket.write(requestLine(moment, lastEventId));
  if (moment === 'in a slow guard') await delay(2);
  if (moment === 'during write') await connection.until(() => connection.text.includes('event: n\n'));
  if (moment === 'during replay') await connection.until(() => connection.text.includes('event: replayed\n'));
  if (departure === 'reset') connection.socket.resetAndDestroy();
  if (departure === 'close') connection.socket.destroy();
  if (departure === 'half-close') connection.socket.end();
  // Whoever closes their half alone is hung up on by the server.
  await connection.until(() => connection.closed);
}

/** A guard that takes its time for some. */
const slowGuard = {
  canActivate: async (context: ExecutionContext): Promise<boolean> => {
    const { url } = context.switchToHttp().getRequest<IncomingMessage>();
    if (url?.includes('slow')) await delay(10);
    return true;
  },
};

for (const platform of platforms) {
  const start = (transport: Transport, config: object = {}) =>
    bench.start(platform, {
      config: { maxHistorySize: Infinity, heartbeatInterval: 0, ...config },
      controllers: [transport.controller()],
      prepare: (app) => app.useGlobalGuards(slowGuard),
    });

  for (const transport of transports) {
    describe(`C4: clients of ${transport.name} on ${platform.name} that leave`, () => {
      it(`C4: by reset, half-close or close, at any moment, ${ROUNDS} times: nothing is left of them`, async () => {
        const random = seededRandom();
        const { app, url, sse } = await start(transport);
        const responses: WeakRef<ServerResponse>[] = [];
        const server = app.getHttpServer() as Server;
        server.on('request', (_: IncomingMessage, response: ServerResponse) => responses.push(new WeakRef(response)));
        const clients: WeakRef<object>[] = [];
        const watching = sse.connections.subscribe(({ type, client }) => {
          if (type === 'connect') clients.push(new WeakRef(client));
        });
        bench.onEnd(() => watching.unsubscribe());
        const first = await sse.publish('replayed', 'replayed', 0);
        for (let n = 0; n < 1_000; n++) sse.broadcast('replayed', 'replayed', 'x'.repeat(4 * KiB));

        const checker = new Checker();
        const witness = await bench.open(`${url}/events/t`);
        await witness.next();
        let n = 0;
        let publishing = true;
        const publish = async (): Promise<void> => {
          while (publishing) {
            checker.recordPublished(await sse.publish('t', 'n', { topic: 't', n }), 't', n);
            n++;
            await delay(2);
          }
        };
        const visit = async (rounds: number): Promise<void> => {
          const visitor = async (): Promise<void> => {
            for (let i = 0; i < rounds / AT_A_TIME; i++) {
              await comeAndGo(url, pick(random, moments), pick(random, departures), first);
              await delay(integer(random, 0, 2));
            }
          };
          await Promise.all(Array.from({ length: AT_A_TIME }, visitor));
          await until('only the witness is left', () => sse.getClientCount() === 1);
        };

        const published = publish();
        await visit(100);
        const before = await heap();
        await visit(ROUNDS);
        record({ faults: ROUNDS });
        publishing = false;
        await published;
        await until('only the witness is connected', async () => (await connectionsOf(server)) === 1);
        expect(sse.stats().topics).toBe(1);
        await witness.until(() => checker.placeOf(witness.lastEventId) === checker.size - 1);
        expect(checker.faultsOf(['t'], witness.events)).toEqual([]);

        // What the witness and the checker remember grows with what was published.
        expect((await heap()) - before).toBeLessThan(4 * MiB + checker.size * 2 * KiB);
        await until('nobody holds them or their responses', () => {
          collectGarbage();
          return [responses, clients].every((all) => all.filter((one) => one.deref()).length <= AT_A_TIME);
        });
        expect(responses.length).toBeGreaterThan(ROUNDS / 2);
        expect(clients.length).toBeGreaterThan(ROUNDS / 4);
      });
    });

    describe(`C5: the peer of ${transport.name} on ${platform.name} disappears without FIN`, () => {
      const disappear = async (config: object) => {
        const { app, url, sse } = await start(transport, config);
        const reasons = disconnectReasons(bench, sse);
        const proxy = await Proxy.start(url);
        bench.onEnd(() => proxy.close());
        const stream = await bench.open(`${proxy.url}/events/t`);
        await stream.next();
        proxy.blackhole();
        stream.close();
        await delay(50);
        expect(sse.getClientCount()).toBe(1);
        return { sse, reasons, server: app.getHttpServer() as Server };
      };

      it('C5: is gone by maxConnectionAge', async () => {
        const { sse, reasons } = await disappear({ maxConnectionAge: 3_000 });
        await until('it is gone', () => sse.getClientCount() === 0);
        expect(reasons).toEqual(['age']);
      });

      it('C5: is gone by slowTimeout once data is waiting, with its connection', async () => {
        const { sse, reasons, server } = await disappear({ slowTimeout: 600 });
        // Nothing is waiting, so nothing is wrong.
        await delay(700);
        expect(sse.getClientCount()).toBe(1);
        await publishMuch(sse, new Checker());
        await until('it is gone', () => sse.getClientCount() === 0);
        expect(reasons).toEqual(['slow']);
        expect(sse.stats().slow).toBe(1);
        await until('so is its connection', async () => (await connectionsOf(server)) === 0);
      });
    });
  }
}
