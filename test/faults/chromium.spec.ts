import type { Server } from 'node:http';

import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { INestApplication } from '@nestjs/common';
import type { SSEModuleOptions, SSEService } from 'nestjs-sse-hub';

import { until } from '../support/baseline.js';
import { type BrowserSource, CHROMIUM, TestBrowser } from '../support/chromium.js';
import { closeAll, type Platform, platforms, startApp } from '../support/platforms.js';
import { type SeenRequest, watchRequests } from '../support/requests.js';
import { direct, nestSse, type Transport, web } from '../support/stream-controllers.js';

const NAMES = ['sse.open', 'sse.reset', 'sse.end', 'sse.closed', 'sse.busy', 'n'];
const CLOSED = 2;

let browser: TestBrowser;

beforeAll(async () => {
  if (CHROMIUM !== undefined) browser = await TestBrowser.launch();
});

afterEach(closeAll);

afterAll(async () => {
  if (CHROMIUM !== undefined) await browser.close();
});

interface Visited {
  readonly sse: SSEService;
  readonly requests: readonly SeenRequest[];
  readonly open: (topics: string) => Promise<BrowserSource>;
}

/** An application, and a page of its origin. Whoever is cut off comes back soon. */
async function visit(
  platform: Platform,
  transport: Transport,
  config: SSEModuleOptions = {},
  prepare?: (app: INestApplication) => void,
): Promise<Visited> {
  let requests: readonly SeenRequest[] = [];
  const { sse, url } = await startApp(platform, {
    config: { retryInterval: 50, retryJitter: 0, ...config },
    controllers: [transport.controller()],
    prepare: (app) => {
      requests = watchRequests(app, '/events/');
      prepare?.(app);
    },
  });
  await browser.visit(`${url}/`);
  return { sse, requests, open: (topics) => browser.open(`${url}/events/${topics}`, NAMES) };
}

function data({ reading }: BrowserSource): unknown[] {
  return reading.messages.map(({ data }) => JSON.parse(data) as unknown);
}

function count({ reading }: BrowserSource, event: string): number {
  return reading.events.filter((read) => read.event === event).length;
}

async function untilCount(source: BrowserSource, event: string, wanted: number): Promise<void> {
  await until(`${wanted} of ${event}; came: ${JSON.stringify(source.reading.events)}`, () => {
    return count(source, event) >= wanted;
  });
}

function describeHere(name: string, tests: () => void): void {
  if (CHROMIUM !== undefined) return describe(name, tests);
  // Nothing of it can be tried; where everything has to be, looking for Chromium has thrown.
  describe(name, () => it('needs Chromium', () => expect(process.env['CI']).toBeUndefined()));
}

for (const platform of platforms) {
  for (const transport of [direct, nestSse, web]) {
    describeHere(`Chromium's EventSource: ${transport.name} on ${platform.name}`, () => {
      it('comes back again and again where a connection may have two requests only', async () => {
        const { sse, requests, open } = await visit(platform, transport, {}, (app) => {
          (app.getHttpServer() as Server).maxRequestsPerSocket = 2;
        });
        const source = await open('t');
        for (let n = 1; n <= 8; n++) {
          await untilCount(source, 'sse.open', n);
          sse.broadcast('t', 'n', n);
          await untilCount(source, 'n', n);
          for (const { id } of sse.getClients()) sse.removeClient(id);
        }
        await untilCount(source, 'sse.open', 9);
        expect(data(source)).toEqual([1, 2, 3, 4, 5, 6, 7, 8]);
        expect(requests).toHaveLength(9);
        expect(await source.readyState()).not.toBe(CLOSED);
      });
    });
  }
}

