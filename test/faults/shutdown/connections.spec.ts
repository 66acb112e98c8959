import type { Server } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

import { describe, expect, it } from '@jest/globals';
import { Controller, type INestApplication, Post } from '@nestjs/common';

import { connectionsOf, returnToBaseline, until } from '../../support/baseline.js';
import { RawConnection } from '../../support/network/raw-connection.js';
import { fillUp, neverReading } from '../../support/network/stuck.js';
import { platforms } from '../../support/platforms.js';
import { PlainController, transports } from '../../support/stream-controllers.js';

const bench = returnToBaseline();

function server(app: INestApplication): Server {
  return app.getHttpServer() as Server;
}

const openRaw = (url: string, request: string): Promise<RawConnection> => RawConnection.openOn(bench, url, request);

for (const platform of platforms) {
  for (const transport of transports) {
    it(`S1: app.close() on ${platform.name} does not wait for a connection behind the last of an ended stream of ${transport.name}`, async () => {
      const running = await bench.start(platform, {
        config: { slowTimeout: 600_000 },
        controllers: [transport.controller()],
        prepare: (app) => (server(app).keepAliveTimeout = 600_000),
      });
      const { app, sse, url } = running;
      const socket = await neverReading(bench, `${url}/events/t`);
      await until('it is a client', () => sse.getClientCount() === 1);
      await fillUp(sse, 't', 1_000_000);
      for (const { id } of sse.getClients()) sse.removeClient(id);
      const closed = running.close();
      await until('the server closes', () => !server(app).listening);
      socket.resume();
      await closed;
      expect(await connectionsOf(server(app))).toBe(0);
    });

    it(`S1: app.close() on ${platform.name} waits no longer than drainTimeout for a stream of ${transport.name} that had ended, and is not read`, async () => {
      const drainTimeout = 500;
      const running = await bench.start(platform, {
        config: { slowTimeout: 600_000, drainTimeout },
        controllers: [transport.controller()],
      });
      const { app, sse, url } = running;
      await neverReading(bench, `${url}/events/t`);
      await until('it is a client', () => sse.getClientCount() === 1);
      await fillUp(sse, 't', 1_000_000);
      for (const { id } of sse.getClients()) sse.removeClient(id);
      const before = performance.now();
      await running.close();
      expect(performance.now() - before).toBeLessThan(20 * drainTimeout);
      expect(await connectionsOf(server(app))).toBe(0);
    });
  }

  describe(`app.close() on ${platform.name}`, () => {
    it.each([
      ['on which nothing was asked for', ''],
      ['whose request never comes to its end', 'GET /plain HTTP/1.1\r\nHos'],
    ])('S1: does not wait for a connection %s', async (_, request) => {
      const running = await bench.start(platform, { controllers: [PlainController] });
      const connection = await openRaw(running.url, request);
      const asked = await openRaw(running.url, 'GET /plain HTTP/1.1\r\nHost: x\r\n\r\n');
      await asked.until(() => asked.text.endsWith('plain answer'));
      await until('both are there', async () => (await connectionsOf(server(running.app))) === 2);
      await running.close();
      expect(await connectionsOf(server(running.app))).toBe(0);
      await connection.until(() => connection.closed);
    });

    it('S1: gives a request that is being answered its time', async () => {
      @Controller()
      class SlowController {
        @Post('slow')
        async slow(): Promise<string> {
          await delay(2_000);
          return 'slow answer';
        }
      }
      const running = await bench.start(platform, { controllers: [SlowController] });
      const connection = await openRaw(running.url, 'POST /slow HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n');
      await delay(50);
      await running.close();
      await connection.until(() => connection.closed);
      expect(connection.text.endsWith('slow answer')).toBe(true);
    });
  });
}
