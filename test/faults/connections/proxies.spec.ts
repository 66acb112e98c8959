import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import http2, { type Http2Session } from 'node:http2';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { describe, expect, it } from '@jest/globals';
import { type Backplane, MemoryBackplane, SSEService } from 'nestjs-sse-hub';

import { returnToBaseline, until } from '../../support/baseline.js';
import { neverReading } from '../../support/network/stuck.js';
import { CADDY, startCaddy } from '../../support/processes/caddy.js';
import { freePort } from '../../support/processes/free-port.js';
import { HAPROXY, startHAProxy } from '../../support/processes/haproxy.js';
import { NGINX, startNginx } from '../../support/processes/nginx.js';
import { ROOT } from '../../support/root.js';

/** Milliseconds: the time limit that the proxies are given here, and how often a quiet stream shows that it lives. */
const TIMEOUT = 1_000;
const HEARTBEAT = 250;

const bench = returnToBaseline();

/** The page's configuration, with a time limit that a test can wait for. */
const withShortTimeout = (configuration: string): string =>
  configuration.replaceAll(/(proxy_read_timeout|timeout client|timeout server) 60s/g, `$1 ${TIMEOUT}ms`);

/** The nodes speak HTTP/2, as the page says. */
const overHttp2 = (configuration: string): string =>
  configuration.replace('reverse_proxy node-1:3000 node-2:3000', 'reverse_proxy h2c://node-1:3000 h2c://node-2:3000');

const unchanged = (configuration: string): string => configuration;

const proxies = [
  { name: 'nginx', program: NGINX, startNode, start: (node: string) => startNginx(node, withShortTimeout) },
  { name: 'HAProxy', program: HAPROXY, startNode, start: (node: string) => startHAProxy(node, withShortTimeout) },
  { name: 'Caddy', program: CADDY, startNode, start: (node: string) => startCaddy(node, unchanged) },
  {
    name: 'Caddy over HTTP/2',
    program: CADDY,
    startNode: startHttp2Node,
    start: (node: string) => startCaddy(node, overHttp2),
  },
];

function serviceOf(backplane: Backplane): SSEService {
  return bench.watch(new SSEService({ backplane, heartbeatInterval: HEARTBEAT, drainTimeout: 200 }));
}

/** A node whose every path is a stream, and which can come back. */
async function startNode(port: number, backplane: Backplane) {
  const sse = serviceOf(backplane);
  const server = createServer((_request, response) => sse.createClient(response, { topics: 't' }));
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const stop = async (): Promise<void> => {
    await sse.shutdown();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  };
  return { sse, stop };
}

/** The same over HTTP/2 without TLS. */
async function startHttp2Node(port: number, backplane: Backplane) {
  const sse = serviceOf(backplane);
  const server = http2.createServer((_request, response) => sse.createClient(response, { topics: 't' }));
  const sessions = new Set<Http2Session>();
  server.on('session', (session) => {
    sessions.add(session);
    session.once('close', () => sessions.delete(session));
  });
  await new Promise<void>((resolve) => server.listen(port, '127.0.0.1', resolve));
  const stop = async (): Promise<void> => {
    await sse.shutdown();
    for (const session of sessions) session.destroy();
    await new Promise((resolve) => server.close(resolve));
  };
  return { sse, stop, sessions };
}

describe('docs/operations/proxies.md', () => {
  it("shows the sample's configuration of nginx", async () => {
    const page = await readFile(join(ROOT, 'docs/operations/proxies.md'), 'utf8');
    const shown = /^```nginx\n(.*?)^```$/ms.exec(page)?.[1];
    expect(shown).toBe(await readFile(join(ROOT, 'sample-app/nginx.conf'), 'utf8'));
  });
});

for (const { name, program, startNode, start } of proxies) {
  (program ? describe : describe.skip)(`${name}, as docs/operations/proxies.md has it`, () => {
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

(NGINX ? describe : describe.skip)('nginx in front of a chat of the sample', () => {
  it('tells who follows it to come later while no node answers, and who asks that nobody has heard it', async () => {
    const proxy = await startNginx(`http://127.0.0.1:${await freePort()}`, unchanged);
    try {
      const following = await fetch(`${proxy.url}/chat/tea`);
      expect([following.status, await following.text()]).toEqual([200, 'retry: 2000\n\n']);
      for (const method of ['POST', 'DELETE']) {
        expect((await fetch(`${proxy.url}/chat/tea`, { method })).status).toBe(503);
      }
      expect((await fetch(`${proxy.url}/chat/tea/other`)).status).toBe(502);
    } finally {
      await proxy.close();
    }
  });
});

(CADDY ? describe : describe.skip)('one connection of HTTP/2', () => {
  it('carries many streams on one connection, of which one that is not read holds up no other', async () => {
    const port = await freePort();
    const { sse, stop, sessions } = await startHttp2Node(port, new MemoryBackplane());
    const proxy = await startCaddy(`http://127.0.0.1:${port}`, overHttp2);
    try {
      const readers = await Promise.all(Array.from({ length: 4 }, () => bench.connect(`${proxy.url}/t/events`)));
      const stuck = await neverReading(bench, `${proxy.url}/t/events`);
      await until('all are there', () => sse.getClientCount() === 5);
      expect(sessions.size).toBe(1);
      // More than the connection of the one that reads nothing, and whatever is on the way to it, can hold.
      const text = 'x'.repeat(100_000);
      for (let n = 1; n <= 120; n++) {
        sse.broadcast('t', 'n', text);
        await Promise.all(readers.map((reader) => reader.messagesUpTo(n)));
      }
      expect(sessions.size).toBe(1);
      stuck.destroy();
      await until('its leaving is noticed', () => sse.getClientCount() === 4);
    } finally {
      await proxy.close();
      await stop();
    }
  });
});
