import { AsyncLocalStorage } from 'node:async_hooks';

import { afterEach, describe, expect, it } from '@jest/globals';
import { EventSource } from 'eventsource';
import { type ConnectionChange, SSEError, topicPattern } from 'nestjs-sse-hub';

import { until } from '../support/baseline.js';
import { closeAll, platforms, startApp } from '../support/platforms.js';
import { type EventStream, open } from '../support/readers/event-stream.js';
import { direct, transports } from '../support/stream-controllers.js';

afterEach(closeAll);

const ISO_TIME = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/;

async function idOf(stream: EventStream): Promise<string> {
  return (JSON.parse((await stream.next()).data) as { clientId: string }).clientId;
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
        const { url, sse } = await startApp(platform, { config: { heartbeatInterval: 60 }, controllers: [controller] });
        const started = Date.now();
        const stream = await open(`${url}/events/a,b`);
        const id = await idOf(stream);
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
        const { lastEventId } = await stream.nextMessage();
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
        const { url, sse } = await startApp(platform, {
          controllers: [controller],
          prepare: (app) => app.use((_request: unknown, _response: unknown, next: () => void) => users.run('me', next)),
        });
        const stream = await open(`${url}/events/a`);
        expect(await stream.messagesUpTo(1)).toEqual(['me']);
        stream.close();
      });

      it('subscribe and unsubscribe by client id change what a client gets, by pattern too', async () => {
        const { url, sse } = await startApp(platform, { controllers: [transport.controller()] });
        const stream = await open(`${url}/events/a`);
        const id = await idOf(stream);
        expect(sse.subscribe(id, 'b')).toBe(true);
        expect(sse.subscribe(id, topicPattern('dashboard:*'))).toBe(true);
        expect([...sse.getClient(id)!.topics].toSorted()).toEqual(['a', 'b', 'dashboard:*']);
        sse.broadcast('b', 'n', 1);
        sse.broadcast('dashboard:cpu', 'n', 2);
        sse.broadcast('dashboard:cpu:0', 'n', 'too deep');
        expect(await stream.messagesUpTo(2)).toEqual([1, 2]);
        expect(sse.unsubscribe(id, 'b')).toBe(true);
        expect(sse.unsubscribe(id, topicPattern('dashboard:*'))).toBe(true);
        expect(sse.unsubscribe(id, 'b')).toBe(false);
        sse.broadcast('b', 'n', 'no more');
        sse.broadcast('a', 'n', 3);
        expect(await stream.messagesUpTo(3)).toEqual([1, 2, 3]);
        expect(sse.subscribe('nobody', 'a')).toBe(false);
        expect(sse.unsubscribe('nobody', 'a')).toBe(false);
        stream.close();
      });

      it('a subscription can have a filter of its own', async () => {
        const { url, sse } = await startApp(platform, { controllers: [transport.controller()] });
        const stream = await open(`${url}/events/a`);
        const id = await idOf(stream);
        sse.subscribe(id, 'b', { filter: ({ data }) => Number(data) % 2 === 0 });
        for (let n = 1; n <= 4; n++) sse.broadcast('b', 'n', n);
        sse.broadcast('a', 'n', 5);
        expect(await stream.messagesUpTo(3)).toEqual([2, 4, 5]);
        stream.close();
      });

      it('sendEvent and sendTo reach one client, in its turn, without disturbing its cursor', async () => {
        const { url, sse } = await startApp(platform, { controllers: [transport.controller()] });
        const [one, other] = [await open(`${url}/events/t`), await open(`${url}/events/t`)];
        const id = await idOf(one);
        await idOf(other);
        sse.broadcast('t', 'n', 1);
        sse.sendEvent(id, { event: 'private', data: 'for you', id: 'own-id' });
        sse.broadcast('t', 'n', 2);
        expect(sse.sendTo(id, 'private', 'and this')).toBe(true);
        expect(await one.messagesUpTo(4)).toEqual([1, 'for you', 2, 'and this']);
        expect(await other.messagesUpTo(2)).toEqual([1, 2]);
        const resumed = await open(`${url}/events/t`, { lastEventId: one.lastEventId });
        expect(JSON.parse((await resumed.next()).data)).toMatchObject({ resumed: 'full' });
        sse.broadcast('t', 'n', 3);
        expect(await resumed.messagesUpTo(1)).toEqual([3]);
        for (const stream of [one, other, resumed]) stream.close();
      });

      it('tells apart by error.code: CLIENT_NOT_FOUND, SEND_ERROR', async () => {
        const { url, sse } = await startApp(platform, {
          config: { highWaterMark: 1_000 },
          controllers: [transport.controller()],
        });
        expect(codeOf(() => sse.sendEvent('nobody', { data: 1 }))).toBe('CLIENT_NOT_FOUND');
        expect(sse.sendTo('nobody', 'n', 1)).toBe(false);
        expect(sse.removeClient('nobody')).toBe(false);
        const stream = await open(`${url}/events/t`);
        const id = await idOf(stream);
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

      it('removeClient and removeGroup end streams; with reconnect: false an EventSource stays away', async () => {
        const controller = transport.controller(() => ({ group: 'user:42' }));
        const { url, sse } = await startApp(platform, { config: { retryInterval: 20 }, controllers: [controller] });
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
        const { url, sse } = await startApp(platform, { controllers: [controller] });
        const streams = [await open(`${url}/events/a`), await open(`${url}/events/a,b`), await open(`${url}/events/c`)];
        const ids: string[] = [];
        for (const stream of streams) ids.push(await idOf(stream));
        sse.subscribe(ids[2]!, topicPattern('**'));
        const idsOf = (clients: { id: string }[]): string[] => clients.map(({ id }) => id);
        expect(idsOf(sse.getClients())).toEqual(ids);
        expect(idsOf(sse.getClientsByTopic('a'))).toEqual(ids);
        expect(idsOf(sse.getClientsByTopic('b'))).toEqual([ids[1], ids[2]]);
        expect(idsOf(sse.getClientsByGroup('user:42'))).toEqual(ids);
        expect(sse.getClientsByGroup('nobody')).toEqual([]);
        expect([sse.getClientCount(), sse.getClientCount('a'), sse.getClientCount('zzz')]).toEqual([3, 3, 1]);
        for (const stream of streams) stream.close();
      });

      it('reports connections as they come and go, with the reason', async () => {
        const { url, sse } = await startApp(platform, { controllers: [transport.controller()] });
        const changes: ConnectionChange[] = [];
        sse.connections.subscribe((change) => changes.push(change));
        const first = await open(`${url}/events/t`);
        await idOf(first);
        first.close();
        await until('it is gone', () => sse.getClientCount() === 0);
        const second = await open(`${url}/events/t`);
        sse.removeClient(await idOf(second));
        await second.untilEnd();
        expect(changes.map(({ type, reason }) => reason ?? type)).toEqual(['connect', 'closed', 'connect', 'removed']);
      });

      it('startHeartbeat and stopHeartbeat change the heartbeat of one client', async () => {
        const { url, sse } = await startApp(platform, {
          config: { heartbeatInterval: 0 },
          controllers: [transport.controller()],
        });
        const stream = await open(`${url}/events/t`);
        const id = await idOf(stream);
        const quiet = stream.raw;
        sse.startHeartbeat(id, 30);
        await stream.until(() => stream.raw.slice(quiet.length).includes(':'));
        expect(sse.getClient(id)?.lastHeartbeatAt).toMatch(ISO_TIME);
        sse.stopHeartbeat(id);
        const { heartbeats } = sse.stats();
        await new Promise((resolve) => setTimeout(resolve, 200));
        expect(sse.stats().heartbeats).toBe(heartbeats);
        sse.startHeartbeat('nobody');
        sse.stopHeartbeat('nobody');
        stream.close();
      });

      it('counts what it does', async () => {
        const { url, sse } = await startApp(platform, { controllers: [transport.controller()] });
        const stream = await open(`${url}/events/t`);
        await idOf(stream);
        sse.broadcast('t', 'n', 1);
        sse.broadcast('t', 'n', 2);
        await stream.messagesUpTo(2);
        const resumed = await open(`${url}/events/t`, { lastEventId: stream.messages[0]!.lastEventId });
        await resumed.messagesUpTo(1);
        const stats = sse.stats();
        expect(stats).toMatchObject({ clients: 2, topics: 1, published: 2, delivered: 3, replayed: 1, resets: {} });
        expect(stats).toMatchObject({ history: { events: 2 }, backplane: { kind: 'memory', status: 'up' } });
        expect(JSON.parse(JSON.stringify(stats))).toEqual(stats);
        stream.close();
        resumed.close();
      });
    });
  }
}
