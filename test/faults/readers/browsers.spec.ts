import type { IncomingMessage, Server, ServerResponse } from 'node:http';

import { afterAll, afterEach, beforeAll, describe, expect, it, jest } from '@jest/globals';
import type { INestApplication } from '@nestjs/common';
import { type ClientOptions, MemoryBackplane, type SSEModuleOptions, type SSEService } from 'nestjs-sse-hub';

import { until } from '../../support/baseline.js';
import { type SeenRequest, watchRequests } from '../../support/network/requests.js';
import { closeAll, type Platform, platforms, type RunningApp, runningApps, startApp } from '../../support/platforms.js';
import { NGINX, startNginx } from '../../support/processes/nginx.js';
import {
  type BrowserKind,
  browserKinds,
  type BrowserSource,
  PageController,
  TestBrowser,
} from '../../support/readers/browsers.js';
import { direct, nestSse, type Transport, web } from '../../support/stream-controllers.js';

const NAMES = ['sse.open', 'sse.reset', 'sse.end', 'sse.closed', 'sse.busy', 'sse.cursor', 'sse.expired', 'n'];
const OPEN = 1;
const CLOSED = 2;

let browser: TestBrowser;

/** What an application has beside its streams. */
interface Setting {
  readonly config?: SSEModuleOptions;
  readonly options?: () => Omit<ClientOptions, 'topics'>;
  readonly port?: number;
  readonly prepare?: (app: INestApplication) => void;
}

interface Visited {
  readonly app: RunningApp;
  readonly sse: SSEService;
  readonly requests: readonly SeenRequest[];
  readonly open: (topics: string) => BrowserSource;
}

/** An application, and a page of its origin. Whoever is cut off comes back soon. */
async function visit(platform: Platform, transport: Transport, setting: Setting = {}): Promise<Visited> {
  const { app, requests } = await startWith(platform, transport, setting);
  await browser.visit(app.url);
  return { app, sse: app.sse, requests, open: (topics) => browser.open(`/events/${topics}`, NAMES) };
}

