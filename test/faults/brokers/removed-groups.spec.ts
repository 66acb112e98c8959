import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';

import { afterAll, describe, expect, it } from '@jest/globals';
import { type CanActivate, Controller, Inject, Injectable, Module } from '@nestjs/common';
import { APP_GUARD } from '@nestjs/core';
import { type Backplane, EventStream, MemoryBackplane, SSEService } from 'nestjs-sse-hub';
import { TestNode } from 'nestjs-sse-hub/testing';

import { type Cursor, formatCursor, parseCursor } from '../../../src/protocol/cursor.js';
import { returnToBaseline, until } from '../../support/baseline.js';
import { type Broker, brokerKinds } from '../../support/brokers/brokers.js';
import { platforms } from '../../support/platforms.js';
import { type EventStream as OpenStream, open } from '../../support/readers/event-stream.js';
import { integer, pick, seededRandom } from '../../support/seed.js';
import { transports } from '../../support/stream-controllers.js';

const bench = returnToBaseline();
const brokers: Broker[] = [];

// Behind the nodes of the last test.
afterAll(() => Promise.all(brokers.map((broker) => broker.remove())));

const CLIENTS = 1_000;
const GROUPS = ['removed', 'unsubscribed', 'bystanders'];

/** `GET /<group>` follows `t` and `other`. */
async function serve(backplane: Backplane) {
  const sse = bench.watch(new SSEService({ backplane, maxClients: CLIENTS, heartbeatInterval: 0 }));
  const server = http.createServer((request, response) => {
    sse.createClient(response, { topics: ['t', 'other'], group: request.url!.slice(1) });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  await sse.start();
  bench.onEnd(() => {
    server.closeAllConnections();
    server.close();
  });
  return { sse, url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` };
}

/** What somebody might claim to have, who has seen a cursor or two. */
function forge({ epoch, position }: Cursor, random: () => number): string {
  const { ms, seq } = position;
  return pick(random, [
    () => formatCursor(epoch, position),
    () => formatCursor(epoch, { ms: ms + integer(random, -50, 200), seq: integer(random, 0, 40) }),
    () => formatCursor(epoch, { ms: ms + integer(random, 0, 2_000), seq }),
    () => formatCursor(epoch, { ms: ms + 3_600_000, seq: 0 }),
    () => formatCursor(epoch, { ms: Number.MAX_SAFE_INTEGER, seq: Number.MAX_SAFE_INTEGER }),
    () => formatCursor(`${epoch}0`, { ms: ms + 100, seq }),
    () => `${formatCursor(epoch, { ms: ms + integer(random, 0, 500), seq })}~i`,
    () => formatCursor(epoch, { ms: 0, seq: 0 }),
    () => '1~new',
    () => 'an id of its own',
    () => '',
  ])();
}

/** The number that an event was published with. */
function numberOf({ data }: { readonly data: string }): number {
  return Number(JSON.parse(data));
}

/**
 * Many with forged cursors on three nodes, under load; then a group is signed out and another one loses a topic. What is
 * published behind that by the same node must not reach them.
 */
async function signOut(backplanes: readonly Backplane[], lag: () => void, catchUp: () => void): Promise<void> {
  const random = seededRandom(16);
  const nodes = await Promise.all(backplanes.map((backplane) => serve(backplane)));
  const [{ sse }] = nodes as [(typeof nodes)[number]];
  let n = 0;
  const publishSome = async (): Promise<Cursor> => {
    const cursors = await Promise.all(['t', 'other', 't'].map((topic) => sse.publish(topic, 'n', ++n)));
    return parseCursor(cursors.at(-1)!)!;
  };
  let cursor = await publishSome();
  lag();
  const streams: { readonly group: string; readonly stream: OpenStream }[] = [];
  while (streams.length < CLIENTS) {
    cursor = await publishSome();
    const comers = Array.from({ length: 50 }, async (_, i) => {
      const group = GROUPS[i % GROUPS.length]!;
      const { url } = nodes[i % nodes.length]!;
      const stream = await open(`${url}/${group}`, { lastEventId: forge(cursor, random) });
      stream.request.on('error', () => {});
      return { group, stream };
    });
    streams.push(...(await Promise.all(comers)));
  }
  await publishSome();
  sse.removeGroup('removed', { reconnect: false });
  sse.unsubscribeGroup('unsubscribed', 't');
  const behind = n;
  await publishSome();
  await turn();
  catchUp();
  for (let i = 0; i < 5; i++) await publishSome();
  const lastOfOther = n - 1;

  const groupOf = (name: string) => streams.filter(({ group }) => group === name).map(({ stream }) => stream);
  const has = (stream: OpenStream, number: number) => stream.messages.some((event) => numberOf(event) === number);
  await until('the signed out are gone', () => groupOf('removed').every(({ ended }) => ended));
  for (const group of ['unsubscribed', 'bystanders']) {
    await until(`${group} go on`, () => groupOf(group).every((stream) => has(stream, lastOfOther)));
  }
  await until('bystanders have all', () => groupOf('bystanders').every((stream) => has(stream, n)));
  const leaked = streams.filter(({ group, stream }) => {
    const late = stream.messages.map(numberOf).filter((number) => number > behind);
    if (group === 'removed') return late.length > 0;
    // Of three each the second is of the other topic.
    return group === 'unsubscribed' && late.some((number) => number % 3 !== 2);
  });
  expect(leaked.map(({ group, stream }) => [group, stream.messages.slice(-3)])).toEqual([]);
}

describe(`B16: ${CLIENTS} clients with cursors forged in every part, on three nodes under load, of a group that is signed out`, () => {
  it('get nothing that is behind it, also on nodes that read late', async () => {
    const log = new MemoryBackplane();
    const views = [new TestNode(log), new TestNode(log)];
    await signOut(
      [log, ...views],
      () => views.forEach((view) => view.hold()),
      () => views.forEach((view) => view.release()),
    );
  });

  for (const kind of brokerKinds) {
    (kind.isInstalled ? it : it.skip)(`get nothing that is behind it through ${kind.name}`, async () => {
      const broker = await kind.start({ persistent: false });
      brokers.push(broker);
      const nothing = (): void => {};
      const nodes = Array.from({ length: 3 }, () => broker.backplane());
      await signOut(nodes, nothing, nothing);
    });
  }
});

for (const platform of platforms) {
  for (const transport of transports) {
    describe(`B17: a right that is taken away while a handler decides: ${transport.name} on ${platform.name}`, () => {
      it('holds for the stream that the handler opens behind it: its client is asked again', async () => {
        const rights = new Set(['t']);
        let deciding: Promise<void> = Promise.resolve();
        let decided = (): void => {};
        let asked = 0;

        @Injectable()
        class RightsGuard implements CanActivate {
          async canActivate(): Promise<boolean> {
            const isAllowed = rights.has('t');
            asked++;
            await deciding;
            return isAllowed;
          }
        }

        @Module({ providers: [{ provide: APP_GUARD, useClass: RightsGuard }] })
        class RightsModule {}

        const { sse, url } = await bench.start(platform, {
          imports: [RightsModule],
          controllers: [transport.controller(() => ({ group: 'user:42' }))],
        });
        for (const act of [
          () => sse.unsubscribeGroup('user:42', 't'),
          () => sse.removeGroup('user:42'),
          () => sse.subscribeGroup('user:42', 'another'),
        ]) {
          rights.add('t');
          const cursor = sse.cursor();
          deciding = new Promise((resolve) => (decided = resolve));
          const before = asked;
          const opening = bench.open(`${url}/events/t`, { lastEventId: cursor });
          await until('the guard has looked', () => asked > before);
          rights.delete('t');
          act();
          sse.broadcast('t', 'n', 'not for it');
          decided();
          const stream = await opening;
          await stream.untilEnd();
          expect(stream.data).toEqual([]);
          expect(stream.events.map(({ event }) => event)).toEqual(['sse.busy']);
          const again = await bench.open(`${url}/events/t`, { lastEventId: stream.lastEventId });
          expect(again.status).toBe(403);
        }
        // What was done before a request came is nothing to it.
        rights.add('t');
        deciding = Promise.resolve();
        const allowed = await bench.open(`${url}/events/t`);
        await allowed.next();
        sse.broadcast('t', 'n', 'for it');
        expect(await allowed.messagesUpTo(1)).toEqual(['for it']);
      });
    });
  }

  describe(`B17: a handler that ends the other streams of its user on ${platform.name}`, () => {
    it('opens one that stays', async () => {
      @Controller()
      class OnlyOneController {
        constructor(@Inject(SSEService) private readonly sse: SSEService) {}

        @EventStream('events')
        events() {
          this.sse.removeGroup('user:42', { reconnect: false });
          return { topics: 't', group: 'user:42' };
        }
      }
      const { sse, url } = await bench.start(platform, { controllers: [OnlyOneController] });
      const first = await bench.open(`${url}/events`);
      await first.next();
      const second = await bench.open(`${url}/events`);
      await first.untilEnd();
      await second.next();
      sse.broadcast('t', 'n', 1);
      expect(await second.messagesUpTo(1)).toEqual([1]);
    });
  });
}
