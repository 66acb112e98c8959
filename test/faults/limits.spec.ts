import { Agent, type IncomingMessage, type Server } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

import { describe, expect, it } from '@jest/globals';
import { Controller, Get, Inject, Param, Query, Res, Sse } from '@nestjs/common';
import {
  type ClientOptions,
  type NodeResponseLike,
  type OnGroupLimit,
  type OnLimit,
  SSEService,
  topicPattern,
} from 'nestjs-sse-hub';

import { returnToBaseline, until } from '../support/baseline.js';
import { RecordedEventSource } from '../support/event-source.js';
import type { EventStream } from '../support/event-stream.js';
import { platforms } from '../support/platforms.js';
import { transports } from '../support/stream-controllers.js';

const bench = returnToBaseline();

interface ErrorBody {
  readonly statusCode: number;
  readonly code: string;
  readonly message: string;
}

/** An error as a client sees it: what the status line says, and the body. */
async function errorFrom(url: string): Promise<ErrorBody & { readonly status: number }> {
  const response = await fetch(url);
  expect(response.headers.get('content-type')).toMatch(/^application\/json/);
  return { status: response.status, ...((await response.json()) as ErrorBody) };
}

function tooMany(message: RegExp): object {
  return {
    status: 503,
    statusCode: 503,
    code: 'TOO_MANY_CLIENTS',
    message: expect.stringMatching(message) as unknown,
  };
}

/** Options that the test may change from one connection to the next. */
function changing(): { options: Omit<ClientOptions, 'topics'> } {
  return { options: {} };
}

function eventSource(url: string, names?: readonly string[]): RecordedEventSource {
  const source = new RecordedEventSource(url, names);
  bench.onEnd(() => source.close());
  return source;
}

async function opened(stream: EventStream): Promise<EventStream> {
  await stream.until(() => stream.ofType('sse.open').length === 1);
  return stream;
}

