import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';

import { Controller, ForbiddenException, Get, HttpException, Module, Post, Sse } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { SSEModule, SSEService } from 'nestjs-sse-hub';
import { openStream, StreamRefusedError, WaitError } from 'nestjs-sse-hub/testing';

import { connectionsOf, returnToBaseline, until } from '../support/baseline.js';
import { platforms } from '../support/platforms.js';
import { transports } from '../support/stream-controllers.js';

const bench = returnToBaseline();
const servers: http.Server[] = [];

afterEach(() => {
  for (const server of servers.splice(0)) {
    server.closeAllConnections();
    server.close();
  }
});

/** A server that answers with these bytes of an event stream, and what else is to be done with the response. */
function serving(text: string, then: (response: http.ServerResponse) => void = () => {}): http.Server {
  const server = http.createServer((_request, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(text);
    then(response);
  });
  servers.push(server);
  return server;
}

/** The message of a wait that fails. */
async function failureOf(wait: Promise<unknown>): Promise<string> {
  const failure = await wait.then(
    (value) => `nothing failed: ${JSON.stringify(value)}`,
    (error: unknown) => error,
  );
  expect(failure).toBeInstanceOf(WaitError);
  return (failure as WaitError).message;
}

const SHORT = { timeout: 500 };

for (const platform of platforms) {
  describe(`a test stream of an application on ${platform.name}`, () => {
    it('has the application listen, once, and ends with it', async () => {
      const [direct] = transports;
      @Module({ imports: [SSEModule.forRoot()], controllers: [direct!.controller()] })
      class AppModule {}
      const testing = await Test.createTestingModule({ imports: [AppModule] }).compile();
      const app = testing.createNestApplication(platform.adapter(), { logger: false });
      const [one, other] = await Promise.all([openStream(app, '/events/a'), openStream(app, '/events/a')]);
      const server = app.getHttpServer() as http.Server;
      expect((server.address() as AddressInfo).address).toBe('127.0.0.1');
      app.get(SSEService).broadcast('a', 'n', 1);
      for (const stream of [one, other]) expect((await stream.next('n')).data).toBe(1);
      await app.close();
      for (const stream of [one, other]) expect(await stream.ended()).toBe('end');
      expect(await connectionsOf(server)).toBe(0);
    });

    it('sends headers, a method, a body and a last event ID', async () => {
      const seen: unknown[] = [];
      @Controller()
      class EchoController {
        @Post('echo')
        @Sse('echo', { method: 1 })
        echo(): never {
          throw new ForbiddenException({ said: 'no' });
        }

        @Get('nothing')
        nothing(): never {
          throw new HttpException('', 204);
        }

        @Get('text')
        text(): string {
          return 'plain';
        }
      }
      const { app } = await bench.start(platform, {
        controllers: [EchoController],
        prepare: (nest) =>
          nest.use((request: http.IncomingMessage, _response: unknown, next: () => void) => {
            seen.push([request.method, request.headers]);
            next();
          }),
      });
      const options = { headers: { authorization: 'Bearer me' }, body: { prompt: 'x' }, lastEventId: 'é' };
      await expect(openStream(app, '/echo', options)).rejects.toMatchObject({ status: 403, body: { said: 'no' } });
      expect(seen).toEqual([
        [
          'POST',
          expect.objectContaining({
            authorization: 'Bearer me',
            accept: 'text/event-stream',
            'content-type': 'application/json',
            'last-event-id': Buffer.from('é').toString('latin1'),
          }),
        ],
      ]);
      const refusals = ['/nothing', '/text', '/nowhere'].map((path) =>
        openStream(app, path).catch((error) => error as unknown),
      );
      const answers = (await Promise.all(refusals)) as StreamRefusedError[];
      expect(answers.map(({ status, body }) => [status, body])).toEqual([
        [204, ''],
        [200, 'plain'],
        [404, expect.objectContaining({ statusCode: 404 })],
      ]);
      expect(answers[0]).toBeInstanceOf(StreamRefusedError);
      expect(answers[1]!.message).toBe('GET /text was answered 200 OK and no event stream: plain');
    });

    for (const transport of transports) {
      it(`comes back where it was: ${transport.name}`, async () => {
        const { app, sse } = await bench.start(platform, { controllers: [transport.controller()] });
        const stream = await bench.stream(app, '/events/a,b');
        expect(stream.opened).toMatchObject({ clientId: sse.getClients()[0]!.id, resumed: 'none' });
        expect(stream.retry).toBeGreaterThanOrEqual(3_000);
        expect(stream.headers['content-type']).toMatch(/^text\/event-stream/);
        sse.broadcast('a', 'n', 1);
        sse.broadcast('a', 'n', 2);
        expect(await stream.next()).toEqual({
          event: 'n',
          data: 1,
          text: '1',
          lastEventId: expect.stringMatching(/^1~/) as unknown,
        });
        await until('both have come', () => stream.received.length === 3);
        stream.cut();
        await until('it is gone', () => sse.getClientCount() === 0);
        sse.broadcast('a', 'n', 3);
        await expect(stream.ended()).resolves.toBe('cut');
        await stream.resume();
        expect(stream.opened?.resumed).toBe('full');
        // What had come before, and was not read yet, is still there.
        expect((await stream.take(2)).map(({ data }) => data)).toEqual([2, 3]);
        await expect(stream.resume()).rejects.toThrow('The stream is open: cut() it');
        sse.closeTopic('a');
        expect((await stream.next('sse.closed')).data.topic).toBe('a');
        sse.closeTopic('b');
        await stream.next('sse.end');
        expect(await stream.ended()).toBe('end');
        await expect(stream.resume()).rejects.toMatchObject({ status: 204 });
      });
    }

    it('opens without control events too, and comes back', async () => {
      const controller = transports[0]!.controller(() => ({ controlEvents: false }));
      const { app, sse } = await bench.start(platform, { controllers: [controller] });
      const stream = await bench.stream(app, '/events/a');
      expect([stream.received, stream.opened]).toEqual([[], undefined]);
      stream.close();
      sse.broadcast('a', 'n', 1);
      await stream.resume();
      expect(await stream.next()).toMatchObject({ event: 'n', data: 1 });
    });

    it('an sse.reset that nobody asked for fails every wait, and is read when it is asked for', async () => {
      const { app, sse } = await bench.start(platform, {
        config: { maxHistorySize: 1 },
        controllers: [transports[0]!.controller()],
      });
      const stream = await bench.stream(app, '/events/a');
      stream.cut();
      for (let n = 1; n <= 3; n++) sse.broadcast('a', 'n', n);
      await until('the oldest are gone', () => sse.stats().history.events === 1);
      await stream.resume();
      sse.closeTopic('a');
      await until('it has ended', () => sse.getClientCount() === 0);
      const told = /^events are lost: 'sse.reset' \{"reason":"trimmed","topics":\["a"\]\} came; .*next\('sse.reset'\)/;
      for (const wait of [() => stream.next('n'), () => stream.take(1), () => stream.until(() => true)]) {
        expect(await failureOf(wait())).toMatch(told);
      }
      expect(await failureOf(stream.ended())).toMatch(told);
      expect(await failureOf(stream[Symbol.asyncIterator]().next())).toMatch(told);
      expect((await stream.next('sse.reset')).data).toEqual({ reason: 'trimmed', topics: ['a'] });
      expect((await stream.next()).data).toBe(3);
      expect(await stream.ended()).toBe('end');
    });
  });
}

