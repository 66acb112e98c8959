import { Agent, type Server } from 'node:http';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Controller, Get, Inject } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { SSEModule, SSEService } from 'nestjs-sse-hub';

import { connectionsOf, ProcessWatch, processListeners, returnToBaseline, until } from '../support/baseline.js';
import { RecordedEventSource } from '../support/event-source.js';
import type { EventStream } from '../support/event-stream.js';
import { platforms, type RunningApp } from '../support/platforms.js';
import { buildStandalone, Standalone } from '../support/standalone.js';
import { direct, transports } from '../support/stream-controllers.js';

const bench = returnToBaseline();

const KiB = 1024;

async function opened(stream: EventStream): Promise<EventStream> {
  await stream.until(() => stream.ofType('sse.open').length === 1);
  return stream;
}

/** A client that asks for a stream and never reads a byte of it. */
async function neverReading(url: string, path: string): Promise<Socket> {
  const { hostname, port } = new URL(url);
  const socket = connect(Number(port), hostname);
  socket.on('error', () => {});
  bench.onEnd(() => socket.destroy());
  await new Promise((resolve) => socket.once('connect', resolve));
  socket.pause();
  socket.write(`GET ${path} HTTP/1.1\r\nHost: ${hostname}\r\nAccept: text/event-stream\r\n\r\n`);
  return socket;
}

/** Publishes more than all buffers on the way to a client that does not read can take, and waits until they are full. */
async function fillUp(sse: SSEService, topic: string): Promise<void> {
  for (let i = 0; i < 128; i++) {
    sse.broadcast(topic, 'bulk', 'x'.repeat(64 * KiB));
    if (i % 16 === 0) await delay(5);
  }
  let before = -1;
  await until('nothing is taken any more', async () => {
    const full = before === sse.stats().bytes;
    before = sse.stats().bytes;
    if (!full) await delay(100);
    return full;
  });
}

/** A client that keeps the hub shutting down until `drainTimeout`, so that there is time to do something meanwhile. */
async function keepDraining({ url, sse }: RunningApp): Promise<void> {
  await neverReading(url, '/events/stuck');
  await until('the one that never reads is there', () => sse.getClientCount('stuck') === 1);
  await fillUp(sse, 'stuck');
}

