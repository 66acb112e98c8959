import { once } from 'node:events';
import { Agent, get, type IncomingMessage, type ServerResponse } from 'node:http';
import { gunzipSync } from 'node:zlib';

import fastifyCompress from '@fastify/compress';
import fastifyCors from '@fastify/cors';
import { describe, expect, it } from '@jest/globals';
import { Controller, Get, type INestApplication } from '@nestjs/common';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import compression from 'compression';

import { withTimeout } from '../../../src/backplane/broker/with-timeout.js';
import { returnToBaseline, until } from '../../support/baseline.js';
import { type Platform, platforms } from '../../support/platforms.js';
import { allTransports, direct } from '../../support/stream-controllers.js';

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
  for (const transport of allTransports) {
    describe(`${transport.name} on ${platform.name}`, () => {
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
    const request = get(`${url}/events/t`, { headers: { 'accept-encoding': 'gzip' } });
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    expect(response.headers['content-encoding']).toBe('gzip');
    const chunks: Buffer[] = [];
    response.on('data', (chunk: Buffer) => chunks.push(chunk));
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
    const ended = once(response, 'end');
    sse.closeTopic('t');
    await ended;
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