describe('waits', () => {
  it('read on from one place, and one that fails leaves it where it was', async () => {
    const stream = await openStream(
      serving('event: a\ndata: 1\n\nevent: b\ndata: x\n\nevent: a\ndata: {"n":3}\n\n'),
      '/',
      SHORT,
    );
    expect((await stream.next('b')).data).toBe('x');
    expect(await failureOf(stream.next('b'))).toBe(`waited 500 ms for 'b'; what came: 'a' {"n":3}; the stream is open`);
    expect(await failureOf(stream.take(2))).toMatch(/^waited 500 ms for 2 events;/);
    expect(await failureOf(stream.until(({ event }) => event === 'c'))).toMatch(/^waited 500 ms for an event of which/);
    expect(await stream.take(0)).toEqual([]);
    expect((await stream.until(({ event }) => event === 'a')).map(({ data }) => data)).toEqual([{ n: 3 }]);
    expect(await failureOf(stream.ended())).toBe(
      'waited 500 ms for the end of the stream; what came: nothing; the stream is open',
    );
  });

  it('say what came instead, in few words', async () => {
    const many = Array.from({ length: 12 }, (_, i) => `event: e${i}\ndata: ${'x'.repeat(100)}\n\n`).join('');
    const server = serving('data: 1\n\n', (response) => {
      setTimeout(() => response.write('event: a\ndata: 1\n\nevent: a\ndata: 2\n\n:\n: beat\n'), 20);
    });
    const stream = await openStream(server, '/', SHORT);
    await stream.next();
    expect(await failureOf(stream.next('b'))).toBe(
      `waited 500 ms for 'b'; what came: 'a' 1 ×2, 2 comments; the stream is open`,
    );
    const flooded = await openStream(serving(many), '/', SHORT);
    const message = await failureOf(flooded.next('b'));
    expect(message).toMatch(/what came: …, 'e2' x{80}…, /);
    expect(message).not.toContain("'e1'");
  });

  it('fail at once when the stream is over', async () => {
    const waits = {
      ended: serving('data: 1\n\n', (r) => r.end()),
      broken: serving('data: 1\n\n', (r) => setTimeout(() => r.destroy(), 20)),
    };
    const ended = await openStream(waits.ended, '/', { timeout: 60_000 });
    expect(await failureOf(ended.next('b'))).toBe(
      `'b' has not come; what came: 'message' 1; the server has ended the stream`,
    );
    const broken = await openStream(waits.broken, '/', { timeout: 60_000 });
    expect(await failureOf(broken.next('b'))).toMatch(/; the connection broke$/);
    expect(await broken.ended()).toBe('cut');
    const left = await openStream(serving('data: 1\n\n'), '/', { timeout: 60_000 });
    const waiting = failureOf(left.next('b'));
    left.close();
    expect(await waiting).toMatch(/; the test has left the stream$/);
    expect((await left.next()).data).toBe(1);
  });

  it('show the line of the test', async () => {
    const stream = await openStream(serving('data: 1\n\n'), '/', SHORT);
    const failures = [stream.next('b'), stream.comment(), openStream(serving(''), '/', SHORT)];
    for (const wait of failures) {
      const { stack } = (await wait.catch((error: unknown) => error)) as WaitError;
      expect(stack).toMatch(/^WaitError: waited 500 ms for /);
      expect(stack!.split('\n')[1]).toContain('open-stream.spec.ts');
    }
  });

  it('last as long as they say while timers are faked', async () => {
    jest.useFakeTimers();
    try {
      const stream = await openStream(serving('data: 1\n\n'), '/', SHORT);
      expect(await failureOf(stream.next('b'))).toMatch(/^waited 500 ms/);
    } finally {
      jest.useRealTimers();
    }
  });

  it('end a stream that never opens, or is never answered', async () => {
    const silent = http.createServer(() => {});
    servers.push(silent);
    expect(await failureOf(openStream(silent, '/path', SHORT))).toBe('waited 500 ms for an answer to GET /path');
    const empty = serving(':\n\n');
    expect(await failureOf(openStream(empty, '/', SHORT))).toMatch(
      /^waited 500 ms for its first event; what came: 1 comment/,
    );
    await until('it has left', async () => (await connectionsOf(empty)) === 0);
  });
});