async function startWith(platform: Platform, transport: Transport, { config, options, port, prepare }: Setting) {
  let requests: readonly SeenRequest[] = [];
  const app = await startApp(platform, {
    ...(port !== undefined && { port }),
    config: { retryInterval: 50, retryJitter: 0, ...config },
    controllers: [transport.controller(options), PageController],
    prepare: (nest) => {
      prepare?.(nest);
      requests = watchRequests(nest, '/events/');
    },
  });
  return { app, requests };
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

function end(sse: SSEService): void {
  for (const { id } of sse.getClients()) sse.removeClient(id);
}

function cut({ app }: RunningApp): void {
  (app.getHttpServer() as Server).closeAllConnections();
}

async function close(app: RunningApp): Promise<void> {
  const closed = app.close();
  await until('its streams are over', () => app.sse.getClientCount() === 0);
  cut(app);
  await closed;
}

/** As a guard does for whoever has no valid token in the URL. */
function answering401(valid: ReadonlySet<string>) {
  return (request: IncomingMessage, response: ServerResponse, next: () => void): void => {
    const token = /token=(\w+)/.exec(request.url ?? '')?.[1];
    if (token === undefined || valid.has(token)) return next();
    response.writeHead(401).end();
  };
}

function describeIn(kind: BrowserKind, tests: () => void): void {
  describe(kind.name, () => {
    if (kind.program === undefined) {
      // Nothing of it can be tried; where everything has to be, looking for it has thrown.
      it('is needed', () => expect(process.env['CI']).toBeUndefined());
      return;
    }
    // One after the other: each is many processes.
    beforeAll(async () => {
      browser = await TestBrowser.launch(kind);
    });
    afterEach(async () => {
      jest.restoreAllMocks();
      await browser.leave();
      // Connections that a browser has opened without asking anything yet: a server that closes waits for them for a minute.
      for (const app of runningApps()) cut(app);
      await closeAll();
    });
    afterAll(() => browser.close());
    tests();
  });
}

for (const kind of browserKinds) {
  describeIn(kind, () => {
    for (const platform of platforms) {
      for (const transport of [direct, nestSse, web]) {
        it(`N5: ${transport.name} on ${platform.name}: comes back again and again where a connection may have two requests only`, async () => {
          const { sse, requests, open } = await visit(platform, transport, {
            prepare: (app) => {
              (app.getHttpServer() as Server).maxRequestsPerSocket = 2;
            },
          });
          const source = open('t');
          for (let n = 1; n <= 5; n++) {
            await untilCount(source, 'sse.open', n);
            sse.broadcast('t', 'n', n);
            await untilCount(source, 'n', n);
            end(sse);
          }
          await untilCount(source, 'sse.open', 6);
          expect(data(source)).toEqual([1, 2, 3, 4, 5]);
          expect(requests).toHaveLength(6);
          expect(source.state).not.toBe(CLOSED);
        });
      }

      for (const transport of [direct, nestSse]) {
        describe(`${transport.name} on ${platform.name}`, () => {
          it('comes back with its cursor after an end and after a cut, and gets what it has missed, once', async () => {
            const { app, sse, requests, open } = await visit(platform, transport);
            const source = open('t');
            await untilCount(source, 'sse.open', 1);
            sse.broadcast('t', 'n', 1);
            const first = await sse.publish('t', 'n', 2);
            await untilCount(source, 'n', 2);
            end(sse);
            sse.broadcast('t', 'n', 3);
            const second = await sse.publish('t', 'n', 4);
            await untilCount(source, 'n', 4);
            cut(app);
            for (const n of [5, 6]) sse.broadcast('t', 'n', n);
            await untilCount(source, 'n', 6);
            expect(data(source)).toEqual([1, 2, 3, 4, 5, 6]);
            expect(requests.map(({ lastEventId }) => lastEventId)).toEqual([undefined, first, second]);
            expect(source.errors).toBe(2);
          });

          it('R21: shows an id of the application, and resumes exactly when it is used again after eviction', async () => {
            const { sse, requests, open } = await visit(platform, transport, { config: { maxHistorySize: 5 } });
            const source = open('t');
            await untilCount(source, 'sse.open', 1);
            sse.broadcast('t', 'n', 1, 'own é 漢 id');
            const cursor = await sse.publish('t', 'n', 2, 'own é 漢 id');
            await untilCount(source, 'sse.cursor', 2);
            expect(source.reading.messages.map(({ lastEventId }) => lastEventId)).toEqual([
              'own é 漢 id',
              'own é 漢 id',
            ]);
            end(sse);
            // Both leave the history, and one of those that are left has their id.
            for (let n = 3; n <= 20; n++) sse.broadcast('t', 'n', n, n === 19 ? 'own é 漢 id' : undefined);
            await untilCount(source, 'n', 7);
            expect(requests[1]!.lastEventId).toBe(cursor);
            expect(data(source)).toEqual([1, 2, 16, 17, 18, 19, 20]);
            // What it did not get, it was told of.
            expect(count(source, 'sse.reset')).toBe(1);
          });

          it('stays away when its topics are finished: it is answered 204 and stops', async () => {
            const { sse, requests, open } = await visit(platform, transport);
            const source = open('t');
            await untilCount(source, 'sse.open', 1);
            sse.broadcast('t', 'n', 1);
            sse.closeTopic('t');
            await until('it has stopped', () => source.state === CLOSED);
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
            const { sse, open } = await visit(platform, transport, { config: { maxClients: 1 } });
            const first = open('t');
            await untilCount(first, 'sse.open', 1);
            const second = open('t');
            await untilCount(second, 'sse.busy', 2);
            first.close();
            await untilCount(second, 'sse.open', 1);
            sse.broadcast('t', 'n', 1);
            await untilCount(second, 'n', 1);
            expect(second.state).toBe(OPEN);
          });

          it('is told once that what it has missed is gone', async () => {
            const { sse, open } = await visit(platform, transport, {
              config: { maxHistorySize: 2, retryInterval: 200 },
            });
            const source = open('t');
            await untilCount(source, 'sse.open', 1);
            sse.broadcast('t', 'n', 1);
            await untilCount(source, 'n', 1);
            end(sse);
            for (const n of [2, 3, 4, 5]) sse.broadcast('t', 'n', n);
            await untilCount(source, 'n', 3);
            expect(data(source)).toEqual([1, 4, 5]);
            expect(count(source, 'sse.reset')).toBe(1);
            end(sse);
            await untilCount(source, 'sse.open', 3);
            sse.broadcast('t', 'n', 6);
            await untilCount(source, 'n', 4);
            expect(data(source)).toEqual([1, 4, 5, 6]);
            expect(count(source, 'sse.reset')).toBe(1);
          });

          it('comes back to the next process after a shutdown, and goes on where it was', async () => {
            const backplane = new MemoryBackplane();
            const config = { backplane, drainTimeout: 200 };
            const { app, open } = await visit(platform, transport, { config });
            const source = open('t');
            await untilCount(source, 'sse.open', 1);
            app.sse.broadcast('t', 'n', 1);
            await untilCount(source, 'n', 1);
            await close(app);
            const next = await startWith(platform, transport, { config, port: Number(new URL(app.url).port) });
            next.app.sse.broadcast('t', 'n', 2);
            await untilCount(source, 'n', 2);
            expect(data(source)).toEqual([1, 2]);
            expect(count(source, 'sse.reset')).toBe(0);
          });

          it('comes back after a planned end that is a cut', async () => {
            const { sse, requests, open } = await visit(platform, transport, {
              options: () => ({ plannedEnd: 'cut' }),
            });
            const source = open('t');
            await untilCount(source, 'sse.open', 1);
            const cursor = await sse.publish('t', 'n', 1);
            end(sse);
            sse.broadcast('t', 'n', 2);
            await untilCount(source, 'n', 2);
            expect(data(source)).toEqual([1, 2]);
            expect(requests[1]!.lastEventId).toBe(cursor);
          });

          it('is closed by a 401 when its time is up and its credentials are in the URL; a new one goes on there', async () => {
            const valid = new Set(['old']);
            const { sse, requests, open } = await visit(platform, transport, {
              options: () => ({ since: 0, expiresAt: Date.now() + (valid.has('new') ? 600_000 : 300) }),
              prepare: (app) => app.use(answering401(valid)),
            });
            const cursor = await sse.publish('t', 'n', 1);
            const source = open('t?token=old');
            await untilCount(source, 'n', 1);
            valid.clear();
            valid.add('new');
            await untilCount(source, 'sse.expired', 1);
            await until('it has given up', () => source.state === CLOSED);
            expect(requests.at(-1)).toMatchObject({ lastEventId: cursor, status: 401 });
            sse.broadcast('t', 'n', 2);
            const { lastEventId } = source.reading.events.at(-1)!;
            const fresh = open(`t?token=new&lastEventId=${lastEventId}`);
            await untilCount(fresh, 'n', 1);
            expect([lastEventId, data(source), data(fresh)]).toEqual([cursor, [1], [2]]);
          });

          it('without control events comes back with the cursor or with the id that it has shown', async () => {
            const { sse, requests, open } = await visit(platform, transport, {
              options: () => ({ controlEvents: false }),
            });
            const source = open('t');
            await until('it is there', () => sse.getClientCount() === 1);
            const cursor = await sse.publish('t', 'n', 1, 'own');
            await untilCount(source, 'n', 1);
            end(sse);
            sse.broadcast('t', 'n', 2);
            await untilCount(source, 'n', 2);
            expect(data(source)).toEqual([1, 2]);
            expect(requests[1]!.lastEventId).toBe(kind.honoursIdOnly ? cursor : 'own');
            // It cannot see the end of a finished stream where the terminal cursor is all that says so.
            sse.closeTopic('t');
            await until('it has stopped, or comes again and again', () => {
              return source.state === CLOSED || requests.filter(({ status }) => status === 200).length > 4;
            });
            expect(source.state === CLOSED).toBe(kind.honoursIdOnly);
          });

          it('does not look lost after a quiet hour beside a busy topic', async () => {
            const { sse, open } = await visit(platform, transport, {
              config: { heartbeatInterval: 50, maxHistorySize: 5 },
            });
            const source = open('quiet');
            await untilCount(source, 'sse.open', 1);
            for (let n = 0; n < 20; n++) sse.broadcast('busy', 'n', n);
            const now = performance.now.bind(performance);
            jest.spyOn(performance, 'now').mockImplementation(() => now() + 3_600_000);
            await untilCount(source, 'sse.cursor', 1);
            end(sse);
            for (let n = 0; n < 20; n++) sse.broadcast('busy', 'n', n);
            await untilCount(source, 'sse.open', 2);
            expect(source.reading.events.at(-1)!.data).toContain('"resumed":"full"');
            expect(count(source, 'sse.reset')).toBe(0);
          });
        });
      }

      for (const [name, change, comesBack] of [
        ['with the error_page of the sample', (text: string) => text, true],
        ['without it', (text: string) => text.replace(/.*error_page.*/, ''), false],
      ] as const) {
        const title = comesBack ? 'comes back when the node does' : 'is closed for good by the 502';
        describe(`nginx ${name}, on ${platform.name}`, () => {
          it(title, async () => {
            if (NGINX === undefined) return expect(process.env['CI']).toBeUndefined();
            const backplane = new MemoryBackplane();
            const config = { backplane, drainTimeout: 200 };
            const { app } = await startWith(platform, direct, { config });
            const nginx = await startNginx(app.url, (text) =>
              change(text)
                .replace(/(?<=location )~ .*(?= \{)/, '/events/')
                .replace('retry: 2000', 'retry: 100'),
            );
            try {
              await browser.visit(nginx.url);
              const source = browser.open('/events/t', NAMES);
              await untilCount(source, 'sse.open', 1);
              app.sse.broadcast('t', 'n', 1);
              await untilCount(source, 'n', 1);
              await close(app);
              await until('it has come in vain', () => source.errors > 1);
              await until('it is clear what that does', () => source.state === (comesBack ? 0 : CLOSED));
              if (!comesBack) return;
              const next = await startWith(platform, direct, { config, port: Number(new URL(app.url).port) });
              next.app.sse.broadcast('t', 'n', 2);
              await untilCount(source, 'n', 2);
              expect(data(source)).toEqual([1, 2]);
              expect(count(source, 'sse.reset')).toBe(0);
            } finally {
              await browser.leave();
              await nginx.close();
            }
          });
        });
      }

      for (const transport of [direct, web]) {
        describe(`compression: ${transport.name} on ${platform.name}`, () => {
          it('reads a compressed stream as it comes, also after a cut', async () => {
            const { sse, open } = await visit(platform, transport, { config: { compression: true } });
            const source = open('t');
            await untilCount(source, 'sse.open', 1);
            const texts = Array.from({ length: 50 }, (_, n) => `${n} ${'so und so '.repeat(n)}`);
            for (const [n, text] of texts.entries()) {
              sse.broadcast('t', 'n', { text });
              await untilCount(source, 'n', n + 1);
              if (n % 20 === 19) end(sse);
            }
            expect(data(source)).toEqual(texts.map((text) => ({ text })));
            expect(count(source, 'sse.open')).toBe(3);
          });
        });
      }
    }
  });
}
