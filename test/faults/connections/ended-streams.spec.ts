import type { Server } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

import { describe, expect, it } from '@jest/globals';
import { Controller, Inject, Sse } from '@nestjs/common';
import { SSEService } from 'nestjs-sse-hub';
import { merge } from 'rxjs';

import { connectionsOf, returnToBaseline, until } from '../../support/baseline.js';
import { LiveTimers } from '../../support/measures/live-timers.js';
import { MiB } from '../../support/measures/memory.js';
import { Proxy } from '../../support/network/proxy.js';
import { neverReading } from '../../support/network/stuck.js';
import { platforms } from '../../support/platforms.js';
import { transports } from '../../support/stream-controllers.js';

const bench = returnToBaseline();

const SLOW_TIMEOUT = 300;
const READERS = 20;
const BUSY = 30;

/** As large as an event may be. A dozen of them are more than there is room for on the way to somebody who does not read. */
const LARGE = 'x'.repeat(1_000_000);

for (const platform of platforms) {
  for (const transport of transports) {
    describe(`a stream of ${transport.name} on ${platform.name} that has been ended`, () => {
      it('C5: is given up with its connection when nobody reads the rest of it', async () => {
        const { app, url, sse } = await bench.start(platform, {
          config: { slowTimeout: SLOW_TIMEOUT, heartbeatInterval: 0 },
          controllers: [transport.controller()],
        });
        const server = app.getHttpServer() as Server;
        await neverReading(bench, `${url}/events/t`);
        await until('it is a client', () => sse.getClientCount() === 1);
        for (let n = 0; n < 12; n++) {
          sse.broadcast('t', 'large', LARGE);
          await delay(2);
        }
        expect(await connectionsOf(server)).toBe(1);
        for (const { id } of sse.getClients()) sse.removeClient(id);
        expect(sse.getClientCount()).toBe(0);
        await until('its connection is gone', async () => (await connectionsOf(server)) === 0);
      });

      it('C5: leaves no timer behind, and has its end, when it is read', async () => {
        const { url, sse } = await bench.start(platform, {
          config: { slowTimeout: 600_000, heartbeatInterval: 0 },
          controllers: [transport.controller()],
        });
        const timers = new LiveTimers(bench);
        const streams = await Promise.all(Array.from({ length: READERS }, () => bench.connect(`${url}/events/t`)));
        sse.broadcast('t', 'n', LARGE);
        sse.closeTopic('t');
        for (const stream of streams) await stream.untilEnd();
        expect(streams.map(({ events }) => events.at(-1)?.event)).toEqual(streams.map(() => 'sse.end'));
        expect(streams.map(({ response }) => response.complete)).toEqual(streams.map(() => true));
        const ofTransports = (): string[] => timers.places.filter((place) => place.includes('/transport/'));
        await until('no timer is left', () => ofTransports().length === 0).catch(() => {});
        expect(ofTransports()).toEqual([]);
      });
    });
  }

  describe(`one of two streams of @Sse() on ${platform.name} that share a response`, () => {
    @Controller()
    class MergingController {
      constructor(@Inject(SSEService) private readonly sse: SSEService) {}

      @Sse('events')
      events() {
        return merge(this.sse.stream('a'), this.sse.stream('b'));
      }
    }

    it('C5: does not take the other with it when it has ended', async () => {
      const { url, sse } = await bench.start(platform, {
        config: { slowTimeout: SLOW_TIMEOUT, heartbeatInterval: 0 },
        controllers: [MergingController],
      });
      const stream = await bench.open(`${url}/events`);
      await stream.until(() => stream.ofType('sse.open').length === 2);
      sse.closeTopic('a');
      await stream.until(() => stream.ofType('sse.end').length === 1);
      await delay(3 * SLOW_TIMEOUT);
      sse.broadcast('b', 'n', 1);
      expect(await stream.messagesUpTo(1)).toEqual([1]);
    });

    it('C5: does not take the other with it when that is busy, and read slowly', async () => {
      const slowTimeout = 4_000;
      const { url, sse } = await bench.start(platform, {
        config: { slowTimeout, heartbeatInterval: 0 },
        controllers: [MergingController],
      });
      const proxy = await Proxy.start(url);
      bench.onEnd(() => proxy.close());
      const stream = await bench.open(`${proxy.url}/events`);
      await stream.until(() => stream.ofType('sse.open').length === 2);
      proxy.toClient.bytesPerSecond = 3 * MiB;
      for (let n = 0; n < BUSY; n++) sse.broadcast('b', 'large', LARGE);
      await delay(100);
      sse.closeTopic('a');
      await delay(1.75 * slowTimeout);
      expect(stream.messages.length).toBeLessThan(BUSY);
      expect(sse.getClientCount()).toBe(1);
      proxy.heal();
      await until('all have come', () => stream.messages.length === BUSY);
    });
  });
}

describe('a web response without a framework that has been ended', () => {
  it('C13: has its whole end at shutdown, however long its reader takes over a piece', async () => {
    const sse = bench.watch(new SSEService({ drainTimeout: 60_000, retryJitter: 0 }));
    const { response } = sse.addClient({ topics: 't' });
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    let { value: text = '' } = await reader.read();
    const cursor = await sse.publish('t', 'n', LARGE);
    const shutdown = sse.shutdown();
    for (let read = await reader.read(); !read.done; read = await reader.read()) {
      text += read.value;
      await delay(1);
    }
    expect(text).toContain(`data: ${LARGE}\n\n`);
    expect(text.slice(text.indexOf(LARGE) + LARGE.length)).toContain(`id: ${cursor}\n`);
    await shutdown;
  });

  it('C13: is given up when nobody reads the rest of it', async () => {
    const sse = bench.watch(new SSEService({ slowTimeout: SLOW_TIMEOUT }));
    const { client, response } = sse.addClient({ topics: 't' });
    sse.broadcast('t', 'n', 1);
    sse.removeClient(client.id);
    await delay(3 * SLOW_TIMEOUT);
    await expect(response.text()).rejects.toThrow('not read');
  });

  it.each(['read', 'cancelled'])('C13: leaves no timer behind when it is %s', async (how) => {
    const sse = bench.watch(new SSEService({ slowTimeout: 600_000, heartbeatInterval: 0 }));
    const timers = new LiveTimers(bench);
    const { client, response } = sse.addClient({ topics: 't' });
    sse.broadcast('t', 'n', 1);
    sse.removeClient(client.id, { reconnect: false });
    expect(timers.places.join()).toContain('web-response.ts');
    if (how === 'read') expect((await response.text()).endsWith('event: sse.end\nid: 1~end\ndata: {}\n\n')).toBe(true);
    else await response.body!.cancel();
    expect(timers.places.join()).not.toContain('web-response.ts');
  });
});
