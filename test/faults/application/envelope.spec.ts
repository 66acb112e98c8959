import type { Server } from 'node:http';
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

import { describe, expect, it } from '@jest/globals';
import { type CallHandler, type ExecutionContext } from '@nestjs/common';
import { map, type Observable } from 'rxjs';

import { returnToBaseline, until } from '../../support/baseline.js';
import { KiB, MiB } from '../../support/measures/memory.js';
import { untilNothingIsTaken } from '../../support/network/stuck.js';
import { platforms } from '../../support/platforms.js';
import { serve } from '../../support/served.js';
import { direct, nestSse, web } from '../../support/stream-controllers.js';

const bench = returnToBaseline();

for (const platform of platforms) {
  describe(`on ${platform.name}`, () => {
    const envelope = {
      intercept: (_context: ExecutionContext, next: CallHandler): Observable<unknown> =>
        next.handle().pipe(map((data: unknown) => ({ success: true, data }))),
    };

    it('A6: an interceptor that wraps every answer in an envelope is one clear log line with the remedy', async () => {
      const { url, sse, logger } = await serve(bench, platform, nestSse, {
        prepare: (app) => app.useGlobalInterceptors(envelope),
      });
      const streams = [await bench.open(`${url}/events/a`), await bench.open(`${url}/events/a`)];
      for (let n = 0; n < 50; n++) sse.broadcast('a', 'n', n);
      for (const stream of streams) await stream.messagesUpTo(50);
      const warnings = logger.ofHub('warn');
      expect(warnings).toHaveLength(1);
      expect(warnings[0]).toContain('SseController.events()');
      expect(warnings[0]).toMatch(/interceptor.*envelope/);
      expect(warnings[0]).toMatch(/Leave @Sse\(\) handlers out of it|createClient\(\)/);
      expect(logger.ofHub('error')).toEqual([]);
      // What comes out is broken in the way that the interceptor breaks it, and gives nothing of ours away.
      expect(streams[0]!.data[1]).toMatchObject({ type: 'n', data: '0' });
    });

    it('A6: an interceptor that copies every message takes neither retry from it nor the limit on what waits', async () => {
      const sockets: Socket[] = [];
      const copying = {
        intercept: (_context: ExecutionContext, next: CallHandler): Observable<unknown> =>
          next.handle().pipe(map((message: object) => ({ ...message }))),
      };
      const { sse, connect } = await serve(bench, platform, nestSse, {
        config: {
          retryInterval: 1_234,
          retryJitter: 0,
          maxHistorySize: Infinity,
          maxHistoryBytes: 256 * MiB,
          slowTimeout: 600_000,
        },
        prepare: (app) => {
          app.useGlobalInterceptors(copying);
          (app.getHttpServer() as Server).on('connection', (socket: Socket) => sockets.push(socket));
        },
      });
      const client = await connect('a');
      expect(client.retries).toEqual([1_234]);
      client.response.pause();
      const { bytes } = sse.stats();
      const before = sockets[0]!.bytesWritten;
      const data = 'x'.repeat(4 * KiB);
      const COUNT = 8 * KiB;
      for (let n = 0; n < COUNT; n++) {
        sse.broadcast('a', 'n', data);
        if (n % 64 === 0) await delay(1);
      }
      await untilNothingIsTaken(sse);
      expect(sse.stats().delivered).toBeLessThan(COUNT);
      expect(sse.stats().bytes - bytes - (sockets[0]!.bytesWritten - before)).toBeLessThan(512 * KiB);
      client.response.resume();
      await until('all have come', () => client.messages.length === COUNT);
      expect(sse.stats().resets).toEqual({});
    });

    it('A6: one that makes others out of some of the messages holds up neither them nor the rest', async () => {
      const masking = {
        intercept: (_context: ExecutionContext, next: CallHandler): Observable<unknown> =>
          next
            .handle()
            .pipe(map((message: { type?: string }) => (message.type === 'm' ? { ...message, data: '"-"' } : message))),
      };
      const { sse, connect } = await serve(bench, platform, nestSse, {
        config: { slowTimeout: 600_000 },
        prepare: (app) => app.useGlobalInterceptors(masking),
      });
      const client = await connect('a');
      const COUNT = 1_000;
      for (let n = 0; n < COUNT; n++) sse.broadcast('a', n % 2 === 0 ? 'm' : 'n', 'x'.repeat(100));
      await until('all have come', () => client.messages.length === COUNT);
      expect(client.data.filter((data) => data === '-')).toHaveLength(COUNT / 2);
    });

    it('A6: one that wraps every answer does nothing to createClient(), and nothing is logged', async () => {
      const { sse, connect, logger } = await serve(bench, platform, direct, {
        prepare: (app) => app.useGlobalInterceptors(envelope),
      });
      const client = await connect('a');
      sse.broadcast('a', 'n', 1);
      expect(await client.messagesUpTo(1)).toEqual([1]);
      expect(logger.ofHub('warn')).toEqual([]);
    });

    it('A6: Nest takes the response of addClient() out of the envelope again, and nothing is logged', async () => {
      const { sse, connect, logger } = await serve(bench, platform, web, {
        prepare: (app) => app.useGlobalInterceptors(envelope),
      });
      const client = await connect('a');
      sse.broadcast('a', 'n', 1);
      expect(await client.messagesUpTo(1)).toEqual([1]);
      expect(logger.ofHub('warn')).toEqual([]);
    });

    it('A6: a client of addClient() whose response never gets to Nest is given up, as nobody reads it', async () => {
      const { sse, request } = await serve(bench, platform, web, {
        config: { slowTimeout: 200 },
        prepare: (app) =>
          app.useGlobalInterceptors({
            intercept: (_context: ExecutionContext, next: CallHandler) => next.handle().pipe(map(() => 'replaced')),
          }),
      });
      const answer = await request('a');
      await answer.untilEnd();
      expect(answer.raw).toBe('replaced');
      await until('its slot is back', () => sse.stats().clients === 0);
      expect(sse.stats().slow).toBeLessThanOrEqual(1);
    });
  });
}
