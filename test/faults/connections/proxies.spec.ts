import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { describe, expect, it } from '@jest/globals';
import { type Backplane, MemoryBackplane, SSEService } from 'nestjs-sse-hub';

import { returnToBaseline, until } from '../../support/baseline.js';
import { freePort } from '../../support/processes/free-port.js';
import { HAProxy, hasHAProxy } from '../../support/processes/haproxy.js';
import { Nginx, NGINX } from '../../support/processes/nginx.js';
import { ROOT } from '../../support/root.js';

/** Milliseconds: the time limit that the proxies are given here, and how often a quiet stream shows that it lives. */
const TIMEOUT = 1_000;
const HEARTBEAT = 250;

const bench = returnToBaseline();

/** The page's configuration, with a time limit that a test can wait for. */
const withShortTimeout = (configuration: string): string =>
  configuration.replaceAll(/(proxy_read_timeout|timeout client|timeout server) 60s/g, `$1 ${TIMEOUT}ms`);

const proxies = [
  { name: 'nginx', isInstalled: NGINX !== undefined, start: (node: string) => Nginx.start(node, withShortTimeout) },
  { name: 'HAProxy', isInstalled: hasHAProxy, start: (node: string) => HAProxy.start(node, withShortTimeout) },
];

/** A node whose every path is a stream, and which can come back. */
async function startNode(port: number, backplane: Backplane) {
  const sse = bench.watch(new SSEService({ backplane, heartbeatInterval: HEARTBEAT, drainTimeout: 200 }));
  const server = createServer((_request, response) => sse.createClient(response, { topics: 't' }));
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const stop = async (): Promise<void> => {
    await sse.shutdown();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return { sse, stop };
}

describe('docs/operations/proxies.md', () => {
  it("shows the sample's configuration of nginx", async () => {
    const page = await readFile(join(ROOT, 'docs/operations/proxies.md'), 'utf8');
    const shown = /^```nginx\n(.*?)^```$/ms.exec(page)?.[1];
    expect(shown).toBe(await readFile(join(ROOT, 'sample-app/nginx.conf'), 'utf8'));
  });
});

for (const { name, isInstalled, start } of proxies) {
  (isInstalled ? describe : describe.skip)(`${name}, as docs/operations/proxies.md has it`, () => {
    it('passes each event on at once, and keeps a quiet stream open beyond its time limit', async () => {
      const port = await freePort();
      const { sse, stop } = await startNode(port, new MemoryBackplane());
      const proxy = await start(`http://127.0.0.1:${port}`);
      try {
        const client = await bench.connect(`${proxy.url}/t/events`);
        await delay(2.5 * TIMEOUT);
        for (let n = 0; n < 3; n++) {
          sse.broadcast('t', 'n', n);
          await client.messagesUpTo(n + 1);
        }
        expect(client.data).toEqual([0, 1, 2]);
        expect(client.ended).toBe(false);
      } finally {
        await proxy.close();
        await stop();
      }
    });

    it('tells streams, and only these, to come later while no node answers, and clients resume when one does', async () => {
      const port = await freePort();
      const backplane = new MemoryBackplane();
      const first = await startNode(port, backplane);
      const proxy = await start(`http://127.0.0.1:${port}`);
      try {
        const client = await bench.connect(`${proxy.url}/t/events`);
        first.sse.broadcast('t', 'n', 1);
        await client.messagesUpTo(1);
        await first.stop();
        await client.untilEnd();

        const later = await bench.open(`${proxy.url}/t/events`, { lastEventId: client.lastEventId });
        await later.untilEnd();
        expect(later.status).toBe(200);
        expect(later.response.headers['content-type']).toBe('text/event-stream');
        expect(later.response.headers['cache-control']).toBe('no-store');
        expect(later.raw).toBe('retry: 2000\n\n');
        expect((await fetch(`${proxy.url}/other`)).status).toBeGreaterThanOrEqual(500);

        const second = await startNode(port, backplane);
        second.sse.broadcast('t', 'n', 2);
        await until('the proxy has found the node', async () => {
          const again = await bench.open(`${proxy.url}/t/events`, { lastEventId: client.lastEventId });
          await again.until(() => again.raw.includes('\n\n'));
          if (again.lastEventId === '') return false;
          expect(await again.messagesUpTo(1)).toEqual([2]);
          expect(again.ofType('sse.reset')).toEqual([]);
          return true;
        });
        await second.stop();
      } finally {
        await proxy.close();
        await first.stop();
      }
    });
  });
}
