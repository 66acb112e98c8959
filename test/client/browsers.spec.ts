import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { SSEService } from 'nestjs-sse-hub';

import { until } from '../support/baseline.js';
import { type SeenRequest, watchRequests } from '../support/network/requests.js';
import { closeAll, platforms, type RunningApp, startApp } from '../support/platforms.js';
import { type BrowserSource, browserKinds, PageController, TestBrowser } from '../support/readers/browsers.js';
import { numbers } from '../support/readers/numbered.js';
import { direct } from '../support/stream-controllers.js';

/** The client in every browser: several sources of one page share as those of several tabs do. */

const NAMES = ['n', 'sse.open', 'sse.end'];

let browser: TestBrowser;
let app: RunningApp;
let requests: readonly SeenRequest[] = [];

async function visit(): Promise<SSEService> {
  app = await startApp(platforms[0]!, {
    config: { retryInterval: 50, heartbeatInterval: 200 },
    controllers: [direct.controller(), PageController],
    prepare: (nest) => {
      requests = watchRequests(nest, '/events/');
    },
  });
  await browser.visit(app.url);
  return app.sse;
}

function data(source: BrowserSource): number[] {
  return source.reading.messages.map((event) => Number(event.data));
}

async function untilNumber(source: BrowserSource, n: number): Promise<void> {
  await until(`${n} comes; came: ${JSON.stringify(source.reading.events)}`, () => data(source).includes(n));
}

function cut(): void {
  (app.app.getHttpServer() as { closeAllConnections(): void }).closeAllConnections();
}

for (const kind of browserKinds) {
  describe(kind.name, () => {
    if (kind.program === undefined) {
      // Nothing of it can be tried; where everything has to be, looking for it has thrown.
      it('is needed', () => expect(process.env['CI']).toBeUndefined());
      return;
    }
    beforeAll(async () => {
      browser = await TestBrowser.launch(kind);
    });
    afterEach(async () => {
      await browser.leave();
      cut();
      await closeAll();
    });
    afterAll(() => browser.close());

    it('has one connection for six that share, and each gets every event once when the one that has it goes', async () => {
      const sse = await visit();
      const sources: BrowserSource[] = [];
      for (let i = 0; i < 6; i++) {
        const source = browser.open('/events/t', NAMES, 'sharingClient');
        await until('it is open', () => source.state === 1);
        sources.push(source);
      }
      await until('they have one connection', () => sse.getClientCount() === 1);
      for (const n of numbers(1, 50)) sse.broadcast('t', 'n', n);
      for (const source of sources) await untilNumber(source, 50);
      const before = requests.length;
      sources[0]!.close();
      for (const n of numbers(51, 100)) sse.broadcast('t', 'n', n);
      await until('another has come', () => requests.length > before);
      cut();
      for (const n of numbers(101, 150)) sse.broadcast('t', 'n', n);
      for (const source of sources.slice(1)) {
        await untilNumber(source, 150);
        expect(data(source)).toEqual(numbers(1, 150));
      }
      await until('they have one connection', () => sse.getClientCount() === 1);
    });

    it('keeps a quiet line while heartbeats come, and goes on after a cut', async () => {
      const sse = await visit();
      const source = browser.open('/events/t', NAMES, 'client');
      await until('it is open', () => source.state === 1);
      const begin = performance.now();
      await until('it was quiet', () => performance.now() - begin > 3_000);
      expect([source.errors, requests.length]).toEqual([0, 1]);
      sse.broadcast('t', 'n', 1);
      await untilNumber(source, 1);
      cut();
      sse.broadcast('t', 'n', 2);
      await untilNumber(source, 2);
      expect(data(source)).toEqual([1, 2]);
    });
  });
}
