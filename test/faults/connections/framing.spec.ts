import { Agent, type ServerResponse } from 'node:http';
import { gunzipSync } from 'node:zlib';

import fastifyCompress from '@fastify/compress';
import fastifyCors from '@fastify/cors';
import { describe, expect, it } from '@jest/globals';
import { Controller, Get, type INestApplication } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import compression from 'compression';

import { withTimeout } from '../../../src/backplane/broker/with-timeout.js';
import { returnToBaseline, until } from '../../support/baseline.js';
import { Proxy } from '../../support/network/proxy.js';
import { RawConnection } from '../../support/network/raw-connection.js';
import { type Platform, platforms } from '../../support/platforms.js';
import { RecordedEventSource } from '../../support/readers/event-source.js';
import { direct, transports } from '../../support/stream-controllers.js';

const bench = returnToBaseline();

/** What passes for at once. */
const VISIBLE_WITHIN = 100;

type Handler = (request: unknown, response: ServerResponse, next: () => void) => void;

@Controller()
class PlainController {
  @Get('plain')
  plain(): string {
    return 'plain '.repeat(1_000);
  }
}

/** Compresses every answer, as far as the platform's own plug-in does. */
function useCompression(app: INestApplication, { name }: Platform): void {
  if (name === 'Express') app.use(compression({ threshold: 0, filter: () => true }));
  else void (app as NestFastifyApplication).register(fastifyCompress, { threshold: 0, global: true });
}

/** Of its own plug-in, which on Fastify keeps its headers on the reply rather than on Node's response. */
function useCors(app: INestApplication, { name }: Platform): void {
  const options = { origin: /\.example$/, credentials: true };
  if (name === 'Express') app.enableCors(options);
  else void (app as NestFastifyApplication).register(fastifyCors, options);
}

/** A machine that is busy for a moment delays one; whoever gathers events delays all. */
function medianOf(times: readonly number[]): number {
  return times.toSorted((a, b) => a - b)[Math.floor(times.length / 2)]!;
}

for (const platform of platforms) {
  for (const transport of transports) {
    describe(`${transport.name} on ${platform.name}`, () => {
      it('C6: speaks HTTP/1.0: no chunks, and the end of the connection is the end of the stream', async () => {
        const { url, sse } = await bench.start(platform, { controllers: [transport.controller()] });
        const connection = await RawConnection.open(url);
        bench.onEnd(() => connection.close());
        connection.get('/events/t', { version: '1.0' });
        await connection.until(() => connection.text.includes('sse.open'));
        sse.broadcast('t', 'n', 1);
        sse.closeTopic('t');
        await connection.until(() => connection.closed);
        const [head = '', body = ''] = connection.text.split('\r\n\r\n');
        expect(head.toLowerCase()).not.toContain('transfer-encoding');
        // Nest begins its streams with an empty line.
        expect(body.trimStart().startsWith('event: sse.open\nid: 1~')).toBe(true);
        expect(body).toContain('data: 1\n\n');
        expect(body.endsWith('event: sse.end\nid: 1~end\ndata: {}\n\n')).toBe(true);
      });

      it('C6: answers HEAD with the headers, and takes no slot', async () => {
        const { url, sse } = await bench.start(platform, { controllers: [transport.controller()] });
        const stream = await bench.open(`${url}/events/t`, { method: 'HEAD' });
        expect(stream.status).toBe(200);
        expect(stream.response.headers['content-type']).toMatch(/^text\/event-stream/);
        await stream.untilEnd();
        expect(stream.raw).toBe('');
        expect(sse.getClientCount()).toBe(0);
      });

      it('C6: comes whole through a proxy that splits every byte, both ways', async () => {
        const { url, sse } = await bench.start(platform, {
          config: { retryInterval: 10 },
          controllers: [transport.controller()],
        });
        const proxy = await Proxy.start(url);
        bench.onEnd(() => proxy.close());
        proxy.toServer.splitting = true;
        proxy.toClient.splitting = true;
        const source = RecordedEventSource.open(bench, `${proxy.url}/events/t`, ['n']);
        await source.untilCount('sse.open', 1);
        const sent = ['a\nb', 'ä漢😀', ' : data: x', { nested: ['é', '\u2028'] }, 'x'.repeat(2_000)];
        for (const [n, data] of sent.entries()) {
          sse.broadcast('t', 'n', JSON.stringify(data));
          await source.untilCount('n', n + 1);
          // It resumes from what came before the cut, its last event ID split as well.
          if (n === 2) proxy.cut();
        }
        expect(source.data).toEqual(sent);
        expect(source.count('sse.reset')).toBe(0);
        expect(source.attempts).toHaveLength(2);
      });

      it('C7: is visible at once behind a plug-in that compresses every answer', async () => {
        const { url, sse } = await bench.start(platform, {
          controllers: [transport.controller(), PlainController],
          prepare: (app) => useCompression(app, platform),
        });
        const plain = await fetch(`${url}/plain`, { headers: { 'accept-encoding': 'gzip' } });
        expect(plain.headers.get('content-encoding')).toBe('gzip');
        expect(await plain.text()).toBe('plain '.repeat(1_000));
        const stream = await bench.open(`${url}/events/t`, { headers: { 'accept-encoding': 'gzip' } });
        await stream.next();
        // `no-transform` has kept it from compressing.
        expect(stream.response.headers['content-encoding']).toBeUndefined();
        const times: number[] = [];
        for (let n = 0; n < 10; n++) {
          const published = performance.now();
          sse.broadcast('t', 'n', n);
          expect(JSON.parse((await stream.nextMessage()).data)).toBe(n);
          times.push(performance.now() - published);
        }
        expect(medianOf(times)).toBeLessThan(VISIBLE_WITHIN);
      });

      it.each([
        ['a stream', {}, {}, 200],
        ['a refusal', { maxClients: 1 }, {}, 200],
        ['the 204 of a stream that is over', {}, { lastEventId: '1~end' }, 204],
        ['the answer to HEAD', {}, { method: 'HEAD' }, 200],
        ['an error', { maxClients: 1, onLimit: 'reject' as const }, {}, 503],
      ])('C9: has the headers of CORS on %s', async (answer, config, request, status) => {
        const { url, sse } = await bench.start(platform, {
          config,
          controllers: [transport.controller()],
          prepare: (app) => useCors(app, platform),
        });
        const first = await bench.open(`${url}/events/t`);
        await until('the only place is taken', () => sse.getClientCount() === 1);
        const second = await bench.open(`${url}/events/t`, {
          ...request,
          headers: { origin: 'https://app.example' },
        });
        if (answer === 'a stream') await second.next();
        else await second.untilEnd();
        expect(second.status).toBe(status);
        expect(second.response.headers).toMatchObject({
          'access-control-allow-origin': 'https://app.example',
          'access-control-allow-credentials': 'true',
          vary: expect.stringContaining('Origin') as unknown,
        });
        first.close();
      });
    });
  }
}

