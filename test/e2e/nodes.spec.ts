import { describe, expect, it } from '@jest/globals';
import { MemoryBackplane, SSEService, topicPattern } from 'nestjs-sse-hub';
import { TestLog } from 'nestjs-sse-hub/testing';

import { returnToBaseline, until } from '../support/baseline.js';
import { platforms } from '../support/platforms.js';
import { transports } from '../support/stream-controllers.js';

const bench = returnToBaseline();

for (const platform of platforms) {
  for (const transport of transports) {
    describe(`two nodes on one log, ${transport.name} on ${platform.name}`, () => {
      const controllers = [transport.controller(() => ({ group: 'user:42' }))];
      const startTwo = async () => {
        const backplane = new MemoryBackplane();
        const one = await bench.start(platform, { config: { backplane }, controllers });
        const other = await bench.start(platform, { config: { backplane }, controllers });
        return [one, other] as const;
      };

      it('subscribeGroup and unsubscribeGroup reach the open streams of a group wherever they are', async () => {
        const [one, other] = await startTwo();
        const streams = [await bench.stream(one.app, '/events/me'), await bench.stream(other.app, '/events/me')];
        one.sse.broadcast('room:7', 'n', 'before');
        one.sse.subscribeGroup('user:42', 'room:7');
        one.sse.subscribeGroup('user:43', 'me');
        other.sse.broadcast('room:7', 'n', 1);
        other.sse.subscribeGroup('user:42', topicPattern('news:*'));
        one.sse.broadcast('news:today', 'n', 2);
        other.sse.unsubscribeGroup('user:42', 'room:7');
        other.sse.unsubscribeGroup('user:42', topicPattern('news:*'));
        one.sse.broadcast('room:7', 'n', 'after');
        one.sse.broadcast('news:today', 'n', 'after');
        one.sse.broadcast('me', 'n', 3);
        for (const stream of streams) expect((await stream.take(3)).map(({ data }) => data)).toEqual([1, 2, 3]);
        expect(other.sse.getClients().map(({ topics }) => [...topics])).toEqual([['me']]);
      });

      it('countClients counts the clients of all nodes, each once, until they leave', async () => {
        const [one, other] = await startTwo();
        const streams = [await bench.stream(one.app, '/events/a,b'), await bench.stream(other.app, '/events/a')];
        other.sse.subscribeGroup('user:42', topicPattern('*'));
        for (const { sse } of [one, other]) {
          expect([await sse.countClients('a'), sse.getClientCount('a')]).toEqual([2, 1]);
          expect([await sse.countClients('b'), await sse.countClients('c:d')]).toEqual([2, 0]);
        }
        streams[1]!.close();
        await until('it is gone', async () => (await one.sse.countClients('a')) === 1);
        await other.close();
        expect(await one.sse.countClients('b')).toBe(1);
        await expect(one.sse.countClients('a*')).rejects.toMatchObject({ code: 'INVALID_TOPIC' });
      });

      it('a client that comes while the broker is away has its headers, retry and heartbeats, and then the rest', async () => {
        const log = new TestLog();
        const backplane = log.node();
        backplane.down();
        const config = { backplane, heartbeatInterval: 100, retryInterval: 700, maxClients: 2 };
        const { app, sse } = await bench.start(platform, { config, controllers });
        const lastEventId = await new SSEService({ backplane: log }).publish('t', 'n', 1);
        const fresh = await bench.stream(app, '/events/t');
        const back = await bench.stream(app, '/events/t', { lastEventId });
        for (const stream of [fresh, back]) {
          expect(await stream.comment()).toBe('');
          expect(await stream.comment()).toBe('');
          expect(stream.retry).toBeGreaterThanOrEqual(700);
        }
        // What each came with is what it comes back with.
        const cursors = [fresh, back].map(({ received }) => received.map((event) => [event.event, event.lastEventId]));
        expect(cursors).toEqual([[['sse.cursor', '1~new']], [['sse.cursor', lastEventId]]]);
        expect(sse.stats()).toMatchObject({ clients: 2, backplane: { kind: 'test', status: 'down' } });
        await (await bench.stream(app, '/events/t')).next('sse.busy');
        sse.broadcast('t', 'n', 'waits');
        await expect(sse.publish('t', 'n', 'lost')).rejects.toMatchObject({ code: 'BACKPLANE_UNAVAILABLE' });
        await expect(sse.countClients('t')).rejects.toMatchObject({ code: 'BACKPLANE_UNAVAILABLE' });
        await expect(sse.groupsOf('t')).rejects.toMatchObject({ code: 'BACKPLANE_UNAVAILABLE' });
        backplane.up();
        expect((await fresh.next('sse.open')).data.resumed).toBe('none');
        expect((await back.next('sse.open')).data.resumed).toBe('full');
        sse.broadcast('t', 'n', 2);
        // Who is new begins at the end.
        expect((await fresh.next()).data).toBe(2);
        expect((await back.take(2)).map(({ data }) => data)).toEqual(['waits', 2]);
        expect(sse.stats()).toMatchObject({ publishFailures: 0, backplane: { status: 'up' } });
      });
    });
  }
}

describe('what is refused', () => {
  it('a topic or pattern for a group that could be none', () => {
    const sse = bench.watch(new SSEService());
    const invalid = expect.objectContaining({ code: 'INVALID_TOPIC' });
    for (const topic of ['', 'room:*', topicPattern('room*')]) {
      expect(() => sse.subscribeGroup('g', topic)).toThrow(invalid);
      expect(() => sse.unsubscribeGroup('g', topic)).toThrow(invalid);
    }
  });

  it('counting and groups after shutdown; with enabled: false there is nobody', async () => {
    const sse = bench.watch(new SSEService());
    await sse.shutdown();
    await expect(sse.countClients('t')).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
    await expect(sse.groupsOf('t')).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
    expect(() => sse.subscribeGroup('g', 't')).toThrow(expect.objectContaining({ code: 'SHUTTING_DOWN' }));
    expect(await bench.watch(new SSEService({ enabled: false })).countClients('t')).toBe(0);
    expect(await bench.watch(new SSEService({ enabled: false })).groupsOf('t')).toEqual([]);
  });
});
