import { execFile } from 'node:child_process';
import http from 'node:http';
import { gunzipSync } from 'node:zlib';

import { describe, expect, it } from '@jest/globals';
import { SSEService } from 'nestjs-sse-hub';
import { Agent, fetch as undiciFetch } from 'undici';

import { returnToBaseline, until } from '../support/baseline.js';
import { platforms } from '../support/platforms.js';
import { RecordedEventSource } from '../support/readers/event-source.js';
import { direct, web } from '../support/stream-controllers.js';

const bench = returnToBaseline();

/** A client that takes gzip and keeps what comes as it is. */
interface GzipClient {
  readonly headers: http.IncomingHttpHeaders;
  readonly body: Buffer;
  readonly ended: boolean;
  pause(): void;
  resume(): void;
}

function openGzip(url: string, acceptEncoding = 'gzip, deflate, br'): Promise<GzipClient> {
  return new Promise((resolve, reject) => {
    const request = http.get(url, { agent: false, headers: { 'accept-encoding': acceptEncoding } }, (response) => {
      const chunks: Buffer[] = [];
      let ended = false;
      response.on('data', (chunk: Buffer) => chunks.push(chunk));
      response.on('end', () => (ended = true));
      response.on('error', () => {});
      bench.onEnd(() => request.destroy());
      resolve({
        headers: response.headers,
        get body() {
          return Buffer.concat(chunks);
        },
        get ended() {
          return ended;
        },
        pause: () => response.pause(),
        resume: () => response.resume(),
      });
    });
    request.on('error', reject);
  });
}

/** The data of the application's events. */
function dataOf(text: string): string[] {
  return text
    .split('\n\n')
    .filter((block) => block.includes('event: n\n'))
    .map((block) => /^data: (.*)$/m.exec(block)?.[1] ?? '');
}

