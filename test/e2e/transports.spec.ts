import { execFile } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import { IncomingMessage, ServerResponse } from 'node:http';
import http2 from 'node:http2';
import type { AddressInfo, Socket } from 'node:net';
import { Writable } from 'node:stream';
import { setImmediate } from 'node:timers';

import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { Controller, Get, Inject, Res, Sse, UseInterceptors } from '@nestjs/common';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { EventSource } from 'eventsource';
import { type NodeResponseLike, SSEModule, SSEService } from 'nestjs-sse-hub';
import { map, tap } from 'rxjs';

import { until } from '../support/baseline.js';
import { closeAllPlain, startPlain } from '../support/plain-server.js';
import { closeAll, platforms, startApp } from '../support/platforms.js';
import { open } from '../support/readers/event-stream.js';
import { allTransports, direct, transports } from '../support/stream-controllers.js';

afterEach(async () => {
  await closeAll();
  await closeAllPlain();
});

for (const platform of platforms) {
  for (const transport of allTransports) {
    describe(`${transport.name} on ${platform.name}`, () => {
      it('flushes headers and retry at once, retry: 3000 (without jitter) first', async () => {
        const { url } = await startApp(platform, { config: { retryJitter: 0 }, controllers: [transport.controller()] });
        const stream = await open(`${url}/events/t`);
        expect(stream.response.headers).toMatchObject({
          'content-type': expect.stringMatching(/^text\/event-stream(; charset=utf-8)?$/),
          'cache-control': 'private, no-cache, no-store, must-revalidate, max-age=0, no-transform',
          'x-accel-buffering': 'no',
        });
        const { lastEventId } = await stream.next();
        expect(stream.retries).toEqual([3_000]);
        expect(stream.raw.trimStart()).toMatch(
          /^event: sse\.open\nid: 1~[0-9a-z]+~[0-9a-z]+-[0-9a-z]+\nretry: 3000\ndata: /,
        );
        expect(lastEventId).toMatch(/^1~/);
        stream.close();
      });

      it('spreads retry with retryJitter', async () => {
        const { url } = await startApp(platform, {
          config: { retryInterval: 1_000, retryJitter: 1 },
          controllers: [transport.controller()],
        });
        const retries = new Set<number>();
        for (let i = 0; i < 8; i++) {
          const stream = await open(`${url}/events/t`);
          await stream.next();
          stream.close();
          retries.add(stream.retries[0]!);
        }
        expect(Math.min(...retries)).toBeGreaterThanOrEqual(1_000);
        expect(Math.max(...retries)).toBeLessThanOrEqual(2_000);
        expect(retries.size).toBeGreaterThan(1);
      });

      it('C9: keeps the CORS headers of the framework', async () => {
        const { url } = await startApp(platform, {
          controllers: [transport.controller()],
          prepare: (app) => app.enableCors({ origin: 'https://app.example', credentials: true }),
        });
        const stream = await open(`${url}/events/t`, { headers: { origin: 'https://app.example' } });
        expect(stream.response.headers).toMatchObject({
          'access-control-allow-origin': 'https://app.example',
          'access-control-allow-credentials': 'true',
        });
        stream.close();
      });

      it('a stream outlives the idle timeout of the server', async () => {
        const { url, sse } = await startApp(platform, {
          controllers: [transport.controller()],
          prepare: (app) => {
            (app.getHttpServer() as { timeout: number }).timeout = 100;
          },
        });
        const stream = await open(`${url}/events/t`);
        await stream.next();
        await new Promise((resolve) => setTimeout(resolve, 350));
        sse.broadcast('t', 'n', 1);
        // A web response is written by Nest, which leaves the timeout alone: heartbeats keep it open there.
        if (transport.name === 'addClient()') await stream.until(() => stream.ended || stream.messages.length > 0);
        else expect(await stream.messagesUpTo(1)).toEqual([1]);
        stream.close();
      });

      it('serves a real EventSource, which resumes exactly after the server dropped it', async () => {
        const { url, sse } = await startApp(platform, {
          config: { retryInterval: 20 },
          controllers: [transport.controller()],
        });
        const source = new EventSource(`${url}/events/t`);
        const got: string[] = [];
        const states: string[] = [];
        source.addEventListener('n', ({ data }) => got.push(data as string));
        source.addEventListener('sse.open', ({ data }) => {
          states.push((JSON.parse(data as string) as { resumed: string }).resumed);
        });
        await until('it is open', () => states.length === 1);
        for (let n = 0; n < 5; n++) {
          sse.broadcast('t', 'n', n);
          sse.removeClient(sse.getClients()[0]!.id);
          sse.broadcast('t', 'n', `${n}b`);
          await until('it is back', () => states.length === n + 2);
        }
        await until('everything has come', () => got.length >= 10);
        expect(got).toEqual(['0', '0b', '1', '1b', '2', '2b', '3', '3b', '4', '4b']);
        expect(states).toEqual(['none', 'full', 'full', 'full', 'full', 'full']);
        source.close();
      });

      it('serves curl -N', async () => {
        const { url, sse } = await startApp(platform, { controllers: [transport.controller()] });
        const curl = execFile('curl', ['-sN', `${url}/events/t`]);
        let output = '';
        curl.stdout!.on('data', (text: string) => (output += text));
        await until('it is connected', () => output.includes('sse.open'));
        sse.broadcast('t', 'n', { hello: 'curl' });
        await until('the event', () => output.includes('data: {"hello":"curl"}\n\n'));
        curl.kill();
      });

      it('one failing client never disturbs the others', async () => {
        const { url, sse } = await startApp(platform, { controllers: [transport.controller()] });
        const streams = await Promise.all(Array.from({ length: 10 }, () => open(`${url}/events/t`)));
        for (const stream of streams) await stream.next();
        for (let n = 0; n < 20; n++) {
          if (n === 5) streams[3]!.socket.resetAndDestroy();
          if (n === 10) streams[6]!.response.pause();
          sse.broadcast('t', 'n', n);
          await new Promise((resolve) => setImmediate(resolve));
        }
        for (const [i, stream] of streams.entries()) {
          if (i === 3 || i === 6) continue;
          expect(await stream.messagesUpTo(20)).toEqual(Array.from({ length: 20 }, (_, n) => n));
        }
        for (const stream of streams) stream.close();
      });

      it('maxConnectionAge closes streams between two events, and nothing is lost', async () => {
        const { url, sse } = await startApp(platform, {
          config: { maxConnectionAge: 200, retryInterval: 10 },
          controllers: [transport.controller()],
        });
        const source = new EventSource(`${url}/events/t`);
        const got: number[] = [];
        let opened = 0;
        source.addEventListener('sse.open', () => opened++);
        source.addEventListener('n', ({ data }) => got.push(Number(data)));
        await until('it is open', () => opened === 1);
        let n = 0;
        while (opened < 4) {
          sse.broadcast('t', 'n', n++);
          await new Promise((resolve) => setTimeout(resolve, 2));
        }
        await until('all have come', () => got.length === n);
        expect(got).toEqual(Array.from({ length: n }, (_, i) => i));
        source.close();
      });
    });
  }

  describe(`heartbeats on ${platform.name}`, () => {
    for (const transport of transports) {
      it(`C8: ${transport.name}: a comment when nothing else was written for heartbeatInterval, none while events flow`, async () => {
        const { url, sse } = await startApp(platform, {
          // Long, so that a machine which is busy for a moment is not taken for silence.
          config: { heartbeatInterval: 600 },
          controllers: [transport.controller()],
        });
        const stream = await open(`${url}/events/t`);
        await stream.next();
        let heartbeats = 0;
        let longestGap = Infinity;
        // Where the machine stood still for as long there was silence.
        for (let tries = 0; tries < 10 && longestGap >= 600; tries++) {
          const before = sse.stats().heartbeats;
          let last = performance.now();
          longestGap = 0;
          for (let n = 0; n < 40; n++) {
            sse.broadcast('t', 'n', n);
            await new Promise((resolve) => setTimeout(resolve, 25));
            longestGap = Math.max(longestGap, performance.now() - last);
            last = performance.now();
          }
          heartbeats = sse.stats().heartbeats - before;
        }
        expect(longestGap).toBeLessThan(600);
        expect(heartbeats).toBe(0);
        const events = stream.events.length;
        await stream.until(() => /\n: ?\n/.test(stream.raw));
        expect(stream.events).toHaveLength(events);
        stream.close();
      });
    }

    it('moves the cursor of a quiet client on once a minute, so that busy neighbours cannot make it look lost', async () => {
      const real = performance.now.bind(performance);
      let ahead = 0;
      const now = jest.spyOn(performance, 'now').mockImplementation(() => real() + ahead);
      try {
        const { url, sse } = await startApp(platform, {
          config: { heartbeatInterval: 100 },
          controllers: [direct.controller()],
        });
        const stream = await open(`${url}/events/quiet`);
        const { lastEventId } = await stream.next();
        sse.broadcast('busy', 'n', 1);
        await until('a heartbeat', () => sse.stats().heartbeats > 0);
        expect(stream.lastEventId).toBe(lastEventId);
        ahead = 60_000;
        await stream.until(() => stream.lastEventId !== lastEventId);
        expect(stream.messages).toEqual([]);
        const cursor = await sse.publish('busy', 'n', 2);
        expect(stream.lastEventId.split('~')[1]).toBe(cursor.split('~')[1]);
        stream.close();
      } finally {
        now.mockRestore();
      }
    });
  });

  it(`C9: headers set by interceptors, by the handler and by the headers option are on the response on ${platform.name}`, async () => {
    @Controller()
    @UseInterceptors({
      intercept: (context, next) => {
        const response = context.switchToHttp().getResponse<{ header(name: string, value: string): void }>();
        response.header('X-Interceptor', 'yes');
        return next.handle().pipe(tap());
      },
    })
    class HeaderController {
      constructor(@Inject(SSEService) private readonly sse: SSEService) {}

      @Get('direct')
      direct(@Res() response: NodeResponseLike & { header(name: string, value: string): void }): void {
        response.header('X-Handler', 'yes');
        this.sse.createClient(response, { topics: 't', headers: { 'X-Option': 'yes' } });
      }

      @Get('web')
      web(@Res({ passthrough: true }) response: { header(name: string, value: string): void }): Response {
        response.header('X-Handler', 'yes');
        return this.sse.addClient({ topics: 't', headers: { 'X-Option': 'yes' } }).response;
      }

      @Sse('sse')
      stream(@Res({ passthrough: true }) response: { header(name: string, value: string): void }) {
        response.header('X-Handler', 'yes');
        return this.sse.stream('t');
      }
    }
    const { url } = await startApp(platform, { controllers: [HeaderController] });
    const one = await open(`${url}/direct`);
    expect(one.response.headers).toMatchObject({ 'x-interceptor': 'yes', 'x-handler': 'yes', 'x-option': 'yes' });
    const three = await open(`${url}/web`);
    expect(three.response.headers).toMatchObject({ 'x-interceptor': 'yes', 'x-handler': 'yes', 'x-option': 'yes' });
    three.close();
    const two = await open(`${url}/sse`);
    expect(two.response.headers).toMatchObject({ 'x-interceptor': 'yes', 'x-handler': 'yes' });
    one.close();
    two.close();
  });

  it(`C9: cookies and reasons to vary from before and those of the headers option are on the response on ${platform.name}`, async () => {
    @Controller()
    class CookieController {
      constructor(@Inject(SSEService) private readonly sse: SSEService) {}

      @Get('direct')
      direct(@Res() response: NodeResponseLike & { header(name: string, value: string): void }): void {
        this.#prepare(response);
        this.sse.createClient(response, { topics: 't', headers: { 'set-cookie': 'b=2', Vary: 'Cookie' } });
      }

      @Get('web')
      web(@Res({ passthrough: true }) response: { header(name: string, value: string): void }): Response {
        this.#prepare(response);
        return this.sse.addClient({ topics: 't', headers: { 'set-cookie': 'b=2', Vary: 'Cookie' } }).response;
      }

      #prepare(response: { header(name: string, value: string): void }): void {
        response.header('Set-Cookie', 'a=1');
        response.header('Vary', 'Origin');
      }
    }
    const { url } = await startApp(platform, { config: { compression: true }, controllers: [CookieController] });
    for (const route of ['direct', 'web']) {
      const stream = await open(`${url}/${route}`);
      expect(stream.response.headers['set-cookie']).toEqual(['a=1', 'b=2']);
      expect(stream.response.headers.vary?.split(', ').toSorted()).toEqual(['Accept-Encoding', 'Cookie', 'Origin']);
      stream.close();
    }
  });
}