for (const platform of platforms) {
  for (const transport of transports) {
    describe(`${transport.name} on ${platform.name}`, () => {
      it('S1: close() ends a thousand idle streams and fifty that never read within drainTimeout and a second', async () => {
        const drainTimeout = 1_500;
        const running = await bench.start(platform, {
          config: { maxClients: 2_000, drainTimeout, retryInterval: 100, retryJitter: 0 },
          controllers: [transport.controller()],
        });
        const { app, url, sse } = running;
        const idle: EventStream[] = [];
        for (let i = 0; i < 1_000; i += 100) {
          const some = Array.from({ length: 100 }, () => bench.open(`${url}/events/idle`));
          idle.push(...(await Promise.all(some)));
        }
        await Promise.all(idle.map(opened));
        const stuck: Socket[] = [];
        for (let i = 0; i < 50; i++) stuck.push(await neverReading(url, '/events/stuck'));
        await until('all are there', () => sse.stats().clients === 1_050);
        await fillUp(sse, 'stuck');

        const started = performance.now();
        await running.close();
        const took = performance.now() - started;
        // The second that the contract allows, and another for a machine that is busy with other tests.
        expect(took).toBeLessThan(drainTimeout + 2_000);
        // The fifty were given their time.
        expect(took).toBeGreaterThan(drainTimeout - 100);
        expect(sse.stats()).toMatchObject({ clients: 0, topics: 0 });
        expect(await connectionsOf(app.getHttpServer() as Server)).toBe(0);

        await Promise.all(idle.map((stream) => stream.untilEnd()));
        expect(idle.filter(({ response }) => !response.complete)).toHaveLength(0);
        const retries = idle.map((stream) => stream.retries.at(-1)!);
        expect(Math.min(...retries)).toBeGreaterThanOrEqual(100);
        expect(Math.max(...retries)).toBeLessThanOrEqual(100 + drainTimeout);
        // Spread, so that they do not come back all at once: each quarter of the range has its share.
        for (let quarter = 0; quarter < 4; quarter++) {
          const from = 100 + (quarter * drainTimeout) / 4;
          const share = retries.filter((retry) => retry >= from && retry < from + drainTimeout / 4).length;
          expect(share).toBeGreaterThan(100);
        }
        for (const stream of idle) {
          expect(stream.events.map(({ event }) => event)).toEqual(['sse.open']);
          expect(stream.raw).toMatch(/id: 1~\w+~\w+-\w+\nretry: \d+\n\n$/);
        }
      });

      it('S1: close() with a few streams that all read is done at once', async () => {
        const running = await bench.start(platform, {
          config: { drainTimeout: 5_000 },
          controllers: [transport.controller()],
        });
        const { url, sse } = running;
        const streams = [];
        for (let i = 0; i < 10; i++) streams.push(await opened(await bench.open(`${url}/events/a`)));
        sse.broadcast('a', 'n', 1);
        for (const stream of streams) await stream.messagesUpTo(1);
        const started = performance.now();
        await running.close();
        expect(performance.now() - started).toBeLessThan(1_500);
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
        const source = new RecordedEventSource(`${before.url}/events/a`, ['n']);
        bench.onEnd(() => source.close());
        await source.untilCount('sse.open', 1);
        before.sse.broadcast('a', 'n', 1);
        const started = performance.now();
        await before.close();
        expect(performance.now() - started).toBeLessThan(1_500);
        await source.untilCount('n', 1);
        expect(source.data).toEqual([1]);
        // It keeps trying, for it has not been told to stop.
        expect(source.stopped).toBe(false);
      });

      it('S2: what was published before close(), in its turn too, leaves before the streams end', async () => {
        const running = await bench.start(platform, { controllers: [transport.controller()] });
        const { url, sse } = running;
        const stream = await opened(await bench.open(`${url}/events/a`));
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
          config: { drainTimeout: 600, retryInterval: 1_000 },
          controllers: [transport.controller()],
        });
        const { url, sse } = running;
        const stream = await opened(await bench.open(`${url}/events/a`));
        await keepDraining(running);
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
        config: { drainTimeout: 500 },
        controllers: [direct.controller(), PlainController],
      });
      await keepDraining(running);
      const closing = running.close();
      await delay(20);
      const answer = await bench.open(`${running.url}/clients`, { headers: { connection: 'close' } });
      await answer.untilEnd();
      expect(answer.status).toBe(200);
      await closing;
    });

    it('S2: shutdown() of a hub in an application that goes on ends its streams, and the application serves', async () => {
      const { url, sse } = await bench.start(platform, { controllers: [direct.controller()] });
      const stream = await opened(await bench.open(`${url}/events/a`));
      await Promise.all([sse.shutdown(), sse.shutdown()]);
      await stream.untilEnd();
      const refused = await bench.open(`${url}/events/a`);
      await refused.untilEnd();
      expect(refused.events.map(({ event }) => event)).toEqual(['sse.busy']);
    });
  });
}