for (const platform of platforms) {
  for (const transport of [direct, web]) {
    describe(`compression through ${transport.name} on ${platform.name}`, () => {
      const start = (compression: boolean | object = true) =>
        bench.start(platform, { config: { compression }, controllers: [transport.controller()] });

      for (const readers of [1, 30]) {
        it(`gives each of ${readers} clients a whole gzip stream, with a trailer that is right`, async () => {
          const { url, sse } = await start({ threshold: 100 });
          const clients = await Promise.all(Array.from({ length: readers }, () => openGzip(`${url}/events/t`)));
          await until('all are clients', () => sse.getClientCount() === readers);
          const sent: string[] = [];
          for (let n = 0; n < 40; n++) {
            const data = { n, text: 'again and again '.repeat(n % 7 === 0 ? 10_000 : n) };
            sent.push(JSON.stringify(data));
            sse.broadcast('t', 'n', data);
            // Some clients come later, and so have another checksum at the end.
            if (n === 20) clients.push(await openGzip(`${url}/events/t`));
            if (n % 3 === 0) await new Promise((resolve) => setImmediate(resolve));
          }
          await until('the late one is a client', () => sse.getClientCount() === readers + 1);
          sse.closeTopic('t');
          await until('all have ended', () => clients.every(({ ended }) => ended));
          for (const [i, client] of clients.entries()) {
            expect(client.headers).toMatchObject({
              'content-encoding': 'gzip',
              vary: expect.stringContaining('Accept-Encoding'),
            });
            // Throws unless CRC-32 and length are those of what came.
            const text = gunzipSync(client.body).toString();
            const got = dataOf(text);
            expect(got).toEqual(sent.slice(sent.length - got.length));
            expect(i < readers ? got.length === 40 : got.length >= 19).toBe(true);
            expect(text.endsWith('event: sse.end\nid: 1~end\ndata: {}\n\n')).toBe(true);
          }
          if (readers > 10) {
            const size = clients[0]!.body.length;
            expect(size).toBeLessThan(gunzipSync(clients[0]!.body).length / 20);
          }
        });
      }

      it('shows every event at once to EventSource, fetch and curl', async () => {
        const { url, sse } = await start();
        const got: Record<string, string[]> = { eventsource: [], undici: [], curl: [] };
        const recorded = new RecordedEventSource(`${url}/events/t`, ['n']);
        bench.onEnd(() => recorded.close());
        recorded.source.addEventListener('n', ({ data }) => got['eventsource']!.push(data as string));

        // One of its own, because undici reconnects ahead of need, and a server that closes waits for that connection.
        const dispatcher = new Agent();
        bench.onEnd(() => void dispatcher.destroy());
        const response = await undiciFetch(`${url}/events/t`, {
          headers: { 'accept-encoding': 'gzip' },
          dispatcher,
        });
        expect(response.headers.get('content-encoding')).toBe('gzip');
        let text = '';
        void (async () => {
          const decoder = new TextDecoder();
          for await (const chunk of response.body!) {
            text += decoder.decode(chunk as Uint8Array, { stream: true });
            got['undici'] = dataOf(text);
          }
        })().catch(() => {});

        const curl = execFile('curl', ['-sN', '--compressed', `${url}/events/t`]);
        bench.onEnd(() => curl.kill());
        let output = '';
        curl.stdout!.on('data', (chunk: string) => {
          output += chunk;
          got['curl'] = dataOf(output);
        });
        await until('all are clients', () => sse.getClientCount() === 3);
        for (let n = 0; n < 5; n++) {
          sse.broadcast('t', 'n', n);
          await until(`event ${n} is everywhere`, () => Object.values(got).every((data) => data.length === n + 1));
        }
        expect(got['curl']).toEqual(['0', '1', '2', '3', '4']);
      });

      it('leaves clients alone that do not take gzip', async () => {
        const { url, sse } = await start();
        for (const accepted of ['identity', 'br', 'gzip;q=0']) {
          const client = await openGzip(`${url}/events/t`, accepted);
          expect(client.headers['content-encoding']).toBeUndefined();
          expect(client.headers['vary']).toContain('Accept-Encoding');
          await until('it is open', () => client.body.includes('sse.open'));
        }
        expect(sse.getClientCount()).toBe(3);
      });

      it('keeps the reason that CORS has to vary', async () => {
        const { url } = await bench.start(platform, {
          config: { compression: true },
          controllers: [transport.controller()],
          prepare: (app) => app.enableCors({ origin: /example/, credentials: true }),
        });
        const { headers } = await openGzip(`${url}/events/t`);
        expect(headers['vary']).toMatch(/Accept-Encoding/);
        expect(headers['vary']).toMatch(/Origin/);
      });
    });
  }
}

describe('compression', () => {
  it('is off unless it is asked for', async () => {
    const { url } = await bench.start(platforms[0]!, { controllers: [direct.controller()] });
    const client = await openGzip(`${url}/events/t`);
    expect(client.headers['content-encoding']).toBeUndefined();
    expect(client.headers['vary']).toBeUndefined();
  });

  it('deflates once for all clients of a batch', async () => {
    const { url, sse } = await bench.start(platforms[0]!, {
      config: { compression: true },
      controllers: [direct.controller()],
    });
    const clients = await Promise.all(Array.from({ length: 20 }, () => openGzip(`${url}/events/t`)));
    await until('all are open', () => clients.every(({ body }) => body.length > 100));
    const before = clients.map(({ body }) => body.length);
    sse.broadcast('t', 'n', 'the same for all '.repeat(500));
    await until('all have it', () => clients.every(({ body }, i) => body.length > before[i]!));
    const added = clients.map(({ body }, i) => body.subarray(before[i]).toString('latin1'));
    expect(new Set(added).size).toBe(1);
    expect(added[0]!.length).toBeLessThan(500);
  });

  it('refuses options that make no sense', () => {
    for (const compression of [{ level: 10 }, { level: 0 }, { threshold: -1 }, { treshold: 1 }, 'yes']) {
      expect(() => new SSEService({ compression: compression as never })).toThrow(/compression/);
    }
  });
});