describe('a stream as a list', () => {
  it('is read to its end', async () => {
    const server = serving('data: 1\n\nevent: sse.cursor\ndata: {}\n\ndata: 2\n\n', (response) => response.end());
    const stream = await openStream(server, '/');
    const seen: unknown[] = [];
    for await (const { data } of stream) {
      seen.push(data);
      break;
    }
    for await (const { data } of stream) seen.push(data);
    expect(seen).toEqual([1, 2]);
    expect(stream.received.map(({ event }) => event)).toEqual(['message', 'sse.cursor', 'message']);
  });

  it('that breaks is a failure', async () => {
    const stream = await openStream(
      serving('data: 1\n\n', (r) => setTimeout(() => r.destroy(), 20)),
      '/',
    );
    const all = async (): Promise<void> => {
      for await (const event of stream) expect(event.data).toBe(1);
    };
    expect(await failureOf(all())).toMatch(/the connection broke$/);
  });

  it('has comments beside its events', async () => {
    const stream = await openStream(serving('data: 1\n\n:\n\n: beat\n'), '/', SHORT);
    expect([await stream.comment(), await stream.comment()]).toEqual(['', 'beat']);
    expect(await failureOf(stream.comment())).toMatch(/^waited 500 ms for a comment;/);
    expect(stream.comments).toEqual(['', 'beat']);
  });
});

it('a target is also a URL, with a path of its own', async () => {
  const paths: unknown[] = [];
  const server = serving('data: 1\n\n').on('request', ({ url }: http.IncomingMessage) => paths.push(url));
  await once(server.listen(0, '::1'), 'listening');
  const { port } = server.address() as AddressInfo;
  for (const target of [`http://[::1]:${port}/api/`, new URL(`http://[::1]:${port}`), server]) {
    (await openStream(target, '/events')).close();
  }
  expect(paths).toEqual(['/api/events', '/events', '/events']);
});
