import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

import { describe, expect, it } from '@jest/globals';
import { FastifyAdapter } from '@nestjs/platform-fastify';

import { returnToBaseline, until } from '../../support/baseline.js';
import { KiB, MiB } from '../../support/measures/memory.js';
import { openHttp2 } from '../../support/network/http2-stream.js';
import { Proxy } from '../../support/network/proxy.js';
import { type Platform, platforms } from '../../support/platforms.js';
import { disconnectReasons } from '../../support/served.js';
import { direct, nestSse } from '../../support/stream-controllers.js';

const bench = returnToBaseline();

const SIZE = 512 * KiB;
/** More than there is room for on the way to a client, in any buffer. */
const COUNT = 64;
const DATA = 'x'.repeat(SIZE);

for (const platform of platforms) {
  for (const transport of [direct, nestSse]) {
    describe(`C2: large events through ${transport.name} on ${platform.name}`, () => {
      it('C2: a reader that takes few of them in slowTimeout, but goes on reading, is not closed', async () => {
        const slowTimeout = 4_000;
        const { url, sse } = await bench.start(platform, {
          config: { slowTimeout, maxHistoryBytes: 256 * MiB },
          controllers: [transport.controller()],
        });
        const reasons = disconnectReasons(bench, sse);
        const proxy = await Proxy.start(url);
        bench.onEnd(() => proxy.close());
        const stream = await bench.connect(`${proxy.url}/events/t`);
        proxy.toClient.bytesPerSecond = 2 * MiB;
        for (let n = 0; n < COUNT; n++) sse.broadcast('t', 'n', DATA);
        await delay(1.75 * slowTimeout);
        expect(reasons).toEqual([]);
        expect(sse.stats().delivered).toBeLessThan(COUNT);
        proxy.heal();
        await until('all have come', () => stream.messages.length === COUNT);
        expect(sse.stats().resets).toEqual({});
      });

      it('C2: a client that does not read holds one or two of them, not as many as Nest has room for', async () => {
        const responses: ServerResponse[] = [];
        const { app, url, sse } = await bench.start(platform, {
          config: { slowTimeout: 600_000, maxHistoryBytes: 256 * MiB },
          controllers: [transport.controller()],
        });
        (app.getHttpServer() as Server).prependListener('request', (_: IncomingMessage, response: ServerResponse) => {
          responses.push(response);
        });
        const stream = await bench.connect(`${url}/events/t`);
        stream.response.pause();
        const { bytes } = sse.stats();
        const socket = responses[0]!.socket!;
        const before = socket.bytesWritten;
        for (let n = 0; n < COUNT; n++) {
          sse.broadcast('t', 'n', DATA);
          await delay(10);
        }
        // What the socket was given, the kernel has or is about to get; the rest is held for the client.
        const held = sse.stats().bytes - bytes - (socket.bytesWritten - before);
        expect(held).toBeLessThan(1.5 * SIZE);
        expect(socket.writableLength).toBeLessThan(2.5 * SIZE);
        expect(sse.stats().delivered).toBeLessThan(COUNT);
        stream.response.resume();
        await until('all have come', () => stream.messages.length === COUNT);
        expect(sse.stats().resets).toEqual({});
      });
    });
  }
}

const http2: Platform = { name: 'HTTP/2', adapter: () => new FastifyAdapter({ http2: true } as object) };

describe('C2: a large event through createClient() over HTTP/2', () => {
  it('C2: takes a slow reader longer than slowTimeout, and that is no reason to close', async () => {
    const slowTimeout = 3_000;
    const { url, sse } = await bench.start(http2, { config: { slowTimeout }, controllers: [direct.controller()] });
    const reasons = disconnectReasons(bench, sse);
    const proxy = await Proxy.start(url);
    bench.onEnd(() => proxy.close());
    const stream = await openHttp2(`${proxy.url}/events/t`);
    bench.onEnd(() => stream.close());
    await stream.next();
    proxy.toClient.bytesPerSecond = 200 * KiB;
    for (let n = 0; n < 2; n++) {
      sse.broadcast('t', 'n', `${n}${'x'.repeat(1_000 * KiB)}`);
      await delay(10);
    }
    await delay(1.5 * slowTimeout);
    expect(reasons).toEqual([]);
    proxy.heal();
    await until('both have come', () => stream.messages.length === 2);
    expect(stream.messages.map(({ data }) => [data[0], data.length])).toEqual([
      ['0', 1_000 * KiB + 1],
      ['1', 1_000 * KiB + 1],
    ]);
    sse.closeTopic('t');
    await stream.untilEnd();
    expect(stream.events.at(-1)!.event).toBe('sse.end');
  });

  it('C2: ends with all of it when the stream ends behind it', async () => {
    const { url, sse } = await bench.start(http2, { controllers: [direct.controller()] });
    const stream = await openHttp2(`${url}/events/t`);
    await stream.next();
    sse.broadcast('t', 'n', 'x'.repeat(1_000 * KiB));
    sse.closeTopic('t');
    await stream.untilEnd();
    expect(stream.events.map(({ event }) => event)).toEqual(['sse.open', 'n', 'sse.end']);
    expect(stream.messages[0]!.data).toHaveLength(1_000 * KiB);
  });
});
