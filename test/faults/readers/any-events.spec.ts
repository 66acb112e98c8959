import { setImmediate as turn } from 'node:timers/promises';

import { afterAll, afterEach, beforeAll, describe, it } from '@jest/globals';
import fc from 'fast-check';

import { anyEvent } from '../../support/arbitrary-events.js';
import { ChoppingProxy } from '../../support/network/chopping-proxy.js';
import { closeAll, platforms, startApp } from '../../support/platforms.js';
import {
  type BrowserKind,
  browserKinds,
  FIREFOX,
  PageController,
  TestBrowser,
} from '../../support/readers/browsers.js';
import { python } from '../../support/readers/python-reader.js';
import { asFirefoxDoes, asTheStandardSays, readers as libraries } from '../../support/readers/readers.js';
import { expectRead, type Opened, send, type TopicEvent, untilNamed } from '../../support/readers/readings.js';
import { seed } from '../../support/seed.js';
import { transports } from '../../support/stream-controllers.js';

/** `READER_RUNS=200` for the long run: so many streams for each platform and transport. */
const RUNS = Number(process.env['READER_RUNS'] ?? 5);
const READERS = python ? [...libraries, python] : libraries;

const browsers: { readonly kind: BrowserKind; readonly browser: TestBrowser }[] = [];
let proxy: ChoppingProxy | undefined;

beforeAll(async () => {
  for (const kind of browserKinds) {
    if (kind.program !== undefined) browsers.push({ kind, browser: await TestBrowser.launch(kind) });
  }
});

afterEach(async () => {
  await proxy?.close();
  proxy = undefined;
  await closeAll();
});

afterAll(async () => {
  for (const { browser } of browsers) await browser.close();
});

function openAll(url: string, events: readonly TopicEvent[]): Opened[] {
  const opened: Opened[] = READERS.map((reader) => ({ reader, reading: reader.open(url) }));
  const names = ['sse.open', 'end', ...events.map(({ event = 'message' }) => event)];
  for (const { kind, browser } of browsers) {
    const expects = kind === FIREFOX ? asFirefoxDoes : asTheStandardSays;
    opened.push({ reader: { name: kind.name, expects }, reading: browser.open(url, names).reading });
  }
  return opened;
}

for (const [i, platform] of platforms.entries()) {
  for (const [j, transport] of transports.entries()) {
    describe(`${transport.name} on ${platform.name}`, () => {
      it('E9: readers that others wrote give back any events, however the network cuts them', async () => {
        const { sse, url } = await startApp(platform, { controllers: [transport.controller(), PageController] });
        proxy = await ChoppingProxy.start(url);
        for (const { browser } of browsers) await browser.visit(proxy.url);
        let runs = 0;
        await fc.assert(
          fc.asyncProperty(fc.array(anyEvent, { minLength: 1, maxLength: 25, size: 'max' }), async (events) => {
            const topic = `run-${++runs}`;
            const published = events.map((event) => ({ ...event, topic }));
            const opened = openAll(`${proxy!.url}/events/${topic}`, published);
            try {
              await untilNamed(opened, 'sse.open');
              const sent = await Promise.all(published.map((event) => send(sse, event)));
              await turn();
              sent.push(await send(sse, { topic, event: 'end', data: '' }));
              await untilNamed(opened, 'end');
              expectRead(opened, sent);
            } finally {
              for (const { reading } of opened) reading.close();
            }
          }),
          // Different ones for each, so that all together try more.
          { numRuns: RUNS, seed: seed + 10 * i + j },
        );
      });
    });
  }
}
