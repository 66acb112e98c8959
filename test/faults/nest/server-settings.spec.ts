import { Agent, type IncomingMessage, type Server } from 'node:http';
import http2 from 'node:http2';
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

import { describe, expect, it } from '@jest/globals';
import type { INestApplication } from '@nestjs/common';
import { FastifyAdapter } from '@nestjs/platform-fastify';

import { returnToBaseline, until } from '../../support/baseline.js';
import { RawConnection } from '../../support/network/raw-connection.js';
import { type Platform, platforms } from '../../support/platforms.js';
import { allTransports, direct, PlainController } from '../../support/stream-controllers.js';

const bench = returnToBaseline();

/** Milliseconds after which a server gives up a connection that is quiet. */
const SHORT = 300;

function server(app: INestApplication): Server {
  return app.getHttpServer() as Server;
}

const openRaw = (url: string, request: string): Promise<RawConnection> => RawConnection.openOn(bench, url, request);

function headOf({ text }: RawConnection): string {
  return text.slice(0, text.indexOf('\r\n\r\n')).toLowerCase();
}

/** The sockets of a server, as they come. */
function socketsOf(app: INestApplication): Socket[] {
  const sockets: Socket[] = [];
  server(app).on('connection', (socket) => sockets.push(socket));
  return sockets;
}