describe('createClient() behind a middleware that compresses whatever is said against it', () => {
  it('C7: is flushed with every write', async () => {
    const forgetNoTransform: Handler = (_, response, next) => {
      const writeHead = response.writeHead.bind(response) as (status: number, headers: object) => ServerResponse;
      response.writeHead = ((status: number, headers: object) =>
        writeHead(status, { ...headers, 'Cache-Control': 'no-store' })) as typeof response.writeHead;
      next();
    };
    const { url, sse } = await bench.start(platforms[0]!, {
      controllers: [direct.controller()],
      prepare: (app) => {
        app.use(compression({ threshold: 0, filter: () => true }));
        app.use(forgetNoTransform);
      },
    });
    const stream = await bench.open(`${url}/events/t`, { headers: { 'accept-encoding': 'gzip' } });
    expect(stream.response.headers['content-encoding']).toBe('gzip');
    const chunks: Buffer[] = [];
    stream.response.removeAllListeners('data');
    stream.response.setEncoding('latin1').on('data', (text: string) => chunks.push(Buffer.from(text, 'latin1')));
    await until('it is open', () => chunks.length > 0);
    const times: number[] = [];
    for (let n = 0; n < 10; n++) {
      const published = performance.now();
      const before = chunks.length;
      sse.broadcast('t', 'n', n);
      await until('it has come', () => chunks.length > before);
      times.push(performance.now() - published);
    }
    expect(medianOf(times)).toBeLessThan(VISIBLE_WITHIN);
    sse.closeTopic('t');
    await stream.untilEnd();
    expect(
      gunzipSync(Buffer.concat(chunks))
        .toString()
        .match(/data: \d\n/g),
    ).toHaveLength(10);
  });
});

describe('createClient() behind a middleware that keeps the end back', () => {
  it('C7: the last of the stream leaves before the connection closes at shutdown', async () => {
    // As express-session does: what ends the response is written, and the end itself waits until the session is stored.
    const storeFirst: Handler = (_, response, next) => {
      const end = response.end.bind(response) as () => ServerResponse;
      response.end = ((chunk?: string, encoding?: BufferEncoding) => {
        if (chunk !== undefined) response.write(chunk, encoding!);
        setTimeout(end, 50);
        return response;
      }) as typeof response.end;
      next();
    };
    const running = await bench.start(platforms[0]!, {
      config: { drainTimeout: 60_000 },
      controllers: [direct.controller()],
      prepare: (app) => app.use(storeFirst),
    });
    const agent = new Agent({ keepAlive: true });
    const stream = await bench.connect(`${running.url}/events/t`, { agent });
    running.sse.broadcast('t', 'n', 1);
    await withTimeout(running.close(), 30_000, 'close()');
    await stream.untilEnd();
    expect(stream.response.complete).toBe(true);
    expect(stream.data).toEqual([1]);
    agent.destroy();
  });
});
