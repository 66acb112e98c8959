import { AsyncLocalStorage } from 'node:async_hooks';

import { describe, expect, it } from '@jest/globals';
import { EventSource } from 'eventsource';
import { type ConnectionChange, SSEError, topicPattern } from 'nestjs-sse-hub';
import type { ReceivedEvent, TestStream } from 'nestjs-sse-hub/testing';

import { returnToBaseline, until } from '../support/baseline.js';
import { platforms } from '../support/platforms.js';
import { direct, transports } from '../support/stream-controllers.js';

const bench = returnToBaseline();

const ISO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

function idOf(stream: TestStream): string {
  return stream.opened!.clientId;
}

function dataOf(events: readonly ReceivedEvent[]): unknown[] {
  return events.map(({ data }) => data);
}

function codeOf(act: () => unknown): unknown {
  try {
    act();
  } catch (error) {
    return error instanceof SSEError ? error.code : error;
  }
  return 'nothing thrown';
}

for (const platform of platforms) {
  for (const transport of transports) {
    describe(`${transport.name} on ${platform.name}`, () => {
      it('shows a client with all its fields, lastEventAt and lastHeartbeatAt true', async () => {
        const controller = transport.controller(() => ({ group: 'user:42', metadata: { plan: 'free' } }));
        const { app, sse } = await bench.start(platform, {
          config: { heartbeatInterval: 60 },
          controllers: [controller],
        });
        const started = Date.now();
        const stream = await bench.stream(app, '/events/a,b');
        const id = idOf(stream);
        const client = sse.getClient(id)!;
        expect(client).toMatchObject({ id, connected: true, group: 'user:42', metadata: { plan: 'free' } });
        expect([...client.topics]).toEqual(['a', 'b']);
        expect(client.connectedAt).toMatch(ISO_TIME);
        expect(Date.parse(client.connectedAt)).toBeGreaterThanOrEqual(started - 50);
        expect(client.lastEventAt).toBeUndefined();
        await until('a heartbeat', () => client.lastHeartbeatAt !== undefined);
        expect(Date.parse(client.lastHeartbeatAt!)).toBeGreaterThanOrEqual(started + 50);
        const published = Date.now();
        sse.broadcast('a', 'n', 1);
        const { lastEventId } = await stream.next();
        expect(client.lastEventId).toBe(lastEventId);
        expect(client.lastEventAt).toMatch(ISO_TIME);
        expect(Date.parse(client.lastEventAt!)).toBeGreaterThanOrEqual(published - 5);
        expect(client.response !== undefined).toBe(transport === direct);
        stream.close();
        await until('it is gone', () => !client.connected);
        expect(sse.getClient(id)).toBeUndefined();
      });

      it('runs `initial` in the context of its own request, whoever else has published in that turn', async () => {
        const users = new AsyncLocalStorage<string>();
        const controller = transport.controller(() => {
          users.run('somebody else', () => sse.broadcast('other', 'n', 1));
          return { initial: () => ({ event: 'user', data: users.getStore() ?? 'nobody' }) };
        });
        const { app, sse } = await bench.start(platform, {
          controllers: [controller],
          prepare: (app) => app.use((_request: unknown, _response: unknown, next: () => void) => users.run('me', next)),
        });
        const stream = await bench.stream(app, '/events/a');
        expect(dataOf(await stream.take(1))).toEqual(['me']);
      });

      it('subscribe and unsubscribe by client id change what a client gets, by pattern too', async () => {
        const { app, sse } = await bench.start(platform, { controllers: [transport.controller()] });
        const stream = await bench.stream(app, '/events/a');
        const id = idOf(stream);
        expect(sse.subscribe(id, 'b')).toBe(true);
        expect(sse.subscribe(id, topicPattern('dashboard:*'))).toBe(true);
        expect([...sse.getClient(id)!.topics].toSorted()).toEqual(['a', 'b', 'dashboard:*']);
        sse.broadcast('b', 'n', 1);
        sse.broadcast('dashboard:cpu', 'n', 2);
        sse.broadcast('dashboard:cpu:0', 'n', 'too deep');
        expect(dataOf(await stream.take(2))).toEqual([1, 2]);
        expect(sse.unsubscribe(id, 'b')).toBe(true);
        expect(sse.unsubscribe(id, topicPattern('dashboard:*'))).toBe(true);
        expect(sse.unsubscribe(id, 'b')).toBe(false);
        sse.broadcast('b', 'n', 'no more');
        sse.broadcast('a', 'n', 3);
        expect(dataOf(await stream.take(1))).toEqual([3]);
        expect(sse.subscribe('nobody', 'a')).toBe(false);
        expect(sse.unsubscribe('nobody', 'a')).toBe(false);
      });

      it('a subscription can have a filter of its own', async () => {
        const { app, sse } = await bench.start(platform, { controllers: [transport.controller()] });
        const stream = await bench.stream(app, '/events/a');
        const id = idOf(stream);
        sse.subscribe(id, 'b', { filter: ({ data }) => Number(data) % 2 === 0 });
        for (let n = 1; n <= 4; n++) sse.broadcast('b', 'n', n);
        sse.broadcast('a', 'n', 5);
        expect(dataOf(await stream.take(3))).toEqual([2, 4, 5]);
      });

      it('sendEvent and sendTo reach one client, in its turn, without disturbing its cursor', async () => {
        const { app, sse } = await bench.start(platform, { controllers: [transport.controller()] });
        const [one, other] = [await bench.stream(app, '/events/t'), await bench.stream(app, '/events/t')];
        const id = idOf(one);
        sse.broadcast('t', 'n', 1);
        sse.sendEvent(id, { event: 'private', data: 'for you', id: 'own-id' });
        sse.broadcast('t', 'n', 2);
        expect(sse.sendTo(id, 'private', 'and this')).toBe(true);
        expect(dataOf(await one.take(4))).toEqual([1, 'for you', 2, 'and this']);
        expect(dataOf(await other.take(2))).toEqual([1, 2]);
        const resumed = await bench.stream(app, '/events/t', { lastEventId: one.lastEventId });
        expect(resumed.opened?.resumed).toBe('full');
        sse.broadcast('t', 'n', 3);
        expect(dataOf(await resumed.take(1))).toEqual([3]);
      });

      it('tells apart by error.code: CLIENT_NOT_FOUND, SEND_ERROR', async () => {
        const { url, sse } = await bench.start(platform, {
          config: { highWaterMark: 1_000 },
          controllers: [transport.controller()],
        });
        expect(codeOf(() => sse.sendEvent('nobody', { data: 1 }))).toBe('CLIENT_NOT_FOUND');
        expect(sse.sendTo('nobody', 'n', 1)).toBe(false);
        expect(sse.removeClient('nobody')).toBe(false);
        const stream = await bench.connect(`${url}/events/t`);
        const id = (JSON.parse(stream.events[0]!.data) as { clientId: string }).clientId;
        stream.response.pause();
        const large = 'x'.repeat(500_000);
        // A client may be full for a moment only, because it is the turn of others: this one stays so.
        let refused = 0;
        for (let i = 0; i < 400 && refused < 20; i++) {
          const code = codeOf(() => sse.sendEvent(id, { data: large }));
          refused = code === 'SEND_ERROR' ? refused + 1 : 0;
          await new Promise((resolve) => setTimeout(resolve, 1));
        }
        expect(refused).toBe(20);
        expect(sse.sendTo(id, 'n', large)).toBe(false);
        expect(sse.getClient(id)?.connected).toBe(true);
        stream.close();
      });

      it('says how many entries a client is behind that takes nothing, and 0 when it has got there', async () => {
        const { url, sse } = await bench.start(platform, { controllers: [transport.controller()] });
        const stream = await bench.connect(`${url}/events/t`);
        const [client] = sse.getClients();
        sse.broadcast('t', 'n', 'first');
        await stream.messagesUpTo(1);
        expect(client!.behind).toBe(0);
        stream.response.pause();
        const payload = 'x'.repeat(1_000_000);
        let published = 1;
        await until('it is behind', () => {
          sse.broadcast('t', 'n', payload);
          published++;
          return client!.behind > 1;
        });
        const { behind } = client!;
        expect(behind).toBeLessThan(published);
        for (let i = 0; i < 5; i++) sse.broadcast('other', 'n', i);
        expect(client!.behind).toBe(behind + 5);
        expect(JSON.parse(JSON.stringify(client))).toMatchObject({ behind: behind + 5 });
        stream.response.resume();
        await stream.messagesUpTo(published);
        await until('it has got there', () => client!.behind === 0);
        stream.response.pause();
        await until('it is behind again', () => {
          sse.broadcast('t', 'n', payload);
          return client!.behind > 1;
        });
        stream.close();
        await until('it is gone', () => !client!.connected);
        expect(client!.behind).toBe(0);
      });

      it('removeClient and removeGroup end streams; with reconnect: false an EventSource stays away', async () => {
        const controller = transport.controller(() => ({ group: 'user:42' }));
        const { url, sse } = await bench.start(platform, { config: { retryInterval: 20 }, controllers: [controller] });
        const source = new EventSource(`${url}/events/t`);
        let opened = 0;
        source.addEventListener('sse.open', () => opened++);
        await until('it is open', () => opened === 1);
        sse.removeClient(sse.getClients()[0]!.id);
        await until('it is back', () => opened === 2);
        sse.removeGroup('user:42');
        await until('it is back again', () => opened === 3);
        sse.removeGroup('nobody', { reconnect: false });
        sse.removeGroup('user:42', { reconnect: false });
        await until('it is closed for good', () => source.readyState === EventSource.CLOSED);
        expect(opened).toBe(3);
        expect(sse.getClientCount()).toBe(0);
      });

      it('lists clients by topic and by group, oldest first, and counts them', async () => {
        const controller = transport.controller(() => ({ group: 'user:42' }));
        const { app, sse } = await bench.start(platform, { controllers: [controller] });
        const streams = [
          await bench.stream(app, '/events/a'),
          await bench.stream(app, '/events/a,b'),
          await bench.stream(app, '/events/c'),
        ];
        const ids: string[] = [];
        for (const stream of streams) ids.push(idOf(stream));
        sse.subscribe(ids[2]!, topicPattern('**'));
        const idsOf = (clients: { id: string }[]): string[] => clients.map(({ id }) => id);
        expect(idsOf(sse.getClients())).toEqual(ids);
        expect(idsOf(sse.getClientsByTopic('a'))).toEqual(ids);
        expect(idsOf(sse.getClientsByTopic('b'))).toEqual([ids[1], ids[2]]);
        expect(idsOf(sse.getClientsByGroup('user:42'))).toEqual(ids);
        expect(sse.getClientsByGroup('nobody')).toEqual([]);
        expect([sse.getClientCount(), sse.getClientCount('a'), sse.getClientCount('zzz')]).toEqual([3, 3, 1]);
      });

      it('reports connections as they come and go, with the reason', async () => {
        const { app, sse } = await bench.start(platform, { controllers: [transport.controller()] });
        const changes: ConnectionChange[] = [];
        sse.connections.subscribe((change) => changes.push(change));
        const first = await bench.stream(app, '/events/t');
        first.close();
        await until('it is gone', () => sse.getClientCount() === 0);
        const second = await bench.stream(app, '/events/t');
        sse.removeClient(idOf(second));
        expect(await second.ended()).toBe('end');
        expect(changes.map(({ type, reason }) => reason ?? type)).toEqual(['connect', 'closed', 'connect', 'removed']);
      });

      it('startHeartbeat and stopHeartbeat change the heartbeat of one client', async () => {
        const { app, sse } = await bench.start(platform, {
          config: { heartbeatInterval: 0 },
          controllers: [transport.controller()],
        });
        const stream = await bench.stream(app, '/events/t');
        const id = idOf(stream);
        sse.startHeartbeat(id, 30);
        expect(stream.comments).toEqual([]);
        await stream.comment();
        expect(sse.getClient(id)?.lastHeartbeatAt).toMatch(ISO_TIME);
        sse.stopHeartbeat(id);
        const { heartbeats } = sse.stats();
        await new Promise((resolve) => setTimeout(resolve, 200));
        expect(sse.stats().heartbeats).toBe(heartbeats);
        sse.startHeartbeat('nobody');
        sse.stopHeartbeat('nobody');
      });

      it('counts what it does', async () => {
        const { app, sse } = await bench.start(platform, { controllers: [transport.controller()] });
        const stream = await bench.stream(app, '/events/t');
        sse.broadcast('t', 'n', 1);
        sse.broadcast('t', 'n', 2);
        const [first] = await stream.take(2);
        const resumed = await bench.stream(app, '/events/t', { lastEventId: first!.lastEventId });
        await resumed.next();
        const stats = sse.stats();
        expect(stats).toMatchObject({ clients: 2, topics: 1, published: 2, delivered: 3, replayed: 1, resets: {} });
        expect(stats).toMatchObject({ history: { events: 2 }, backplane: { kind: 'memory', status: 'up' } });
        expect(JSON.parse(JSON.stringify(stats))).toEqual(stats);
      });
    });
  }
}