interface Http2Stream {
  readonly stream: http2.ClientHttp2Stream;
  text: string;
  headers: http2.IncomingHttpHeaders;
  ended: boolean;
}

function openHttp2(session: http2.ClientHttp2Session, path: string): Http2Stream {
  const stream = session.request({ ':path': path, accept: 'text/event-stream' });
  const opened: Http2Stream = { stream, text: '', headers: {}, ended: false };
  stream.setEncoding('utf8');
  stream.on('response', (headers) => (opened.headers = headers));
  stream.on('data', (text: string) => (opened.text += text));
  stream.on('close', () => (opened.ended = true));
  stream.on('error', () => {});
  return opened;
}

describe('HTTP/2', () => {
  const startFastify = async (controller: ReturnType<typeof direct.controller>) => {
    const testing = await Test.createTestingModule({
      imports: [SSEModule.forRoot()],
      controllers: [controller],
    }).compile();
    const app = testing.createNestApplication(new FastifyAdapter({ http2: true } as object), { logger: ['fatal'] });
    await app.listen(0, '127.0.0.1');
    return { app, sse: app.get(SSEService), port: (app.getHttpServer().address() as AddressInfo).port };
  };

  for (const transport of transports) {
    it(`C6: ${transport.name} on Fastify: a hundred streams on one connection, and a slow one stops no other`, async () => {
      const { app, sse, port } = await startFastify(transport.controller());
      const session = http2.connect(`http://127.0.0.1:${port}`);
      const streams = Array.from({ length: 100 }, () => openHttp2(session, '/events/t'));
      await until('all are open', () => streams.every(({ text }) => text.includes('sse.open')));
      expect(streams[0]!.headers).toMatchObject({ ':status': 200, 'content-type': 'text/event-stream' });
      expect(streams[0]!.headers['connection']).toBeUndefined();
      streams[0]!.stream.pause();
      for (let n = 0; n < 50; n++) sse.broadcast('t', 'n', { n, payload: 'x'.repeat(5_000) });
      await until('the others have all', () => streams.slice(1).every(({ text }) => text.includes('{"n":49,')));
      expect(streams[0]!.text).not.toContain('{"n":49,');
      streams[0]!.stream.resume();
      await until('so has the slow one', () => streams[0]!.text.includes('{"n":49,'));
      streams[1]!.stream.close(http2.constants.NGHTTP2_CANCEL);
      await until('one is gone', () => sse.getClientCount() === 99);
      await app.close();
      await until('all have ended', () => streams.every(({ ended }) => ended));
      expect(sse.getClientCount()).toBe(0);
      session.destroy();
    });
  }

  it('createClient() on node:http2, without a framework', async () => {
    const sse = new SSEService();
    const server = http2.createServer((request, response) => {
      sse.createClient(response, { topics: request.url.slice(1) });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const session = http2.connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    const stream = openHttp2(session, '/t');
    await until('it is open', () => stream.text.includes('sse.open'));
    sse.broadcast('t', 'n', 1);
    sse.closeTopic('t');
    await until('it has ended', () => stream.ended);
    expect(stream.text).toContain('event: n\nid: 1~');
    expect(stream.text.endsWith('event: sse.end\nid: 1~end\ndata: {}\n\n')).toBe(true);
    session.close();
    await sse.shutdown();
    await new Promise((resolve) => server.close(resolve));
  });
});

describe('HEAD over HTTP/2', () => {
  it('has the headers of a stream that is compressed, and nothing of its body', async () => {
    const sse = new SSEService({ compression: true });
    const errors: unknown[] = [];
    const server = http2.createServer((_, response) => {
      for (const source of [response, response.stream]) source.on('error', (error) => errors.push(error));
      sse.createClient(response, { topics: 't' });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const session = http2.connect(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    const stream = session.request({ ':path': '/t', ':method': 'HEAD', 'accept-encoding': 'gzip' });
    stream.on('error', (error) => errors.push(error)).resume();
    const closed = once(stream, 'close');
    const [headers] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
    await closed;
    expect(headers).toMatchObject({ ':status': 200, 'content-encoding': 'gzip' });
    expect(stream.rstCode).toBe(http2.constants.NGHTTP2_NO_ERROR);
    expect(errors).toEqual([]);
    session.close();
    await new Promise((resolve) => server.close(resolve));
  });
});

describe('without a framework', () => {
  it('new SSEService(config) writes to plain node:http responses', async () => {
    const { url, sse } = await startPlain({ maxClients: 10 });
    const stream = await open(`${url}/events/t`);
    await stream.next();
    sse.broadcast('t', 'n', 1);
    expect(await stream.messagesUpTo(1)).toEqual([1]);
    stream.close();
  });

  it('addClient() gives a web-standard Response that reads the last event ID of a web-standard Request', async () => {
    const sse = new SSEService();
    const cursor = await sse.publish('t', 'n', 1);
    sse.broadcast('t', 'n', 2);
    const abort = new AbortController();
    const request = new Request('http://localhost/events', {
      headers: { 'Last-Event-ID': cursor },
      signal: abort.signal,
    });
    const { client, response } = sse.addClient({ topics: 't', request });
    expect(response.status).toBe(200);
    expect(response.headers.get('content-type')).toBe('text/event-stream');
    const reader = response.body!.pipeThrough(new TextDecoderStream()).getReader();
    let text = '';
    while (!text.includes('data: 2\n')) text += (await reader.read()).value ?? '';
    expect(text).toContain('"resumed":"full"');
    abort.abort();
    expect(client.connected).toBe(false);
    const byOption = sse.addClient({ topics: 't', lastEventId: '1~end' });
    expect(byOption.response.status).toBe(204);
    expect(byOption.client.connected).toBe(false);
  });
});

describe('createClient() where no connection is', () => {
  // As Fastify's inject() has it, which Jest cannot load: the request has something that is called a socket.
  const answer = (sse: SSEService): { response: ServerResponse; written: () => string; closed: Promise<unknown> } => {
    const request = new IncomingMessage(new EventEmitter() as Socket);
    Object.assign(request, {
      method: 'GET',
      url: '/events',
      httpVersion: '1.1',
      httpVersionMajor: 1,
      httpVersionMinor: 1,
    });
    const response = new ServerResponse(request);
    let text = '';
    const sink = new Writable({
      write: (chunk: Buffer, _, done) => {
        text += chunk.toString();
        setImmediate(done);
      },
    });
    response.assignSocket(sink as Socket);
    response.on('finish', () => response.destroy());
    const closed = once(response, 'close');
    sse.createClient(response, { topics: 't' });
    return { response, written: () => text, closed };
  };

  it.each(['closeTopic', 'shutdown'] as const)('sends all of the stream, and its end after %s()', async (how) => {
    const sse = new SSEService();
    const { written, closed } = answer(sse);
    await until('it is open', () => written().includes('sse.open'));
    sse.broadcast('t', 'n', 'x'.repeat(1_000));
    if (how === 'closeTopic') sse.closeTopic('t');
    else await sse.shutdown();
    await closed;
    expect(written()).toContain('x'.repeat(1_000));
    expect(written().endsWith('\r\n0\r\n\r\n')).toBe(true);
    expect(sse.getClientCount()).toBe(0);
  });
});

for (const platform of platforms) {
  describe(`stream() on ${platform.name}`, () => {
    it('outlives the response of a handler that is no @Sse() one', async () => {
      const received: unknown[] = [];
      @Controller()
      class BridgeController {
        constructor(@Inject(SSEService) private readonly sse: SSEService) {}

        @Get('bridge')
        bridge(): string {
          this.sse.stream('t').subscribe(({ data }) => received.push(data));
          return 'begun';
        }
      }
      const { url, sse } = await startApp(platform, { controllers: [BridgeController] });
      expect(await (await fetch(`${url}/bridge`)).text()).toBe('begun');
      await new Promise((resolve) => setTimeout(resolve, 20));
      for (let n = 0; n < 100; n++) sse.broadcast('t', 'n', 'x'.repeat(1_000));
      expect(received.slice(1)).toHaveLength(100);
      expect(sse.getClientCount()).toBe(1);
    });

    it('goes on when an operator copies some of its messages', async () => {
      @Controller()
      class CopyingController {
        constructor(@Inject(SSEService) private readonly sse: SSEService) {}

        @Sse('copies')
        copies() {
          return this.sse.stream('t').pipe(map((message) => (message.type === 'n' ? { ...message } : message)));
        }
      }
      const { url, sse } = await startApp(platform, { controllers: [CopyingController] });
      const stream = await open(`${url}/copies`);
      await stream.next();
      sse.broadcast('t', 'other', 0);
      await stream.messagesUpTo(1);
      const padding = 'x'.repeat(4_000);
      for (let n = 1; n <= 200; n++) sse.broadcast('t', 'n', { n, padding });
      const received = (await stream.messagesUpTo(201)) as { n: number }[];
      expect(received.slice(1).map(({ n }) => n)).toEqual(Array.from({ length: 200 }, (_, i) => i + 1));
      stream.close();
    });
  });
}
