import type { Server, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';

import { describe, expect, it } from '@jest/globals';
import { Controller, Get, Inject, Res } from '@nestjs/common';
import { type NodeResponseLike, type SSEEvent, SSEService } from 'nestjs-sse-hub';

import { returnToBaseline, until } from '../../support/baseline.js';
import { RawConnection } from '../../support/network/raw-connection.js';
import { platforms } from '../../support/platforms.js';
import { PlainController, transports } from '../../support/stream-controllers.js';

const bench = returnToBaseline();

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

  for (const transport of transports) {
    describe(`${transport.name} on ${platform.name}`, () => {
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
    });
  }
}