for (const platform of platforms) {
  for (const transport of allTransports) {
    describe(`a stream of ${transport.name} on ${platform.name}`, () => {
      const start = (prepare?: (app: INestApplication) => void, config: object = {}) =>
        bench.start(platform, {
          config,
          controllers: [transport.controller(), PlainController],
          ...(prepare && { prepare }),
        });

      it('N5: says that the connection is closed behind it when the client has asked for that, and closes it', async () => {
        const { url, sse } = await start();
        const connection = await openRaw(url, 'GET /events/t HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
        await connection.until(() => connection.text.includes('sse.open'));
        expect(headOf(connection)).toContain('\r\nconnection: close');
        expect(headOf(connection)).not.toContain('keep-alive');
        sse.closeTopic('t');
        await connection.until(() => connection.closed);
      });

      it('N5: says the same where the connection has had all the requests that it may have', async () => {
        const { url, sse } = await start((app) => (server(app).maxRequestsPerSocket = 2));
        const agent = new Agent({ keepAlive: true, maxSockets: 1 });
        bench.onEnd(() => agent.destroy());
        const answers: unknown[] = [];
        for (let n = 0; n < 4; n++) {
          const stream = await bench.connect(`${url}/events/t`, { agent });
          answers.push([stream.status, stream.response.headers.connection]);
          for (const { id } of sse.getClients()) sse.removeClient(id);
          await stream.untilEnd();
        }
        expect(answers).toEqual([
          [200, 'keep-alive'],
          [200, 'close'],
          [200, 'keep-alive'],
          [200, 'close'],
        ]);
      });

      it('N5: keeps the connection where nobody says otherwise, and leaves the header to Node', async () => {
        const { url, sse } = await start();
        const connection = await openRaw(url, 'GET /events/t HTTP/1.1\r\nHost: x\r\n\r\n');
        await connection.until(() => connection.text.includes('sse.open'));
        expect(headOf(connection).match(/\r\nconnection: /g)).toHaveLength(1);
        expect(headOf(connection)).toContain('\r\nkeep-alive: timeout=');
        sse.closeTopic('t');
        await connection.until(() => connection.text.includes('\r\n0\r\n\r\n'));
        connection.get('/plain');
        await connection.until(() => connection.text.endsWith('plain answer'));
      });

      it('N5: says that the connection is closed to whoever is turned away by a shutdown', async () => {
        const { url, sse } = await start();
        await sse.shutdown();
        const connection = await openRaw(url, 'GET /events/t HTTP/1.1\r\nHost: x\r\n\r\n');
        await connection.until(() => connection.closed);
        expect(connection.text).toContain('{"reason":"shutdown"}');
        expect(headOf(connection)).toContain('\r\nconnection: close');
      });

      it('N6: stays open and quiet beyond the timeout of its server, which holds again behind it', async () => {
        const { app, url, sse } = await start((nest) => {
          server(nest).setTimeout(SHORT);
          server(nest).keepAliveTimeout = 0;
        });
        const [socket] = [socketsOf(app)];
        const connection = await openRaw(url, 'GET /events/t HTTP/1.1\r\nHost: x\r\n\r\n');
        await connection.until(() => connection.text.includes('sse.open'));
        await delay(4 * SHORT);
        expect(connection.closed).toBe(false);
        expect(socket[0]!.timeout).toBe(0);
        sse.broadcast('t', 'n', 1);
        await connection.until(() => connection.text.includes('data: 1\n'));
        sse.closeTopic('t');
        await connection.until(() => connection.text.includes('\r\n0\r\n\r\n'));
        // Nothing is asked for any more.
        await connection.until(() => connection.closed);
      });

      it('N6: stays open although a middleware has given its connection a timeout', async () => {
        const { url, sse } = await start((app) =>
          app.use(({ socket }: { socket: Socket }, _: unknown, next: () => void) => {
            socket.setTimeout(SHORT);
            next();
          }),
        );
        const stream = await bench.connect(`${url}/events/t`);
        await delay(4 * SHORT);
        sse.broadcast('t', 'n', 1);
        expect(await stream.messagesUpTo(1)).toEqual([1]);
      });

      it('N6: is no concern of headersTimeout, requestTimeout and keepAliveTimeout', async () => {
        const { url, sse } = await start((app) =>
          Object.assign(server(app), { headersTimeout: 50, requestTimeout: SHORT, keepAliveTimeout: 50 }),
        );
        const stream = await bench.connect(`${url}/events/t`);
        await delay(4 * SHORT);
        sse.broadcast('t', 'n', 1);
        expect(await stream.messagesUpTo(1)).toEqual([1]);
      });

      it('N7: does not keep a client that leaves in the middle of a body that nobody reads', async () => {
        const { url, sse } = await start();
        // GET: neither platform reads a body of it that it has no parser for.
        const connection = await openRaw(
          url,
          'GET /events/t HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\nContent-Length: 3000000\r\n\r\n',
        );
        await connection.until(() => connection.text.includes('sse.open'));
        const part = 'x'.repeat(1_000_000);
        await new Promise((resolve) => connection.socket.write(part + part, resolve));
        expect(sse.getClientCount()).toBe(1);
        connection.close();
        await until('it is gone', () => sse.getClientCount() === 0);
      });

      it('N7: goes on behind a body that arrives while it is open, and the connection serves the next request', async () => {
        const { url, sse } = await start();
        const connection = await openRaw(
          url,
          'GET /events/t HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=x\r\n' +
            'Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\nExpect: 100-continue\r\n\r\n',
        );
        await connection.until(() => connection.text.includes('sse.open'));
        expect(connection.text.startsWith('HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n')).toBe(true);
        const part = 'x'.repeat(65_536);
        for (let n = 0; n < 20; n++) {
          connection.socket.write(`10000\r\n${part}\r\n`);
          sse.broadcast('t', 'n', n);
        }
        connection.socket.write('0\r\nX-Sum: 1\r\n\r\n');
        await connection.until(() => connection.text.includes('data: 19\n'));
        sse.closeTopic('t');
        await connection.until(() => connection.text.includes('\r\n0\r\n\r\n'));
        connection.get('/plain');
        await connection.until(() => connection.text.endsWith('plain answer'));
      });

      it('N7: leaves a request without a body alone, whose end others would take for that of the client', async () => {
        const ended: unknown[] = [];
        const { url } = await start((app) =>
          app.use((request: IncomingMessage, _: unknown, next: () => void) => {
            request.on('close', () => ended.push('closed'));
            next();
          }),
        );
        const stream = await bench.connect(`${url}/events/t`);
        await delay(50);
        expect(ended).toEqual([]);
        stream.close();
        await until('it is closed', () => ended.length === 1);
      });

      it('C6: is nothing else to a client that would rather speak another protocol', async () => {
        const { url, sse } = await start();
        const upgrade = 'Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n';
        const connection = await openRaw(url, `GET /events/t HTTP/1.1\r\nHost: x\r\n${upgrade}\r\n`);
        await connection.until(() => connection.text.includes('sse.open'));
        sse.broadcast('t', 'n', 1);
        await connection.until(() => connection.text.includes('data: 1\n'));
        connection.close();
        await until('it is gone', () => sse.getClientCount() === 0);
      });
    });
  }
}

describe('HTTP/2 on Fastify', () => {
  const overHttp2: Platform = {
    name: 'Fastify over HTTP/2',
    adapter: () => new FastifyAdapter({ http2: true } as object),
  };

  it.each(allTransports)(
    'N6: $name stays open beyond the timeout of its session, which holds again behind it',
    async (transport) => {
      const { app, url, sse } = await bench.start(overHttp2, { controllers: [transport.controller()] });
      (app.getHttpServer() as unknown as http2.Http2Server).on('session', (session) => session.setTimeout(SHORT));
      const session = http2.connect(url);
      bench.onEnd(() => session.destroy());
      let closed = false;
      session.on('close', () => (closed = true));
      let text = '';
      const open = (): void => {
        const stream = session.request({ ':path': '/events/t' }).setEncoding('utf8');
        stream.on('data', (data: string) => (text += data));
      };
      open();
      open();
      await until('both are open', () => text.split('sse.open').length === 3);
      await delay(4 * SHORT);
      expect(closed).toBe(false);
      const [first] = sse.getClients();
      sse.removeClient(first!.id);
      await delay(4 * SHORT);
      expect(closed).toBe(false);
      sse.broadcast('t', 'n', 1);
      await until('the others go on', () => text.includes('data: 1\n'));
      sse.closeTopic('t');
      await until('nobody needs it any more', () => closed);
    },
  );
});

describe('createClient() on Fastify with a handlerTimeout', () => {
  it('N6: stays open beyond it', async () => {
    const platform: Platform = { name: 'Fastify', adapter: () => new FastifyAdapter({ handlerTimeout: SHORT }) };
    const { url, sse } = await bench.start(platform, { controllers: [direct.controller()] });
    const stream = await bench.connect(`${url}/events/t`);
    await delay(4 * SHORT);
    sse.broadcast('t', 'n', 1);
    expect(await stream.messagesUpTo(1)).toEqual([1]);
  });
});
