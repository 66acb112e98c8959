import type { IncomingMessage, Server, ServerResponse } from 'node:http';

import { describe, expect, it } from '@jest/globals';

import { connectionsOf, returnToBaseline, until } from '../../support/baseline.js';
import { platforms } from '../../support/platforms.js';
import { direct } from '../../support/stream-controllers.js';

const bench = returnToBaseline();

const SOON = 300;

for (const platform of platforms) {
  describe(`a response on ${platform.name} whose end() throws`, () => {
    it.each(['removeGroup()', 'closeTopic()', 'expiresAt'])(
      'C10: disturbs nobody else that ends with it: %s',
      async (how) => {
        const expiry = (): object => (how === 'expiresAt' ? { expiresAt: Date.now() + SOON } : {});
        const { app, url, sse } = await bench.start(platform, {
          controllers: [direct.controller(() => ({ group: 'g', ...expiry() }))],
        });
        const server = app.getHttpServer() as Server;
        server.prependOnceListener('request', (_: IncomingMessage, response: ServerResponse) => {
          response.end = () => {
            throw new Error('A middleware fails.');
          };
        });
        const failing = await bench.open(`${url}/events/t`);
        await failing.next();
        const other = await bench.open(`${url}/events/t`);
        await other.next();
        if (how === 'removeGroup()') sse.removeGroup('g');
        if (how === 'closeTopic()') sse.closeTopic('t');
        await other.untilEnd();
        await failing.untilEnd();
        expect(other.response.complete).toBe(true);
        await until('no connection is left', async () => (await connectionsOf(server)) === 0);
        expect(sse.getClientCount()).toBe(0);
      },
    );
  });
}
