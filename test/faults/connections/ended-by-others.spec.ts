import type { Server, ServerResponse } from 'node:http';

import { describe, expect, it } from '@jest/globals';
import { Controller, Get, Inject, Res, Sse } from '@nestjs/common';
import { type NodeResponseLike, type SSEEvent, SSEService } from 'nestjs-sse-hub';

import { returnToBaseline, until } from '../../support/baseline.js';
import { RawConnection } from '../../support/network/raw-connection.js';
import { fillUp, neverReading } from '../../support/network/stuck.js';
import { platforms } from '../../support/platforms.js';
import { RecordedLogger } from '../../support/recorded-logger.js';
import { transports, web } from '../../support/stream-controllers.js';

const bench = returnToBaseline();

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

interface Raw {
  end(text?: string): void;
  writeHead(status: number): Raw;
}

function rawOf(response: NodeResponseLike): Raw {
  return ('raw' in response && 'hijack' in response ? response.raw : response) as unknown as Raw;
}

for (const platform of platforms) {
  describe(`a response that somebody else ends on ${platform.name}`, () => {
    @Controller()
    class EndingController {
      readonly responses: Raw[] = [];

      constructor(@Inject(SSEService) private readonly sse: SSEService) {}

      @Get('events')
      events(@Res() response: NodeResponseLike): void {
        this.sse.createClient(response, { topics: 't' });
        this.responses.push(rawOf(response));
      }

      @Get('plain')
      plain(): string {
        return 'plain answer';
      }
    }

    it('C10: no write after the end, and the next response on the connection is byte-exact', async () => {
      const { app, url, sse } = await bench.start(platform, { controllers: [EndingController] });
      const { responses } = app.get(EndingController);
      const fresh = await RawConnection.open(url);
      bench.onEnd(() => fresh.close());
      fresh.get('/plain');
      await fresh.until(() => fresh.text.endsWith('plain answer'));
      const exact = fresh.text.replace(/Date: .*\r\n/i, '');

      const connection = await RawConnection.open(url);
      bench.onEnd(() => connection.close());
      for (let round = 0; round < 20; round++) {
        connection.text = '';
        connection.get('/events');
        await connection.until(() => connection.text.includes('sse.open'));
        for (let n = 0; n < 20; n++) sse.broadcast('t', 'n', { round, n });
        if (round % 2 === 0) await sleep(1);
        const pipelined = round % 4 > 1;
        if (pipelined) {
          connection.get('/plain');
          await sleep(5);
        }
        responses.at(-1)!.end();
        // It is known at once, whatever Node still has to write.
        expect(sse.getClientCount()).toBe(0);
        for (let n = 0; n < 20; n++) sse.broadcast('t', 'n', { after: n });
        await connection.until(() => connection.text.includes('\r\n0\r\n\r\n'));
        expect(connection.text).not.toContain('after');
        connection.text = connection.text.slice(connection.text.indexOf('\r\n0\r\n\r\n') + '\r\n0\r\n\r\n'.length);
        if (!pipelined) connection.get('/plain');
        for (let n = 0; n < 5; n++) {
          sse.broadcast('t', 'n', { after: n });
          await sleep(1);
        }
        await connection.until(() => connection.text.endsWith('plain answer'));
        expect(connection.text.replace(/Date: .*\r\n/i, '')).toBe(exact);
        expect(sse.getClientCount()).toBe(0);
      }
      expect(connection.closed).toBe(false);
    });

    it('C10: what the application writes onto the response itself, corked, stays in its place', async () => {
      const { app, url, sse } = await bench.start(platform, { controllers: [EndingController] });
      const connection = await RawConnection.open(url);
      bench.onEnd(() => connection.close());
      connection.get('/events');
      await connection.until(() => connection.text.includes('sse.open'));
      const response = app.get(EndingController).responses.at(-1)! as ServerResponse;
      response.cork();
      response.write(': first\n\n');
      sse.broadcast('t', 'n', 'second');
      await sleep(5);
      response.write(': third\n\n');
      response.uncork();
      sse.broadcast('t', 'n', 'fourth');
      await connection.until(() => connection.text.includes('fourth'));
      expect(connection.text.match(/first|second|third|fourth/g)).toEqual(['first', 'second', 'third', 'fourth']);
    });

    it('C10: after our own end, too, the next response on the connection is byte-exact', async () => {
      const { url, sse } = await bench.start(platform, { controllers: [EndingController] });
      const connection = await RawConnection.open(url);
      bench.onEnd(() => connection.close());
      connection.get('/events');
      await connection.until(() => connection.text.includes('sse.open'));
      sse.broadcast('t', 'n', 1);
      sse.removeClient(sse.getClients()[0]!.id);
      sse.broadcast('t', 'n', 'too late');
      await connection.until(() => connection.text.endsWith('0\r\n\r\n'));
      expect(connection.text).toContain('data: 1\n');
      connection.text = '';
      connection.get('/plain');
      sse.broadcast('t', 'n', 'too late');
      await connection.until(() => connection.text.endsWith('plain answer'));
      expect(connection.text).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
      expect(connection.text).not.toContain('too late');
    });
  });

  describe(`createClient() in an @Sse() route on ${platform.name}`, () => {
    let code: unknown;

    @Controller()
    class ConfusedController {
      constructor(@Inject(SSEService) private readonly sse: SSEService) {}

      @Sse('events')
      events(@Res() response: NodeResponseLike) {
        try {
          this.sse.createClient(response, { topics: 't' });
        } catch (error) {
          code = (error as { code?: unknown }).code;
          throw error;
        }
      }
    }

    it('C12: is INVALID_ROUTE, with nothing written and both right forms in the message', async () => {
      const { url, sse } = await bench.start(platform, { controllers: [ConfusedController] });
      const response = await fetch(`${url}/events`);
      expect(response.status).toBe(500);
      expect(response.headers.get('content-type')).toMatch(/^application\/json/);
      const body = (await response.json()) as { code: string; message: string };
      expect(body.code).toBe('INVALID_ROUTE');
      expect(body.message).toContain('sse.stream(');
      expect(body.message).toContain('@Res()');
      expect(code).toBe('INVALID_ROUTE');
      expect(sse.getClientCount()).toBe(0);
    });
  });

  for (const transport of transports) {
    describe(`${transport.name} on ${platform.name}`, () => {
      it('C11: 1,000 requests pipelined on one connection are one stream and one slot, and nothing is left of them when it closes', async () => {
        const logger = new RecordedLogger();
        const { url, sse } = await bench.start(platform, {
          // Node reads no more from a connection like this one: writing to it is what finds out that the client has left.
          config: { maxClients: 2, heartbeatInterval: 200 },
          controllers: [transport.controller()],
          nest: { logger },
        });
        const connection = await RawConnection.open(url);
        bench.onEnd(() => connection.close());
        for (let i = 0; i < 1_000; i++) connection.get('/events/t');
        await connection.until(() => connection.text.includes('sse.open'));
        await until('others have been turned away', () => sse.stats().refused > 100);
        expect(sse.getClientCount()).toBe(1);
        const newcomer = await bench.connect(`${url}/events/t`);
        for (let n = 0; n < 10; n++) sse.broadcast('t', 'n', n);
        await connection.until(() => connection.text.includes('data: 9\n'));
        await newcomer.messagesUpTo(10);
        expect(connection.text.match(/HTTP\/1\.1 200/g)).toHaveLength(1);
        connection.close();
        await until('only the newcomer is left', () => sse.getClientCount() === 1);
        newcomer.close();
        await until('nobody is left', () => sse.getClientCount() === 0);
        expect(logger.lines.filter(({ level }) => level !== 'log')).toEqual([]);
      });

      it('C11: a request that is pipelined behind a stream is asked, in its turn, to come back', async () => {
        const { url, sse } = await bench.start(platform, { controllers: [transport.controller()] });
        const connection = await RawConnection.open(url);
        bench.onEnd(() => connection.close());
        const cursor = await sse.publish('b', 'n', 'before');
        connection.get('/events/a');
        connection.get('/events/b', { headers: `Last-Event-ID: ${cursor}\r\n` });
        await until('the second is turned away', () => sse.stats().refused === 1);
        expect(sse.getClientCount()).toBe(1);
        sse.broadcast('a', 'n', 'first');
        await connection.until(() => connection.text.includes('first'));
        expect(connection.text).not.toContain('sse.busy');
        sse.closeTopic('a');
        const last = '\r\n0\r\n\r\n';
        await connection.until(() => connection.text.split(last).length === 3);
        const [first = '', second = ''] = connection.text.split(last);
        expect(first).toContain('event: sse.end\n');
        expect(second).toContain(`event: sse.busy\nid: ${cursor}\nretry: `);
        expect(second).toContain('data: {"reason":"pipelined"}');
        connection.text = '';
        // Nobody is in its way any more.
        connection.get('/events/b', { headers: `Last-Event-ID: ${cursor}\r\n` });
        await connection.until(() => connection.text.includes('"resumed":"full"'));
      });

      it('C11: a request that is pipelined behind another answer is a stream in its turn, the only one of its connection', async () => {
        let answer = (): void => {};
        @Controller()
        class WaitingController {
          @Get('waiting')
          async waiting(): Promise<string> {
            await new Promise<void>((resolve) => (answer = resolve));
            return 'the answer before it';
          }
        }
        const { url, sse } = await bench.start(platform, { controllers: [transport.controller(), WaitingController] });
        const connection = await RawConnection.open(url);
        bench.onEnd(() => connection.close());
        connection.get('/waiting');
        for (let i = 0; i < 10; i++) connection.get('/events/t');
        await until('all are answered but for one', () => sse.stats().refused === 9 && sse.getClientCount() === 1);
        for (let n = 0; n < 5; n++) sse.broadcast('t', 'n', n);
        await sleep(20);
        expect(connection.text).toBe('');
        answer();
        await connection.until(() => connection.text.includes('data: 4\n'));
        sse.broadcast('t', 'n', 5);
        await connection.until(() => connection.text.includes('data: 5\n'));
        const [, before = '', stream = ''] = connection.text.split('HTTP/1.1 200 OK\r\n');
        expect(before.endsWith('the answer before it')).toBe(true);
        expect(stream.match(/data: \d\n/g)).toHaveLength(6);
      });
    });
  }

  describe(`addClient() on ${platform.name}`, () => {
    it('C11: logs nothing of clients that leave, stop reading, or are still there at the end of the shutdown', async () => {
      const logger = new RecordedLogger();
      const running = await bench.start(platform, {
        config: { slowTimeout: 300, drainTimeout: 300 },
        controllers: [web.controller()],
        nest: { logger },
      });
      const { url, sse } = running;
      const stream = await bench.connect(`${url}/events/t`);
      stream.close();
      await until('it has left', () => sse.getClientCount() === 0);
      await neverReading(bench, `${url}/events/t`);
      await until('it is a client', () => sse.getClientCount() === 1);
      await fillUp(sse, 't');
      await until('it is given up', () => sse.stats().slow === 1);
      await neverReading(bench, `${url}/events/u`);
      await until('it is a client', () => sse.getClientCount() === 1);
      for (let n = 0; n < 200; n++) sse.broadcast('u', 'n', 'x'.repeat(64_000));
      await running.close();
      expect(sse.getClientCount()).toBe(0);
      expect(logger.lines.filter(({ level }) => level !== 'log')).toEqual([]);
    });
  });

  describe(`addClient() in a handler that fails on ${platform.name}`, () => {
    it('C13: gives its slot back when its handler throws', async () => {
      const { url, sse } = await bench.start(platform, { controllers: [web.controller()] });
      const response = await fetch(`${url}/events/t?fail=1`);
      expect(response.status).toBe(500);
      expect(sse.getClientCount()).toBe(0);
    });
  });

  for (const transport of transports) {
    describe(`${transport.name} on ${platform.name}`, () => {
      @Controller()
      class PlainController {
        @Get('plain')
        plain(): string {
          return 'plain answer';
        }
      }

      for (const who of ['a filter', 'an interceptor']) {
        it(`C10: ${who} ends the response while events flow: nothing is written behind it, and the connection goes on`, async () => {
          const responses: ServerResponse[] = [];
          const errors: unknown[] = [];
          const end = (): void => void responses[0]!.end();
          const filter = ({ data }: SSEEvent): boolean => {
            if (data === 'end') end();
            return true;
          };
          const { app, url, sse } = await bench.start(platform, {
            controllers: [transport.controller(() => (who === 'a filter' ? { filter } : {})), PlainController],
            prepare: (nest) => {
              if (who !== 'an interceptor') return;
              nest.useGlobalInterceptors({
                intercept: (_, next) => {
                  setTimeout(end, 30);
                  return next.handle();
                },
              });
            },
          });
          (app.getHttpServer() as Server).prependListener('request', (_, response) => {
            responses.push(response);
            response.on('error', (error) => errors.push(error));
          });
          const connection = await RawConnection.open(url);
          bench.onEnd(() => connection.close());
          connection.get('/events/t');
          await connection.until(() => connection.text.includes('sse.open'));
          const flowing = setInterval(() => {
            for (let n = 0; n < 10; n++) sse.broadcast('t', 'n', n);
          }, 1);
          bench.onEnd(() => clearInterval(flowing));
          await sleep(20);
          sse.broadcast('t', 'n', 'end');
          sse.broadcast('t', 'n', 'behind');
          const lastChunk = '\r\n0\r\n\r\n';
          await connection.until(() => connection.text.includes(lastChunk));
          await until('it is no client any more', () => sse.getClientCount() === 0);
          connection.get('/plain');
          await connection.until(() => connection.text.endsWith('plain answer'));
          const next = connection.text.slice(connection.text.indexOf(lastChunk) + lastChunk.length);
          expect(next).toMatch(/^HTTP\/1\.1 200 OK\r\n/);
          expect(next).not.toContain('data: ');
          expect(errors).toEqual([]);
        });
      }

      it('C4: frees everything of a client that leaves', async () => {
        const { url, sse } = await bench.start(platform, {
          controllers: [transport.controller(() => ({ group: 'g' }))],
        });
        const streams = await Promise.all(Array.from({ length: 20 }, () => bench.open(`${url}/events/a,b`)));
        await until('all are clients', () => sse.getClientCount('a') === 20);
        expect(sse.getClientsByGroup('g')).toHaveLength(20);
        for (const stream of streams) stream.close();
        await until('all are gone', () => sse.getClientCount() === 0);
        expect(sse.getClientsByGroup('g')).toEqual([]);
        expect(sse.stats().topics).toBe(0);
      });
    });
  }
}

describe('a web response that nobody reads', () => {
  it('C13: gives its slot back after slowTimeout', async () => {
    const sse = bench.watch(new SSEService({ slowTimeout: 150 }));
    const { client, response } = sse.addClient({ topics: 't' });
    const read = sse.addClient({ topics: 't' });
    const reader = read.response.body!.getReader();
    void (async () => {
      while (!(await reader.read()).done);
    })();
    expect(sse.getClientCount()).toBe(2);
    await until('the slot is back', () => !client.connected);
    expect(sse.getClients().map(({ id }) => id)).toEqual([read.client.id]);
    await expect(response.text()).rejects.toThrow('not read');
    expect(sse.stats().slow).toBe(1);
    await reader.cancel();
  });
});
