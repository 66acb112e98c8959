import { Agent } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

import { describe, expect, it } from '@jest/globals';
import {
  Controller,
  Get,
  HttpException,
  Inject,
  Param,
  ParseIntPipe,
  Query,
  Res,
  Sse,
  UnauthorizedException,
} from '@nestjs/common';
import { type NodeResponseLike, SSEService } from 'nestjs-sse-hub';
import { map, type Observable } from 'rxjs';

import { returnToBaseline, until } from '../../support/baseline.js';
import { platforms } from '../../support/platforms.js';
import { RecordedEventSource } from '../../support/readers/event-source.js';
import { answerTo, type Options, serve } from '../../support/served.js';
import { allTransports, direct, web } from '../../support/stream-controllers.js';

const bench = returnToBaseline();

for (const platform of platforms) {
  for (const transport of allTransports) {
    describe(`${transport.name} on ${platform.name}`, () => {
      it('A2: a guard that says 401 is the ordinary answer, and no slot is taken', async () => {
        const { sse, request } = await serve(bench, platform, transport, {
          config: { maxClients: 1, onLimit: 'reject' },
          prepare: (app) =>
            app.useGlobalGuards({
              canActivate: () => {
                throw new UnauthorizedException('Sign in first.');
              },
            }),
        });
        for (let i = 0; i < 3; i++) {
          expect(await answerTo(await request('a'))).toEqual({
            status: 401,
            body: { statusCode: 401, error: 'Unauthorized', message: 'Sign in first.' },
          });
        }
        expect(sse.stats()).toMatchObject({ clients: 0, topics: 0, refused: 0 });
      });

      it('A2: a guard that says no is a 403, which a real EventSource does not repeat', async () => {
        const { sse, url } = await serve(bench, platform, transport, {
          prepare: (app) => app.useGlobalGuards({ canActivate: () => false }),
        });
        const source = RecordedEventSource.open(bench, `${url}/events/a`);
        await source.untilStopped();
        expect(source.attempts.map(({ status }) => status)).toEqual([403]);
        expect(sse.stats().clients).toBe(0);
      });

      it('A2: a handler that throws before it connects is an ordinary 500 or what it says, and no slot is taken', async () => {
        const { sse, request } = await serve(bench, platform, transport, {
          config: { maxClients: 1, onLimit: 'reject' },
        });
        const secret = await request('a', () => {
          throw new Error('secret');
        });
        expect(await answerTo(secret)).toEqual({
          status: 500,
          body: { statusCode: 500, message: 'Internal server error' },
        });
        const gone = await request('a', () => {
          throw new HttpException('Gone for good.', 410);
        });
        expect(await answerTo(gone)).toEqual({ status: 410, body: { statusCode: 410, message: 'Gone for good.' } });
        expect(sse.stats()).toMatchObject({ clients: 0, topics: 0, refused: 0 });
      });

      it.each<[string, number, Options]>([
        ['INVALID_EVENT', 400, { initial: { event: 'sse.open', data: 1 } }],
        ['INVALID_EVENT', 400, { initial: [{ data: 1 }, { data: undefined }] }],
        ['EVENT_TOO_LARGE', 413, { initial: { data: 'x'.repeat(101) } }],
      ])('A2: wrong options are %s (%i) before any byte, and take no slot', async (code, status, options) => {
        const { sse, request } = await serve(bench, platform, transport, { config: { maxEventSize: 100 } });
        expect(await answerTo(await request('a', options))).toEqual({
          status,
          body: { statusCode: status, code, message: expect.any(String) as unknown },
        });
        expect(sse.stats()).toMatchObject({ clients: 0, topics: 0 });
      });

      it.each<[keyof Options, Options]>([
        ['id', { id: 'a\nb' }],
        ['since', { since: Number.NaN }],
        ['expiresAt', { expiresAt: new Date('never') }],
        ['heartbeatInterval', { heartbeatInterval: -1 }],
        ['onGap', { onGap: 'skip' as 'latest' }],
      ])('A2: a wrong `%s` is INVALID_CONFIG before any byte, and takes no slot', async (option, options) => {
        const { sse, request } = await serve(bench, platform, transport);
        expect(await answerTo(await request('a', options))).toEqual({
          status: 500,
          body: { statusCode: 500, code: 'INVALID_CONFIG', message: expect.stringContaining(option) as unknown },
        });
        expect(sse.stats()).toMatchObject({ clients: 0, topics: 0 });
      });
    });
  }

  describe(`on ${platform.name}`, () => {
    @Controller()
    class PipedController {
      constructor(@Inject(SSEService) private readonly sse: SSEService) {}

      @Get('direct/:id')
      direct(@Param('id', ParseIntPipe) id: number, @Res() response: NodeResponseLike): void {
        this.sse.createClient(response, { topics: `n:${id}` });
      }

      @Sse('stream/:id')
      stream(@Param('id', ParseIntPipe) id: number) {
        return this.sse.stream(`n:${id}`);
      }

      @Get('web/:id')
      web(@Param('id', ParseIntPipe) id: number): Response {
        return this.sse.addClient({ topics: `n:${id}` }).response;
      }
    }

    it.each(['direct', 'stream', 'web'])(
      'A2: a pipe that says 400 is the ordinary answer, and no slot is taken (%s)',
      async (route) => {
        const { url, sse } = await bench.start(platform, { controllers: [PipedController] });
        expect(await answerTo(await bench.open(`${url}/${route}/x`))).toMatchObject({
          status: 400,
          body: { statusCode: 400, error: 'Bad Request' },
        });
        expect(sse.stats()).toMatchObject({ clients: 0, topics: 0 });
        const stream = await bench.open(`${url}/${route}/1`);
        await stream.next();
        expect(sse.stats()).toMatchObject({ clients: 1, topics: 1 });
      },
    );

    it('A2: a handler that throws after addClient() gives the slot back at once', async () => {
      const { url, sse } = await bench.start(platform, {
        config: { maxClients: 1, onLimit: 'reject' },
        controllers: [web.controller()],
      });
      // On a connection that stays open: its end would give the slot back too.
      const agent = new Agent({ keepAlive: true });
      bench.onEnd(() => agent.destroy());
      for (let i = 0; i < 3; i++) {
        expect(await answerTo(await bench.open(`${url}/events/a?fail`, { agent }))).toEqual({
          status: 500,
          body: { statusCode: 500, message: 'Internal server error' },
        });
        expect(sse.stats()).toMatchObject({ clients: 0, topics: 0 });
      }
      const stream = await bench.open(`${url}/events/a`);
      expect((await stream.next()).event).toBe('sse.open');
    });

    it('A2: response headers that cannot be sent are an ordinary 500, and no slot is taken', async () => {
      const { sse, request } = await serve(bench, platform, direct);
      const refused = await request('a', { headers: { 'x-note': 'a\nb' } });
      expect(await answerTo(refused)).toEqual({
        status: 500,
        body: { statusCode: 500, message: 'Internal server error' },
      });
      expect(sse.stats()).toMatchObject({ clients: 0, topics: 0 });
    });

    it.each([direct, web])(
      'A2: headers without a value, and those that say how long the response is, are left out ($name)',
      async (transport) => {
        const { sse, connect } = await serve(bench, platform, transport);
        const stream = await connect('a', {
          headers: { 'x-feed': undefined, 'x-note': 'kept', 'Content-Length': 5, 'transfer-encoding': 'identity' },
        });
        expect(stream.status).toBe(200);
        expect(stream.response.headers).toMatchObject({ 'x-note': 'kept', 'transfer-encoding': 'chunked' });
        expect(stream.response.headers).not.toHaveProperty('x-feed');
        expect(stream.response.headers).not.toHaveProperty('content-length');
        sse.broadcast('a', 'n', 1);
        expect(await stream.messagesUpTo(1)).toEqual([1]);
      },
    );

    @Controller()
    class LateErrorController {
      constructor(@Inject(SSEService) private readonly sse: SSEService) {}

      @Get('direct')
      direct(@Res() response: NodeResponseLike, @Query('http') http?: string): void {
        this.sse.createClient(response, { topics: 'a' });
        throw http === undefined ? new Error('secret') : new HttpException('secret', 400);
      }

      @Get('later')
      async later(@Res() response: NodeResponseLike): Promise<void> {
        this.sse.createClient(response, { topics: 'a' });
        await delay(20);
        throw new Error('secret');
      }

      @Sse('stream')
      stream(): Observable<unknown> {
        return this.sse.stream('a').pipe(
          map((message) => {
            if (message.type === 'n') throw new Error('secret');
            return message;
          }),
        );
      }
    }

    it.each(['direct', 'direct?http', 'later', 'stream'])(
      'A3: an exception after the headers ends the stream, gives the slot back and leaks nothing (%s)',
      async (route) => {
        const { url, sse } = await bench.start(platform, { controllers: [LateErrorController] });
        const stream = await bench.open(`${url}/${route}`);
        if (route === 'stream') {
          await stream.next();
          sse.broadcast('a', 'n', 1);
        }
        await stream.untilEnd();
        expect(stream.status).toBe(200);
        expect(stream.response.complete).toBe(true);
        expect(stream.raw).not.toMatch(/secret|\.ts|\bat /);
        expect(stream.messages.filter(({ event }) => event !== 'error')).toEqual([]);
        await until('the slot is back', () => sse.stats().clients === 0);
        // Nothing is written into what comes next.
        sse.broadcast('a', 'n', 2);
        await delay(10);
        expect(stream.raw).not.toContain('data: 2');
      },
    );

    it('A3: `createClient()` on a response that has been answered throws, and takes no slot', async () => {
      @Controller()
      class AnsweredController {
        constructor(@Inject(SSEService) private readonly sse: SSEService) {}

        @Get('answered')
        answered(@Res() response: { readonly raw?: NodeResponseLike } & NodeResponseLike): void {
          const raw = (response.raw ?? response) as unknown as import('node:http').ServerResponse;
          raw.writeHead(200, { 'content-type': 'text/plain' });
          raw.write('half');
          this.sse.createClient(response, { topics: 'a' });
        }
      }
      const { url, sse } = await bench.start(platform, { controllers: [AnsweredController] });
      const answer = await bench.open(`${url}/answered`);
      await answer.untilEnd();
      expect(answer.raw).toBe('half');
      await until('no slot is taken', () => sse.stats().clients === 0);
      expect(sse.stats().topics).toBe(0);
    });
  });
}