for (const platform of platforms) {
  for (const transport of transports) {
    describe(`${transport.name} on ${platform.name}`, () => {
      it('L1: with "retry" the client over maxClients gets 200, sse.busy with a retry and a cursor, and the end', async () => {
        const { url, sse } = await bench.start(platform, {
          config: { maxClients: 2, retryInterval: 1_000, retryJitter: 0.5 },
          controllers: [transport.controller()],
        });
        await opened(await bench.open(`${url}/events/a`));
        await opened(await bench.open(`${url}/events/a`));

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
        const reader = await opened(await bench.open(`${url}/events/a`));
        sse.broadcast('a', 'n', 1);
        await reader.messagesUpTo(1);
        const { lastEventId } = reader;
        reader.close();
        await until('the first has left', () => sse.stats().clients === 0);

        const other = await opened(await bench.open(`${url}/events/a`));
        sse.broadcast('a', 'n', 2);
        const refused = await bench.open(`${url}/events/a`, { lastEventId });
        await refused.untilEnd();
        expect(refused.lastEventId).toBe(lastEventId);
        const strange = await bench.open(`${url}/events/a`, { lastEventId: 'not-a-cursor' });
        await strange.untilEnd();
        expect(strange.lastEventId).toMatch(/^1~/);
        expect(strange.lastEventId).not.toBe(lastEventId);

        other.close();
        await until('the other has left', () => sse.stats().clients === 0);
        sse.broadcast('a', 'n', 3);
        const back = await bench.open(`${url}/events/a`, { lastEventId: refused.lastEventId });
        expect(await back.messagesUpTo(2)).toEqual([2, 3]);
        expect(JSON.parse(back.events[0]!.data)).toMatchObject({ resumed: 'full' });
      });

      it('L1: with "reject" it gets 503 as JSON, and those who are in stay', async () => {
        const { url, sse } = await bench.start(platform, {
          config: { maxClients: 1, onLimit: 'reject' },
          controllers: [transport.controller()],
        });
        const first = await opened(await bench.open(`${url}/events/a`));
        expect(await errorFrom(`${url}/events/a`)).toEqual(tooMany(/1 of 1 clients/));
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
          const only = await opened(await bench.open(`${url}/events/a`));
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
        await opened(await bench.open(`${url}/events/a`));
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
        const first = await opened(await bench.open(`${url}/events/a`));
        const waiting = eventSource(`${url}/events/a`, ['n']);
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
        await opened(await bench.open(`${url}/events/a`));
        const rejected = eventSource(`${url}/events/a`);
        await rejected.untilStopped();
        await delay(100);
        expect(rejected.attempts).toEqual([{ status: 503, lastEventId: undefined }]);
      });

      it('L2: with "evict-oldest" the oldest of a full group ends for good', async () => {
        const mutable = changing();
        const { url, sse } = await bench.start(platform, {
          config: { maxClientsPerGroup: 2 },
          controllers: [transport.controller(() => mutable.options)],
        });
        const reasons: unknown[] = [];
        const watching = sse.connections.subscribe(({ type, reason }) => type === 'disconnect' && reasons.push(reason));
        mutable.options = { group: 'user:1' };
        const [first, second] = [
          await opened(await bench.open(`${url}/events/a`)),
          await opened(await bench.open(`${url}/events/a`)),
        ];
        mutable.options = { group: 'user:2' };
        const stranger = await opened(await bench.open(`${url}/events/a`));
        mutable.options = { group: 'user:1' };
        const third = await opened(await bench.open(`${url}/events/a`));

        await first.untilEnd();
        expect(first.events.map(({ event }) => event)).toEqual(['sse.open', 'sse.end']);
        expect(first.lastEventId).toBe('1~end');
        expect(first.response.complete).toBe(true);
        expect(reasons).toEqual(['evicted']);
        sse.broadcast('a', 'n', 1);
        for (const stays of [second, stranger, third]) expect(await stays.messagesUpTo(1)).toEqual([1]);
        expect(sse.getClientsByGroup('user:1')).toHaveLength(2);
        expect(sse.getClientsByGroup('user:2')).toHaveLength(1);
        watching.unsubscribe();
      });

      it('L2: two tabs of a group with room for one do not push each other out for ever', async () => {
        const { url, sse } = await bench.start(platform, {
          config: { maxClientsPerGroup: 1, retryInterval: 20, retryJitter: 0 },
          controllers: [transport.controller(() => ({ group: 'user:1' }))],
        });
        const older = eventSource(`${url}/events/a`, ['n']);
        await older.untilCount('sse.open', 1);
        const newer = eventSource(`${url}/events/a`, ['n']);
        await older.untilStopped();
        await delay(100);
        expect(older.attempts.map(({ status }) => status)).toEqual([200, 204]);
        expect(older.attempts[1]!.lastEventId).toBe('1~end');
        expect(older.count('sse.end')).toBe(1);
        sse.broadcast('a', 'n', 1);
        await newer.untilCount('n', 1);
        expect(newer.attempts).toHaveLength(1);
      });

      it('L2: the newcomer that evicts another gets in although all of maxClients are taken', async () => {
        const mutable = changing();
        const { url, sse } = await bench.start(platform, {
          config: { maxClients: 2, maxClientsPerGroup: 1, onLimit: 'reject' },
          controllers: [transport.controller(() => mutable.options)],
        });
        mutable.options = { group: 'user:1' };
        const first = await opened(await bench.open(`${url}/events/a`));
        mutable.options = { group: 'user:2' };
        await opened(await bench.open(`${url}/events/a`));
        mutable.options = { group: 'user:1' };
        await opened(await bench.open(`${url}/events/a`));
        await first.untilEnd();
        expect(sse.stats()).toMatchObject({ clients: 2, refused: 0 });
        mutable.options = { group: 'user:3' };
        expect(await errorFrom(`${url}/events/a`)).toMatchObject({ code: 'TOO_MANY_CLIENTS' });
      });

      it.each<[OnGroupLimit & OnLimit]>([['retry'], ['reject']])(
        'L2: with "%s" the newcomer is refused',
        async (onGroupLimit) => {
          const { url, sse } = await bench.start(platform, {
            // The other limit's rule must not be mistaken for this one's.
            config: { maxClientsPerGroup: 1, onGroupLimit, onLimit: onGroupLimit === 'retry' ? 'reject' : 'retry' },
            controllers: [transport.controller(() => ({ group: 'user:1' }))],
          });
          const first = await opened(await bench.open(`${url}/events/a`));
          if (onGroupLimit === 'reject') {
            expect(await errorFrom(`${url}/events/a`)).toEqual(tooMany(/group/));
          } else {
            const second = await bench.open(`${url}/events/a`);
            await second.untilEnd();
            expect(second.status).toBe(200);
            expect(second.events.map(({ event }) => event)).toEqual(['sse.busy']);
          }
          sse.broadcast('a', 'n', 1);
          expect(await first.messagesUpTo(1)).toEqual([1]);
          expect(first.ended).toBe(false);
          expect(sse.stats()).toMatchObject({ clients: 1, refused: 1 });
        },
      );

      it('L7: the same id and group again replaces the client: the old stream ends quietly', async () => {
        const { url, sse } = await bench.start(platform, {
          config: { maxClients: 1, maxClientsPerGroup: 1, onLimit: 'reject', onGroupLimit: 'reject' },
          controllers: [transport.controller(() => ({ id: 'tab-1', group: 'user:1' }))],
        });
        const reasons: unknown[] = [];
        const watching = sse.connections.subscribe(({ type, reason }) => type === 'disconnect' && reasons.push(reason));
        const before = await opened(await bench.open(`${url}/events/a`));
        sse.broadcast('a', 'n', 1);
        await before.messagesUpTo(1);
        const after = await opened(await bench.open(`${url}/events/a`, { lastEventId: before.lastEventId }));

        await before.untilEnd();
        expect(before.events.map(({ event }) => event)).toEqual(['sse.open', 'n']);
        expect(before.response.complete).toBe(true);
        expect(reasons).toEqual(['replaced']);
        expect(sse.stats()).toMatchObject({ clients: 1, refused: 0, topics: 1 });
        expect(sse.sendTo('tab-1', 'private', 'x')).toBe(true);
        sse.broadcast('a', 'n', 2);
        expect(await after.messagesUpTo(2)).toEqual(['x', 2]);
        watching.unsubscribe();
      });

      it.each([
        ['another group', { id: 'tab-1', group: 'user:2' }],
        ['no group', { id: 'tab-1' }],
      ])('L7: the same id with %s is CLIENT_EXISTS, and the client that has it stays', async (_, options) => {
        const mutable = changing();
        const { url, sse } = await bench.start(platform, {
          controllers: [transport.controller(() => mutable.options)],
        });
        mutable.options = { id: 'tab-1', group: 'user:1' };
        const owner = await opened(await bench.open(`${url}/events/a`));
        mutable.options = options;
        expect(await errorFrom(`${url}/events/a`)).toEqual({
          status: 409,
          statusCode: 409,
          code: 'CLIENT_EXISTS',
          message: expect.stringContaining('"tab-1"') as unknown,
        });
        sse.broadcast('a', 'n', 1);
        expect(await owner.messagesUpTo(1)).toEqual([1]);
        expect(sse.stats().clients).toBe(1);
      });

      it("L7: two clients without a group cannot take each other's id, which is free again when its client has left", async () => {
        const { url, sse } = await bench.start(platform, { controllers: [transport.controller(() => ({ id: 'x' }))] });
        const owner = await opened(await bench.open(`${url}/events/a`));
        expect(await errorFrom(`${url}/events/a`)).toMatchObject({ status: 409, code: 'CLIENT_EXISTS' });
        owner.close();
        await until('the owner has left', () => sse.getClient('x') === undefined);
        await opened(await bench.open(`${url}/events/a`));
      });
    });
  }

  describe(`on ${platform.name}`, () => {
    @Controller()
    class ManyTopicsController {
      constructor(@Inject(SSEService) private readonly sse: SSEService) {}

      @Get('direct')
      direct(@Query('count') count: string, @Res() response: NodeResponseLike): void {
        this.sse.createClient(response, { topics: numbered(count) });
      }

      @Sse('stream')
      stream(@Query('count') count: string) {
        return this.sse.stream(numbered(count));
      }

      @Get('web')
      web(@Query('count') count: string): Response {
        return this.sse.addClient({ topics: numbered(count) }).response;
      }
    }

    it.each(['direct', 'stream', 'web'])(
      'L4: 10,000 topics on one connection are TOO_MANY_TOPICS (%s)',
      async (route) => {
        const { url, sse } = await bench.start(platform, { controllers: [ManyTopicsController] });
        for (const count of [101, 10_000]) {
          expect(await errorFrom(`${url}/${route}?count=${count}`)).toEqual({
            status: 400,
            statusCode: 400,
            code: 'TOO_MANY_TOPICS',
            message: expect.stringContaining(`${count} topics`) as unknown,
          });
        }
        expect(sse.stats()).toMatchObject({ clients: 0, topics: 0 });
        const allowed = await opened(await bench.open(`${url}/${route}?count=100`));
        expect(sse.stats()).toMatchObject({ clients: 1, topics: 100 });
        expect(allowed.status).toBe(200);
      },
    );

    it('L4: subscribe() stops at the limit, and a topic that is given up makes room', async () => {
      const { url, sse } = await bench.start(platform, {
        config: { maxTopicsPerClient: 3 },
        controllers: [transports[0]!.controller(() => ({ id: 'c' }))],
      });
      const client = await opened(await bench.open(`${url}/events/a,b`));
      expect(sse.subscribe('c', topicPattern('x:*'))).toBe(true);
      expect(() => sse.subscribe('c', 'd')).toThrow(expect.objectContaining({ code: 'TOO_MANY_TOPICS' }));
      // What it follows already is not one more.
      expect(sse.subscribe('c', 'a')).toBe(true);
      expect(sse.unsubscribe('c', 'b')).toBe(true);
      expect(sse.subscribe('c', 'd')).toBe(true);
      for (const topic of ['a', 'b', 'd', 'x:1']) sse.broadcast(topic, 'n', topic);
      expect(await client.messagesUpTo(3)).toEqual(['a', 'd', 'x:1']);
    });

    @Controller()
    class SubscribeController {
      constructor(@Inject(SSEService) private readonly sse: SSEService) {}

      @Get('direct/:topic')
      direct(@Param('topic') topic: string, @Res() response: NodeResponseLike): void {
        this.sse.createClient(response, { topics: topic });
      }

      @Sse('stream/:topic')
      stream(@Param('topic') topic: string) {
        return this.sse.stream(topic);
      }

      @Get('web/:topic')
      web(@Param('topic') topic: string): Response {
        return this.sse.addClient({ topics: topic }).response;
      }

      @Sse('query')
      query(@Query('topic') topics: string | string[]) {
        return this.sse.stream(topics);
      }

      @Get('later/:topic')
      later(@Param('topic') topic: string, @Res() response: NodeResponseLike): void {
        const id = this.sse.createClient(response);
        this.sse.subscribe(id, topic);
      }
    }

    it.each(['direct', 'stream', 'web'])('L6: a wildcard from a URL is INVALID_TOPIC (%s)', async (route) => {
      const { url, sse } = await bench.start(platform, { controllers: [SubscribeController] });
      for (const topic of ['**', '*', '%2A%2A', 'user:*', 'a*b', '%0A', 'a%00b']) {
        expect(await errorFrom(`${url}/${route}/${topic}`)).toMatchObject({
          status: 400,
          statusCode: 400,
          code: 'INVALID_TOPIC',
        });
      }
      expect((await errorFrom(`${url}/${route}/**`)).message).toContain('topicPattern()');
      expect(sse.stats()).toMatchObject({ clients: 0, topics: 0, refused: 0 });
    });

    it('L6: topics from a query are checked one by one, and none at all is INVALID_TOPIC too', async () => {
      const { url, sse } = await bench.start(platform, { controllers: [SubscribeController] });
      for (const query of ['', '?topic=', '?topic=a&topic=**', '?topic=*&topic=a']) {
        expect(await errorFrom(`${url}/query${query}`)).toMatchObject({ status: 400, code: 'INVALID_TOPIC' });
      }
      await opened(await bench.open(`${url}/query?topic=a&topic=b`));
      expect(sse.stats()).toMatchObject({ clients: 1, topics: 2 });
    });

    it('L6: subscribe() with a wildcard from a URL throws, and the client it was for follows nothing', async () => {
      const { url, sse } = await bench.start(platform, { controllers: [SubscribeController] });
      // The stream has begun, so the framework can only end it.
      const client = await bench.open(`${url}/later/**`);
      sse.broadcast('secret', 'n', 1);
      await client.untilEnd();
      expect(client.messages).toEqual([]);
      expect(client.raw).not.toContain('INVALID_TOPIC');
    });

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
        const stream = await opened(await bench.open(`${url}/events/a`, { agent }));
        sse.removeClient(sse.getClients()[0]!.id);
        await stream.untilEnd();
      }
      const other = await opened(await bench.open(`${url}/events/a`));
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

function numbered(count: string): string[] {
  return Array.from({ length: Number(count) }, (_, i) => `topic:${i}`);
}

describe('SSEService', () => {
  setFlagsFromString('--expose-gc');
  const collectGarbage = runInNewContext('gc') as () => void;

  /** Bytes on the heap, after a turn of the event loop in which pending work is done. */
  async function heap(): Promise<number> {
    for (let i = 0; i < 3; i++) {
      await delay(1);
      collectGarbage();
    }
    return process.memoryUsage().heapUsed;
  }

  const MiB = 1024 * 1024;

  it('L3: 60,000 topics that were followed once leave nothing behind', async () => {
    const sse = bench.watch(new SSEService());
    const follow = (i: number): void => {
      const following = sse.stream(`followed:${i}`).subscribe();
      if (i % 2 === 0) sse.broadcast(`elsewhere:${i % 10}`, 'n', i);
      following.unsubscribe();
    };
    for (let i = 0; i < 1_000; i++) follow(i);
    const before = await heap();
    for (let i = 0; i < 60_000; i++) {
      follow(i);
      if (i % 10_000 === 0) await delay(0);
    }
    // 60,000 topics at 200 bytes and more each, if only their names were kept.
    expect((await heap()) - before).toBeLessThan(8 * MiB);
    expect(sse.stats()).toMatchObject({ clients: 0, topics: 0 });
  });

  it('L3: one client that follows and unfollows 100,000 topics leaves nothing behind', async () => {
    const sse = bench.watch(new SSEService());
    const client = sse.stream('own', { id: 'c' }).subscribe();
    const before = await heap();
    for (let i = 0; i < 100_000; i++) {
      sse.subscribe('c', `followed:${i}`);
      sse.unsubscribe('c', `followed:${i}`);
      if (i % 10_000 === 0) await delay(0);
    }
    expect((await heap()) - before).toBeLessThan(8 * MiB);
    expect(sse.stats()).toMatchObject({ clients: 1, topics: 1 });
    client.unsubscribe();
  });

  it('L3: the history of 100,000 topics that nobody follows stays within maxHistoryBytes', async () => {
    const maxHistoryBytes = 8 * MiB;
    const sse = bench.watch(new SSEService({ maxHistoryBytes, maxHistorySize: 10 }));
    const before = await heap();
    for (let i = 0; i < 100_000; i++) {
      sse.broadcast(`unheard:${i}`, 'n', { n: i });
      if (i % 10_000 === 0) {
        await delay(0);
        expect(sse.stats().history.bytes).toBeLessThanOrEqual(maxHistoryBytes);
      }
    }
    const { history, topics, published } = sse.stats();
    expect({ topics, published }).toEqual({ topics: 0, published: 100_000 });
    expect(history.bytes).toBeLessThanOrEqual(maxHistoryBytes);
    expect(history.events).toBeGreaterThan(1_000);
    // The budget is what it says, not what the data alone would take.
    expect((await heap()) - before).toBeLessThan(2 * maxHistoryBytes);
  });

  it('L3: with histories that keep nothing, publishing to 100,000 topics leaves nothing behind', async () => {
    const sse = bench.watch(new SSEService({ maxHistorySize: 0 }));
    for (let i = 0; i < 1_000; i++) sse.broadcast(`unheard:${i}`, 'n', i);
    const before = await heap();
    for (let i = 0; i < 100_000; i++) {
      sse.broadcast(`unheard:${i}`, 'n', i);
      if (i % 10_000 === 0) await delay(0);
    }
    expect((await heap()) - before).toBeLessThan(8 * MiB);
    expect(sse.stats().history.events).toBe(0);
  });

  it('L3: no more than 100,000 finished topics are remembered', async () => {
    const sse = bench.watch(new SSEService({ maxHistorySize: 0 }));
    for (let i = 0; i < 100_000; i++) {
      sse.closeTopic(`finished:${i}`);
      if (i % 10_000 === 0) await delay(0);
    }
    const before = await heap();
    for (let i = 100_000; i < 200_000; i++) {
      sse.closeTopic(`finished:${i}`);
      if (i % 10_000 === 0) await delay(0);
    }
    expect((await heap()) - before).toBeLessThan(8 * MiB);
    expect(() => sse.broadcast('finished:199999', 'n', 1)).toThrow(expect.objectContaining({ code: 'TOPIC_CLOSED' }));
    expect(() => sse.broadcast('finished:0', 'n', 1)).not.toThrow();
  });

  it('L5: patterns made to be slow cost a publisher no noticeable time', () => {
    const sse = bench.watch(new SSEService({ maxHistorySize: 0 }));
    const patterns = [
      '**:'.repeat(170) + 'x',
      '**:a:'.repeat(100) + 'x',
      '*:**:'.repeat(100) + 'x',
      'a:**:**:a:**:**:b',
    ];
    const subscriptions = patterns.map((pattern) => sse.stream(topicPattern(pattern)).subscribe());
    const topic = 'a:'.repeat(254) + 'b';
    const started = performance.now();
    for (let i = 0; i < 20; i++) sse.broadcast(topic, 'n', i);
    expect(performance.now() - started).toBeLessThan(1_000);
    for (const subscription of subscriptions) subscription.unsubscribe();
  });
});