describe('a process of its own', () => {
  let built: Awaited<ReturnType<typeof buildStandalone>>;

  beforeAll(async () => {
    built = await buildStandalone();
  }, 60_000);

  afterAll(() => built.remove());

  function run(what: string): Standalone {
    const standalone = new Standalone(built.folder, what);
    bench.onEnd(() => standalone.kill());
    return standalone;
  }

  it('S3: a hub that nobody shuts down keeps no process alive', async () => {
    const standalone = run('bare');
    expect(await standalone.ended()).toEqual({ code: 0, signal: null });
    expect(standalone.messages).toEqual([{ seen: 10, clients: 1 }]);
    expect(standalone.stderr).toBe('');
  });

  for (const { name } of platforms) {
    it(`S3: after app.close() on ${name}, called three times, the process exits by itself`, async () => {
      const standalone = run(name);
      const url = (await standalone.said('url')) as string;
      const streams: EventStream[] = [];
      for (const route of ['direct', 'stream', 'web']) {
        for (let i = 0; i < 5; i++) streams.push(await opened(await bench.open(`${url}/${route}/a`)));
      }
      standalone.signal('SIGUSR2');
      await standalone.said('closed');
      expect(await standalone.ended()).toEqual({ code: 0, signal: null });
      for (const stream of streams) {
        await stream.untilEnd();
        expect(stream.response.complete).toBe(true);
      }
      expect(standalone.messages.at(-1)).toEqual({ closed: true, clients: 0 });
      expect(standalone.messages.filter((message) => 'trouble' in message)).toEqual([]);
      expect(standalone.stderr).toBe('');
    });

    it(`S2: SIGTERM twice on ${name} drains the streams once, and the process ends by that signal`, async () => {
      const standalone = run(name);
      const url = (await standalone.said('url')) as string;
      const streams: EventStream[] = [];
      for (const route of ['direct', 'stream', 'web'])
        streams.push(await opened(await bench.open(`${url}/${route}/a`)));
      const stuck = await neverReading(url, '/direct/a');
      standalone.signal('SIGTERM');
      await delay(10);
      standalone.signal('SIGTERM');
      expect(await standalone.ended()).toEqual({ code: null, signal: 'SIGTERM' });
      stuck.destroy();
      for (const stream of streams) {
        await stream.untilEnd();
        expect(stream.response.complete).toBe(true);
        expect(stream.retries).toHaveLength(2);
      }
      expect(standalone.stderr).toBe('');
    });
  }
});

describe('SSEModule', () => {
  it('S4: a hundred modules made and closed leave nothing behind, and know nothing of each other', async () => {
    const watch = new ProcessWatch();
    const listeners = processListeners();
    const services: SSEService[] = [];
    for (let i = 0; i < 100; i++) {
      const module = await Test.createTestingModule({ imports: [SSEModule.forRoot({ maxClients: 1 + i })] }).compile();
      await module.init();
      const sse = module.get(SSEService);
      const seen: unknown[] = [];
      const following = sse.stream('a', { id: 'same' }).subscribe(({ data }) => seen.push(data));
      sse.broadcast('a', 'n', i);
      expect(seen.slice(1)).toEqual([String(i)]);
      expect(sse.stats()).toMatchObject({ clients: 1, published: 1 });
      if (i % 2 === 0) following.unsubscribe();
      await module.close();
      expect(sse.stats()).toMatchObject({ clients: 0, topics: 0 });
      expect(following.closed).toBe(true);
      services.push(sse);
    }
    expect(new Set(services).size).toBe(100);
    await delay(20);
    expect(processListeners()).toEqual(listeners);
    expect(watch.troubles).toEqual([]);
    watch.stop();
  });

  it('S4: a hundred modules that are open at the same time do not hear each other', async () => {
    const modules = await Promise.all(
      Array.from({ length: 100 }, () => Test.createTestingModule({ imports: [SSEModule.forRoot()] }).compile()),
    );
    const hubs = modules.map((module) => module.get(SSEService));
    const seen = hubs.map(() => 0);
    hubs.forEach((sse, i) => {
      sse.stream('a', { id: 'same' }).subscribe(({ type }) => {
        if (type === 'n') seen[i]!++;
      });
    });
    hubs[7]!.broadcast('a', 'n', 1);
    expect(seen.filter((count) => count > 0)).toEqual([1]);
    expect(seen[7]).toBe(1);
    for (const sse of hubs) expect(sse.stats()).toMatchObject({ clients: 1, topics: 1 });
    await Promise.all(modules.map((module) => module.close()));
    for (const sse of hubs) expect(sse.stats().topics).toBe(0);
  });

  it('S4: the watch over the process sees a warning, so that its silence means something', async () => {
    const watch = new ProcessWatch();
    const { EventEmitter } = await import('node:events');
    const crowded = new EventEmitter();
    for (let i = 0; i < 11; i++) crowded.on('event', () => {});
    await delay(5);
    watch.stop();
    expect(watch.troubles).toEqual([expect.stringContaining('MaxListenersExceededWarning')]);
    bench.forgive(/MaxListenersExceededWarning/);
  });
});

async function* numbers(): AsyncGenerator<number> {
  yield 1;
}