for (const platform of platforms) {
  for (const transport of [direct, nestSse]) {
    describeHere(`Chromium's EventSource: ${transport.name} on ${platform.name}`, () => {
      it('comes back with its cursor after a cut, and gets what it has missed, once', async () => {
        const { sse, requests, open } = await visit(platform, transport);
        const source = await open('t');
        await untilCount(source, 'sse.open', 1);
        sse.broadcast('t', 'n', 1);
        const cursor = await sse.publish('t', 'n', 2);
        await untilCount(source, 'n', 2);
        for (const { id } of sse.getClients()) sse.removeClient(id);
        for (const n of [3, 4, 5]) sse.broadcast('t', 'n', n);
        await untilCount(source, 'n', 5);
        expect(data(source)).toEqual([1, 2, 3, 4, 5]);
        expect(requests.map(({ lastEventId }) => lastEventId)).toEqual([undefined, cursor]);
        expect(source.errors).toBe(1);
      });

      it('shows an id of the application, and comes back with the cursor behind it', async () => {
        const { sse, requests, open } = await visit(platform, transport);
        const source = await open('t');
        await untilCount(source, 'sse.open', 1);
        sse.broadcast('t', 'n', 1, 'own é 漢 id');
        const cursor = await sse.publish('t', 'n', 2, 'own é 漢 id');
        await untilCount(source, 'n', 2);
        expect(source.reading.messages.map(({ lastEventId }) => lastEventId)).toEqual(['own é 漢 id', 'own é 漢 id']);
        for (const { id } of sse.getClients()) sse.removeClient(id);
        sse.broadcast('t', 'n', 3);
        await untilCount(source, 'n', 3);
        expect(data(source)).toEqual([1, 2, 3]);
        expect(requests[1]!.lastEventId).toBe(cursor);
        expect(count(source, 'sse.reset')).toBe(0);
      });

      it('stays away when its topics are finished: it is answered 204 and stops', async () => {
        const { sse, requests, open } = await visit(platform, transport);
        const source = await open('t');
        await untilCount(source, 'sse.open', 1);
        sse.broadcast('t', 'n', 1);
        sse.closeTopic('t');
        await until('it has stopped', async () => (await source.readyState()) === CLOSED);
        expect(data(source)).toEqual([1]);
        expect(count(source, 'sse.end')).toBe(1);
        await until('it has been answered', () => requests.at(-1)?.status !== undefined);
        expect(requests.map(({ lastEventId, status }) => [lastEventId, status])).toEqual([
          [undefined, 200],
          ['1~end', 204],
        ]);
        expect(sse.getClientCount()).toBe(0);
      });

      it('comes back when it was refused for now, until there is room', async () => {
        const { sse, open } = await visit(platform, transport, { maxClients: 1 });
        const first = await open('t');
        await untilCount(first, 'sse.open', 1);
        const second = await open('t');
        await untilCount(second, 'sse.busy', 2);
        await first.close();
        await untilCount(second, 'sse.open', 1);
        sse.broadcast('t', 'n', 1);
        await untilCount(second, 'n', 1);
        expect(await second.readyState()).toBe(1);
      });

      it('is told once that what it has missed is gone', async () => {
        const { sse, open } = await visit(platform, transport, { maxHistorySize: 2, retryInterval: 200 });
        const source = await open('t');
        await untilCount(source, 'sse.open', 1);
        sse.broadcast('t', 'n', 1);
        await untilCount(source, 'n', 1);
        for (const { id } of sse.getClients()) sse.removeClient(id);
        for (const n of [2, 3, 4, 5]) sse.broadcast('t', 'n', n);
        await untilCount(source, 'n', 3);
        expect(data(source)).toEqual([1, 4, 5]);
        expect(count(source, 'sse.reset')).toBe(1);
        for (const { id } of sse.getClients()) sse.removeClient(id);
        await untilCount(source, 'sse.open', 3);
        sse.broadcast('t', 'n', 6);
        await untilCount(source, 'n', 4);
        expect(data(source)).toEqual([1, 4, 5, 6]);
        expect(count(source, 'sse.reset')).toBe(1);
      });
    });
  }

  for (const transport of [direct, web]) {
    describeHere(`Chromium's EventSource with compression: ${transport.name} on ${platform.name}`, () => {
      it('reads a compressed stream as it comes, also after a cut', async () => {
        const { sse, open } = await visit(platform, transport, { compression: true });
        const source = await open('t');
        await untilCount(source, 'sse.open', 1);
        const texts = Array.from({ length: 50 }, (_, n) => `${n} ${'so und so '.repeat(n)}`);
        for (const [n, text] of texts.entries()) {
          sse.broadcast('t', 'n', { text });
          await untilCount(source, 'n', n + 1);
          if (n % 20 === 19) for (const { id } of sse.getClients()) sse.removeClient(id);
        }
        expect(data(source)).toEqual(texts.map((text) => ({ text })));
        expect(count(source, 'sse.open')).toBe(3);
      });
    });
  }
}
