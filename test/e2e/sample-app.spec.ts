import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { afterEach, describe, expect, it } from '@jest/globals';
import type { INestApplication } from '@nestjs/common';
import { SSEService, topicPattern } from 'nestjs-sse-hub';

import { answerTo } from '../../sample-app/chat/stream-answer.js';
import { createApp } from '../../sample-app/create-app.js';
import { NODE_NAME } from '../../sample-app/node-name.js';
import { until } from '../support/baseline.js';
import { type Platform, platforms } from '../support/platforms.js';
import { RecordedEventSource } from '../support/readers/event-source.js';
import { ROOT } from '../support/root.js';

interface Received {
  readonly event: string;
  readonly data: Record<string, unknown>;
}

interface Execution {
  readonly id: string;
}

interface Report {
  readonly open: number;
  readonly oldest?: { readonly id: string; readonly user: string };
  readonly topics: readonly { topic: string; connections: number; oldest: { id: string } }[];
  readonly connections: readonly { id: string; topics: string[] }[];
}

/** `curl -N`, as in the README. */
class Curl {
  output = '';
  ended = false;

  constructor(
    url: string,
    private readonly child: ChildProcess = spawn('curl', ['-sN', url], { stdio: ['ignore', 'pipe', 'ignore'] }),
  ) {
    child.stdout!.setEncoding('utf8').on('data', (text: string) => (this.output += text));
    child.on('close', () => (this.ended = true));
  }

  get events(): Received[] {
    const blocks = this.output.split('\n\n').slice(0, -1);
    return blocks.flatMap((block) => {
      const event = /^event: (.*)$/m.exec(block)?.[1];
      const data = /^data: (.*)$/m.exec(block)?.[1];
      return event === undefined || data === undefined ? [] : { event, data: JSON.parse(data) as Received['data'] };
    });
  }

  ofType(event: string): Received['data'][] {
    return this.events.filter((received) => received.event === event).map(({ data }) => data);
  }

  async untilCount(event: string, count: number): Promise<void> {
    await until(`${count} of ${event}, came: ${this.output}`, () => this.ofType(event).length >= count);
  }

  async untilEnd(): Promise<void> {
    await until('curl ends', () => this.ended);
  }

  close(): void {
    this.child.kill();
  }
}

const apps: INestApplication[] = [];
const clients: { close(): void }[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) client.close();
  await Promise.all(apps.splice(0).map((app) => app.close()));
});

async function start(platform: Platform) {
  const app = await createApp(platform.adapter());
  apps.push(app);
  await app.listen(0, '127.0.0.1');
  const { port } = app.getHttpServer().address() as AddressInfo;
  const url = `http://127.0.0.1:${port}`;

  const request = (method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Response> =>
    fetch(url + path, {
      method,
      headers: { ...(body !== undefined && { 'content-type': 'application/json' }), ...headers },
      ...(body !== undefined && { body: JSON.stringify(body) }),
    });
  const get = async <T>(path: string): Promise<T> => (await (await request('GET', path)).json()) as T;
  const post = async <T>(path: string, body: unknown): Promise<T> => {
    const response = await request('POST', path, body);
    expect(response.ok).toBe(true);
    return (await response.json()) as T;
  };
  const status = async (method: string, path: string, body?: unknown): Promise<number> => {
    const response = await request(method, path, body);
    await response.body?.cancel();
    return response.status;
  };
  /** A bare EventSource that is open. */
  const follow = async (path: string, ...events: string[]): Promise<RecordedEventSource> => {
    const source = new RecordedEventSource(url + path, events);
    clients.push(source);
    await source.untilCount('sse.open', 1);
    return source;
  };
  /** A curl that is connected. */
  const curl = async (path: string): Promise<Curl> => {
    const client = new Curl(url + path);
    clients.push(client);
    await client.untilCount('sse.open', 1);
    return client;
  };
  return { app, url, request, get, post, status, follow, curl };
}

function dataOf(source: RecordedEventSource, event: string): Received['data'][] {
  return source.events
    .filter((received) => received.event === event)
    .map(({ data }) => JSON.parse(data) as Received['data']);
}

function clientIdOf(source: RecordedEventSource | Curl): string {
  const opened = source instanceof Curl ? source.ofType('sse.open') : dataOf(source, 'sse.open');
  return String(opened[0]!['clientId']);
}

for (const platform of platforms) {
  describe(`the sample application on ${platform.name}`, () => {
    it('says in its OpenAPI document which streams it has, and with which events', async () => {
      const { get } = await start(platform);
      const { paths } = await get<{ paths: Record<string, { get: { responses: Record<string, unknown> } }> }>(
        '/api-json',
      );
      const streams = Object.entries(paths).filter(([, { get }]) => JSON.stringify(get ?? '').includes('event-stream'));
      expect(streams.map(([path]) => path).toSorted()).toEqual([
        '/chat/{id}',
        '/dashboard/events',
        '/documents/{id}/events',
        '/events',
        '/executions/{id}/events',
        '/load/events',
        '/notifications/events',
      ]);
      const described = JSON.stringify(paths['/notifications/events']!.get.responses['200']);
      expect(described).toContain('"enum":["inbox"]},"data":{"$ref":"#/components/schemas/Inbox"}');
    });

    describe('page', () => {
      it('is served with all that it names, and may load nothing from elsewhere', async () => {
        const { request, url } = await start(platform);
        const page = await request('GET', '/');
        expect(page.headers.get('content-security-policy')).toContain("default-src 'self'");
        const named = [...(await page.text()).matchAll(/<(?:script|link)[^>]*(?:src|href)="(\/[^"]*)"/g)];
        const paths = named.map(([, path]) => new URL(path!, url).pathname);
        expect([paths.some((path) => path.endsWith('.css')), paths.some((path) => path.endsWith('.js'))]).toEqual([
          true,
          true,
        ]);
        for (const path of paths) expect([path, (await request('GET', path)).status]).toEqual([path, 200]);
      });

      it('puts nothing that comes from the server into the page as markup', async () => {
        const folder = join(ROOT, 'sample-app/public');
        const scripts = (await readdir(folder, { recursive: true })).filter((path) => path.endsWith('.js'));
        expect(scripts.length).toBeGreaterThan(0);
        for (const path of scripts) {
          const script = await readFile(join(folder, path), 'utf8');
          expect(script).not.toMatch(/innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser/);
        }
      });
    });

    describe("page's stream", () => {
      const names = ['inbox', 'orders', 'flow', 'document', 'notification', 'order', 'edit', 'joined', 'process'];

      it('begins with the present state of everything, and goes on with what is published', async () => {
        const { follow, post } = await start(platform);
        await post('/notifications', { text: 'unread' });
        for (const item of ['Tea', 'Coffee']) await post('/dashboard/orders', { item, quantity: 1 });
        const page = await follow('/events?document=handbook&tab=one', ...names);
        await page.untilCount('joined', 1);
        const begins = ['sse.open', 'inbox', 'orders', 'flow', 'document'];
        expect(page.events.slice(0, 5).map(({ event }) => event)).toEqual(begins);
        expect(dataOf(page, 'inbox')).toMatchObject([{ unread: 1, notifications: [{ text: 'unread' }] }]);
        const [orders] = dataOf(page, 'orders') as unknown[];
        expect(orders).toMatchObject([{ item: 'Coffee' }, { item: 'Tea' }]);
        expect(dataOf(page, 'document')).toMatchObject([{ title: 'Handbook', version: 1, viewers: ['Ada'] }]);

        await post('/notifications', { text: 'new' });
        await post('/dashboard/orders', { item: 'Water', quantity: 1 });
        await post('/documents/handbook/edits?user=7', { text: 'by Grace' });
        await page.untilCount('process', 1);
        const arrived = ['notification', 'order', 'edit'].flatMap((event) => dataOf(page, event));
        expect(arrived).toMatchObject([{ notification: { text: 'new' } }, { item: 'Water' }, { text: 'by Grace' }]);
      });

      it('resumes all topics with one last event ID, and repeats nothing of the state', async () => {
        const { follow, post } = await start(platform);
        const page = await follow('/events?document=handbook&tab=one', ...names);
        await page.untilCount('joined', 1);
        const { lastEventId } = page;
        page.close();
        await post('/notifications', { text: 'missed' });
        await post('/dashboard/orders', { item: 'Tea', quantity: 1 });
        const again = await follow(`/events?document=handbook&tab=one&lastEventId=${lastEventId}`, ...names);
        await again.untilCount('order', 1);
        expect(dataOf(again, 'sse.open')).toMatchObject([{ resumed: 'full' }]);
        expect(dataOf(again, 'notification')).toMatchObject([{ notification: { text: 'missed' } }]);
        expect(['inbox', 'orders', 'document'].map((event) => again.count(event))).toEqual([0, 0, 0]);
      });

      it('is refused without a document, and with one that is not for the visitor', async () => {
        const { status } = await start(platform);
        const paths = [
          '/events',
          '/events?document=nothing',
          '/events?document=letters',
          '/events?document=a&document=b',
        ];
        const statuses = await Promise.all(paths.map((path) => status('GET', path)));
        expect(statuses).toEqual([400, 404, 403, 400]);
      });

      it("counts in its user's group with all other streams", async () => {
        const { follow, post, app } = await start(platform);
        const { id } = await post<Execution>('/executions', { folder: 'node_modules' });
        const paths = [
          '/events?document=handbook',
          '/notifications/events',
          '/documents/handbook/events',
          '/dashboard/events',
        ];
        for (const path of [...paths, `/executions/${id}/events`]) await follow(path);
        expect(app.get(SSEService).getClientsByGroup('user:42')).toHaveLength(5);
      });
    });

    describe('guard', () => {
      it.each([
        '/events',
        '/notifications/events',
        '/dashboard/events',
        '/documents/handbook/events',
        '/chat/tea',
        '/admin/connections',
      ])('answers 401 to an unknown user of %s', async (path) => {
        const { status } = await start(platform);
        expect(await status('GET', `${path}?user=13`)).toBe(401);
        expect(await status('GET', `${path}?user=42&user=7`)).toBe(401);
        expect(await status('GET', `${path}?user=__proto__`)).toBe(401);
      });

      it('knows a user by the query, else by a cookie, else as 42', async () => {
        const { request, post } = await start(platform);
        await post('/notifications', { text: 'to Grace', to: 7 });
        const unread = async (path: string, cookie?: string): Promise<unknown> => {
          const response = await request('GET', path, undefined, cookie === undefined ? {} : { cookie });
          return response.json();
        };
        expect(await unread('/notifications/unread')).toEqual({ unread: 0 });
        expect(await unread('/notifications/unread?user=7')).toEqual({ unread: 1 });
        expect(await unread('/notifications/unread', 'theme=dark; user=7')).toEqual({ unread: 1 });
        expect(await unread('/notifications/unread?user=42', 'user=7')).toEqual({ unread: 0 });
        const stranger = await request('GET', '/notifications/unread', undefined, { cookie: 'user=13' });
        expect(stranger.status).toBe(401);
      });
    });

    describe('notifications', () => {
      it("bring a user's own to every stream of that user, and nobody else's", async () => {
        const { follow, curl, post } = await start(platform);
        const ada = await follow('/notifications/events', 'inbox', 'notification');
        const adaAgain = await curl('/notifications/events?user=42');
        const grace = await follow('/notifications/events?user=7', 'inbox', 'notification');
        await post('/notifications', { text: 'for Grace', to: 7 });
        await post('/notifications?user=7', { text: 'for Ada', to: 42 });
        await ada.untilCount('notification', 1);
        await adaAgain.untilCount('notification', 1);
        await grace.untilCount('notification', 1);
        const forAda = { notification: { from: 'Grace', text: 'for Ada' } };
        expect(dataOf(ada, 'notification')).toMatchObject([forAda]);
        expect(adaAgain.ofType('notification')).toMatchObject([forAda]);
        const forGrace = { notification: { from: 'Ada', text: 'for Grace' } };
        expect(dataOf(grace, 'notification')).toMatchObject([forGrace]);
      });

      it('count what is unread, and begin each new stream with the inbox', async () => {
        const { follow, get, post, status } = await start(platform);
        await post('/notifications', { text: 'first' });
        await post('/notifications', { text: 'second' });
        expect(await get('/notifications/unread')).toEqual({ unread: 2 });

        const stream = await follow('/notifications/events', 'inbox', 'notification', 'read');
        await stream.untilCount('inbox', 1);
        expect(stream.events.map(({ event }) => event)).toEqual(['sse.open', 'inbox']);
        expect(dataOf(stream, 'inbox')).toMatchObject([
          { unread: 2, notifications: [{ text: 'second' }, { text: 'first' }] },
        ]);

        expect(await status('POST', '/notifications/read')).toBe(204);
        await stream.untilCount('read', 1);
        expect(dataOf(stream, 'read')).toEqual([{ unread: 0 }]);
        expect(await get('/notifications/unread')).toEqual({ unread: 0 });
        await post('/notifications', { text: 'third' });
        await stream.untilCount('notification', 1);
        expect(dataOf(stream, 'notification')).toMatchObject([{ notification: { text: 'third' } }]);
        expect(await get('/notifications/unread')).toEqual({ unread: 1 });
      });

      it('send whoever comes back what was missed, once, and no inbox', async () => {
        const { follow, curl, post } = await start(platform);
        const first = await curl('/notifications/events');
        await post('/notifications', { text: 'seen' });
        await first.untilCount('notification', 1);
        first.close();
        await post('/notifications', { text: 'missed' });
        const cursor = first.output
          .match(/^id: (.*)$/gm)!
          .at(-1)!
          .slice('id: '.length);
        const second = await follow(
          `/notifications/events?lastEventId=${encodeURIComponent(cursor)}`,
          'inbox',
          'notification',
        );
        await second.untilCount('notification', 1);
        await post('/notifications', { text: 'new' });
        await second.untilCount('notification', 2);
        expect(second.events.map(({ event }) => event)).toEqual(['sse.open', 'notification', 'notification']);
        expect(dataOf(second, 'sse.open')).toMatchObject([{ resumed: 'full' }]);
        expect(dataOf(second, 'notification')).toMatchObject([
          { notification: { text: 'missed' } },
          { notification: { text: 'new' } },
        ]);
      });

      it('end the oldest stream of a user for good when a sixth one opens', async () => {
        const { follow, post, get } = await start(platform);
        const names = ['inbox', 'notification'];
        const oldest = await follow('/notifications/events', ...names);
        const others = [];
        for (let i = 0; i < 4; i++) others.push(await follow('/notifications/events', ...names));
        const grace = await follow('/notifications/events?user=7', ...names);
        expect(oldest.count('sse.end')).toBe(0);

        others.push(await follow('/notifications/events', ...names));
        await oldest.untilStopped();
        expect(oldest.count('sse.end')).toBe(1);
        expect(oldest.attempts.map(({ status }) => status)).toEqual([200, 204]);

        await post('/notifications', { text: 'still here?' });
        for (const other of others) await other.untilCount('notification', 1);
        expect(oldest.count('notification')).toBe(0);
        expect([...others, grace].map(({ stopped }) => stopped)).toEqual([false, false, false, false, false, false]);
        const { topics } = await get<Report>('/admin/connections');
        expect(topics).toMatchObject([
          { topic: 'user:42', connections: 5 },
          { topic: 'user:7', connections: 1 },
        ]);
      });

      it.each([{}, { text: '' }, { text: '  ' }, { text: 7 }, { text: 'x'.repeat(501) }, { text: 'x', to: 13 }])(
        'refuse %j',
        async (body) => {
          const { status, get } = await start(platform);
          expect(await status('POST', '/notifications', body)).toBe(400);
          expect(await get('/notifications/unread')).toEqual({ unread: 0 });
        },
      );
    });

    describe('dashboard', () => {
      it('brings figures of the process and the machine, and orders, in one stream', async () => {
        const { follow, curl, post } = await start(platform);
        const stream = await follow('/dashboard/events', 'process', 'machine', 'order');
        const terminal = await curl('/dashboard/events?user=7');
        await post('/dashboard/orders?user=7', { item: 'Tea', quantity: 2 });
        await stream.untilCount('order', 1);
        await stream.untilCount('machine', 2);
        await terminal.untilCount('machine', 1);
        const order = { id: expect.any(String), item: 'Tea', quantity: 2, by: 'Grace' };
        expect(dataOf(stream, 'order')).toEqual([order]);
        expect(terminal.ofType('order')).toEqual(dataOf(stream, 'order'));

        const [first, second] = dataOf(stream, 'process') as Record<string, number>[];
        expect(first!['node']).toBe(NODE_NAME);
        expect(first!['openStreams']).toBe(2);
        expect(first!['memoryBytes']).toBeGreaterThan(2 ** 20);
        expect(first!['memoryBytes']).toBeLessThan(2 ** 36);
        expect(first!['cpuPercent']).toBeGreaterThanOrEqual(0);
        expect(first!['eventLoopDelayMs']).toBeGreaterThanOrEqual(0);
        expect(second!['at']).toBeGreaterThan(first!['at']!);
        const [machine] = dataOf(stream, 'machine') as Record<string, number>[];
        for (const name of ['cpuPercent', 'memoryPercent']) {
          expect(machine![name]).toBeGreaterThanOrEqual(0);
          expect(machine![name]).toBeLessThanOrEqual(100);
        }
        expect(stream.attempts).toHaveLength(1);
      });

      it('does nothing while nobody watches', async () => {
        const { app, curl } = await start(platform);
        let figures = 0;
        const sse = app.get(SSEService);
        sse.observe(topicPattern('dashboard:*')).subscribe(() => figures++);
        const viewer = await curl('/dashboard/events');
        await viewer.untilCount('machine', 1);
        viewer.close();
        await until('the viewer has left', () => sse.getClientCount() === 0);
        figures = 0;
        await delay(2_500);
        expect(figures).toBe(0);
      });

      it('begins a fresh stream with the last minute', async () => {
        const { follow, post } = await start(platform);
        await post('/dashboard/orders', { item: 'Tea', quantity: 1 });
        const stream = await follow('/dashboard/events', 'order');
        await stream.untilCount('order', 1);
        expect(dataOf(stream, 'order')).toMatchObject([{ item: 'Tea' }]);
      });

      it.each([{}, { item: 'Tea' }, { item: 'Tea', quantity: 0 }, { item: 'Tea', quantity: '1' }, { quantity: 1 }])(
        'refuses the order %j',
        async (body) => {
          const { status } = await start(platform);
          expect(await status('POST', '/dashboard/orders', body)).toBe(400);
        },
      );
    });

    describe('documents', () => {
      const names = ['document', 'joined', 'left', 'edit'];

      it('bring an edit to everyone but its author', async () => {
        const { follow, curl, post } = await start(platform);
        const ada = await follow('/documents/handbook/events', ...names);
        const grace = await follow('/documents/handbook/events?user=7', ...names);
        const terminal = await curl('/documents/handbook/events?user=7');
        await post('/documents/handbook/edits', { text: 'by Ada' });
        await grace.untilCount('edit', 1);
        await terminal.untilCount('edit', 1);
        await post('/documents/handbook/edits?user=7', { text: 'by Grace' });
        await ada.untilCount('edit', 1);
        // Had the author's own edit been sent, it would have come before the other one.
        expect(dataOf(ada, 'edit')).toMatchObject([{ text: 'by Grace', author: 'Grace', version: 3 }]);
        expect(dataOf(grace, 'edit')).toMatchObject([{ text: 'by Ada', author: 'Ada', version: 2 }]);
        expect(terminal.ofType('edit')).toMatchObject([{ text: 'by Ada', author: 'Ada', version: 2 }]);
      });

      it("bring an edit to the author's other tabs when a page says which stream is its own", async () => {
        const { follow, post } = await start(platform);
        const author = await follow('/documents/handbook/events', ...names);
        const otherTab = await follow('/documents/handbook/events', ...names);
        const grace = await follow('/documents/handbook/events?user=7', ...names);
        await post('/documents/handbook/edits', { text: 'mine', clientId: clientIdOf(author) });
        // Nobody can be kept from an edit by an id that is not the author's own.
        await post('/documents/handbook/edits', { text: 'mine too', clientId: clientIdOf(grace) });
        await grace.untilCount('edit', 2);
        await otherTab.untilCount('edit', 1);
        await post('/documents/handbook/edits?user=7', { text: 'last' });
        await author.untilCount('edit', 1);
        await otherTab.untilCount('edit', 2);
        const texts = (source: RecordedEventSource): unknown[] => dataOf(source, 'edit').map(({ text }) => text);
        expect(texts(author)).toEqual(['last']);
        expect(texts(otherTab)).toEqual(['mine', 'last']);
        expect(texts(grace)).toEqual(['mine', 'mine too']);
      });

      it('replay to a tab that comes back what others wrote, and not what it wrote itself', async () => {
        const { follow, post } = await start(platform);
        const tab = '/documents/handbook/events?tab=mine';
        const author = await follow(tab, ...names);
        await author.untilCount('document', 1);
        const { lastEventId } = author;
        await post('/documents/handbook/edits', { text: 'mine', clientId: clientIdOf(author) });
        author.close();
        await post('/documents/handbook/edits?user=7', { text: 'last' });
        const again = await follow(`${tab}&lastEventId=${lastEventId}`, ...names);
        await again.untilCount('edit', 1);
        expect(dataOf(again, 'edit')).toMatchObject([{ text: 'last' }]);
        // What comes from a URL is the name of a tab at most.
        const strange = await follow(`/documents/handbook/events?tab=${encodeURIComponent('a\nb')}`, ...names);
        expect(clientIdOf(strange)).toMatch(/^[0-9a-f-]{36}$/);
      });

      it('say how many streams of them are open', async () => {
        const { follow, get, status } = await start(platform);
        for (const user of [7, 42, 42]) await follow(`/documents/handbook/events?user=${user}`, ...names);
        expect(await get('/documents/handbook/viewers')).toEqual({ streams: 3 });
        expect(await get('/documents/roadmap/viewers')).toEqual({ streams: 0 });
        expect(await status('GET', '/documents/letters/viewers')).toBe(403);
      });

      it('tell their viewers who joined and who left', async () => {
        const { follow } = await start(platform);
        const ada = await follow('/documents/handbook/events', ...names);
        await ada.untilCount('joined', 1);
        const grace = await follow('/documents/handbook/events?user=7', ...names);
        await grace.untilCount('document', 1);
        expect(dataOf(grace, 'document')).toMatchObject([{ title: 'Handbook', version: 1, viewers: ['Ada', 'Grace'] }]);
        await ada.untilCount('joined', 2);
        grace.close();
        await ada.untilCount('left', 1);
        expect(ada.data.slice(1)).toEqual([
          { user: 'Ada', viewers: ['Ada'] },
          { user: 'Grace', viewers: ['Ada', 'Grace'] },
          { user: 'Grace', viewers: ['Ada'] },
        ]);
      });

      it('tell nobody of a viewer who is back at once, or opens another tab', async () => {
        const { app, follow } = await start(platform);
        const ada = await follow('/documents/handbook/events', ...names);
        const grace = await follow('/documents/handbook/events?user=7', ...names);
        await ada.untilCount('joined', 2);
        grace.close();
        const sse = app.get(SSEService);
        await until('she has left', () => sse.getClientCount('document:handbook') === 1);
        await follow('/documents/handbook/events?user=7', ...names);
        await follow('/documents/handbook/events?user=7', ...names);
        // Longer than it takes until somebody is taken for gone.
        await delay(7_500);
        expect(dataOf(ada, 'joined').map(({ user }) => user)).toEqual(['Ada', 'Grace']);
        expect(ada.count('left')).toBe(0);
      });

      it('do not mix: the viewers and edits of one are not those of another', async () => {
        const { follow, post } = await start(platform);
        const handbook = await follow('/documents/handbook/events', ...names);
        const letters = await follow('/documents/letters/events?user=7', ...names);
        await post('/documents/roadmap/edits', { text: 'elsewhere' });
        await post('/documents/handbook/edits?user=7', { text: 'here' });
        await handbook.untilCount('edit', 1);
        await letters.untilCount('joined', 1);
        expect(dataOf(handbook, 'edit')).toMatchObject([{ title: 'Handbook', text: 'here' }]);
        expect(dataOf(letters, 'joined')).toEqual([{ user: 'Grace', viewers: ['Grace'] }]);
        expect(letters.count('edit')).toBe(0);
      });

      it('answer 403 to whoever may not read one, and 404 when there is none', async () => {
        const { url, status, get } = await start(platform);
        expect(await status('GET', '/documents/letters/events')).toBe(403);
        expect(await status('GET', '/documents/roadmap/events?user=7')).toBe(403);
        expect(await status('POST', '/documents/letters/edits', { text: 'x' })).toBe(403);
        expect(await status('GET', '/documents/nothing/events')).toBe(404);
        expect(await status('POST', '/documents/handbook/edits', { text: '' })).toBe(400);
        expect(await get('/documents')).toEqual([
          { id: 'handbook', title: 'Handbook' },
          { id: 'roadmap', title: 'Roadmap' },
        ]);
        const source = new RecordedEventSource(`${url}/documents/letters/events`);
        clients.push(source);
        await source.untilStopped();
        expect(source.attempts).toEqual([{ status: 403, lastEventId: undefined }]);
        expect(await get<Report>('/admin/connections')).toMatchObject({ open: 0 });
      });
    });

    describe('executions', () => {
      const names = ['task-start', 'task-complete', 'progress', 'execution-complete', 'execution-failed'];

      it('stream their tasks to the end, and an EventSource stops', async () => {
        const { follow, post } = await start(platform);
        const { id } = await post<Execution>('/executions', { folder: 'src' });
        const viewer = await follow(`/executions/${id}/events`, ...names);
        await viewer.untilStopped();
        const entries = (await readdir(join(ROOT, 'src'))).toSorted();
        const tasks = (event: string): string[] => dataOf(viewer, event).map(({ task }) => String(task));
        expect(tasks('task-start').toSorted()).toEqual(entries);
        expect(tasks('task-complete')).toEqual(tasks('task-start'));
        expect(viewer.count('progress')).toBeGreaterThanOrEqual(1);
        expect(viewer.count('execution-complete')).toBe(1);
        expect(viewer.events.slice(-2).map(({ event }) => event)).toEqual(['execution-complete', 'sse.end']);
        expect(viewer.attempts.map(({ status }) => status)).toEqual([200, 204]);
      });

      it('really hash the files', async () => {
        const { curl, post } = await start(platform);
        const { id } = await post<Execution>('/executions', { folder: 'sample-app/public' });
        const viewer = await curl(`/executions/${id}/events`);
        await viewer.untilEnd();
        const folder = join(ROOT, 'sample-app/public');
        const content = await readFile(join(folder, 'index.html'));
        const file = createHash('sha256').update(content).digest('hex');
        const task = createHash('sha256').update(`${file}  index.html\n`).digest('hex');
        expect(viewer.ofType('task-complete')).toContainEqual({
          task: 'index.html',
          files: 1,
          bytes: content.length,
          unreadable: 0,
          sha256: task,
        });
        const entries = await readdir(folder, { recursive: true, withFileTypes: true });
        const files = entries.filter((entry) => entry.isFile()).length;
        expect(viewer.ofType('execution-complete')).toMatchObject([{ files, unreadable: 0 }]);
      });

      it('give a late viewer everything from the beginning, then the end', async () => {
        const { follow, curl, post, get } = await start(platform);
        const { id } = await post<Execution>('/executions', { folder: 'src' });
        const early = await curl(`/executions/${id}/events`);
        await early.untilEnd();
        expect(await get('/executions')).toEqual([{ id, folder: 'src', state: 'finished' }]);

        const late = await curl(`/executions/${id}/events`);
        await late.untilEnd();
        const lateBrowser = await follow(`/executions/${id}/events`, ...names);
        await lateBrowser.untilStopped();
        const seen = early.events.filter(({ event }) => !event.startsWith('sse.'));
        expect(seen.length).toBeGreaterThan(10);
        expect(late.events.slice(1)).toEqual([...seen, { event: 'sse.end', data: {} }]);
        expect(lateBrowser.data).toEqual(seen.map(({ data }) => data));
        expect(lateBrowser.attempts.map(({ status }) => status)).toEqual([200, 204]);
      });

      it('stop when somebody says so, and tell their viewers', async () => {
        const { follow, post, get, status } = await start(platform);
        const { id } = await post<Execution>('/executions', { folder: 'node_modules' });
        const viewer = await follow(`/executions/${id}/events`, 'task-start', 'execution-stopped');
        await viewer.untilCount('task-start', 1);
        expect(await status('DELETE', `/executions/${id}?user=7`)).toBe(204);
        await viewer.untilStopped();
        expect(dataOf(viewer, 'execution-stopped')).toEqual([{ message: 'It was stopped.' }]);
        expect(viewer.events.slice(-2).map(({ event }) => event)).toEqual(['execution-stopped', 'sse.end']);
        expect(await get('/executions')).toEqual([{ id, folder: 'node_modules', state: 'cancelled' }]);
        expect(await status('DELETE', `/executions/${id}`)).toBe(204);
        expect(await status('DELETE', '/executions/nothing')).toBe(404);
      });

      it.each(['..', '../..', '/', '/etc', 'src/../..', 'src/index.ts', 'nothing', 'src\0', '', 7, null])(
        'refuse the folder %j',
        async (folder) => {
          const { status, get } = await start(platform);
          expect(await status('POST', '/executions', { folder })).toBe(400);
          expect(await get('/executions')).toEqual([]);
        },
      );

      it('answer 404 for one that there is not, whatever a visitor claims, and 429 when too many run', async () => {
        const { request, status, curl } = await start(platform);
        const cursor = /^id: (.*)$/m.exec((await curl('/notifications/events')).output)![1]!;
        const claims = ['', '?lastEventId=x', `?lastEventId=${cursor}`];
        for (const claim of claims) expect(await status('GET', `/executions/nothing/events${claim}`)).toBe(404);
        const header = await request('GET', '/executions/nothing/events', undefined, { 'last-event-id': cursor });
        expect(header.status).toBe(404);
        const folder = 'node_modules';
        const answers = [];
        for (let i = 0; i < 4; i++) answers.push(await status('POST', '/executions', { folder }));
        expect(answers).toEqual([202, 202, 202, 429]);
      });
    });

    describe('chat', () => {
      const names = ['question', 'word', 'answer-failed', 'answer-stopped'];
      const wordsOf = (source: RecordedEventSource): unknown[] => dataOf(source, 'word').map(({ text }) => text);
      /** Asks, and does not read the answer. */
      const ask = async (request: (method: string, path: string, body: unknown) => Promise<Response>, path: string) => {
        const response = await request('POST', path, { text: 'Why?' });
        expect(response.status).toBe(200);
        await response.body?.cancel();
      };

      it('answers in one request, word by word, to the end', async () => {
        const { request } = await start(platform);
        const response = await request('POST', '/chat/tea', { text: 'Why?' });
        expect(response.headers.get('content-type')).toBe('text/event-stream');
        const text = await response.text();
        const words = [...text.matchAll(/^event: word\nid: .*\ndata: (.*)$/gm)].map(
          ([, data]) => (JSON.parse(data!) as { text: string }).text,
        );
        expect(text).toMatch(/\n\nevent: question\nid: .*\ndata: \{"text":"Why\?"\}\n\nevent: word\n/);
        expect(words.length).toBeGreaterThan(50);
        expect(words.join('')).toBe(answerTo('Why?'));
        expect(text).toMatch(/event: sse\.end\n.*\ndata: \{\}\n\n$/);
      });

      it('goes on when whoever asked has left, and gives who comes late the text so far, then the words', async () => {
        const { request, follow } = await start(platform);
        await ask(request, '/chat/tea');
        const early = await follow('/chat/tea', ...names);
        await early.untilCount('word', 15);
        const late = await follow('/chat/tea', ...names);
        await late.untilStopped();
        await early.untilStopped();
        expect(wordsOf(early).join('')).toBe(answerTo('Why?'));
        expect(wordsOf(late).join('')).toBe(answerTo('Why?'));
        expect(wordsOf(late)[0]).toMatch(/^You asked: “Why\?” I am not a language model/);
        expect(late.count('word')).toBeLessThan(early.count('word') - 10);
        const later = await follow('/chat/tea', ...names);
        await later.untilStopped();
        expect(later.data).toEqual([{ text: 'Why?' }, { text: answerTo('Why?') }]);
        expect(later.attempts.map(({ status }) => status)).toEqual([200, 204]);
      });

      it('stops, and begins anew with the next question', async () => {
        const { request, follow, status, app } = await start(platform);
        await ask(request, '/chat/tea');
        const stopped = await follow('/chat/tea', ...names);
        await stopped.untilCount('word', 2);
        expect(await status('DELETE', '/chat/tea')).toBe(204);
        await stopped.untilStopped();
        expect(dataOf(stopped, 'answer-stopped')).toEqual([{ message: 'Stopped.' }]);
        expect(app.get(SSEService).getRun('chat:42:tea')).toMatchObject({
          state: 'cancelled',
          reason: 'stopped by Ada',
        });

        await ask(request, '/chat/tea');
        const replaced = await follow('/chat/tea', ...names);
        await replaced.untilCount('word', 1);
        await ask(request, '/chat/tea');
        await replaced.untilStopped();
        expect(replaced.events.slice(-2).map(({ event }) => event)).toEqual(['answer-stopped', 'sse.end']);
        const last = await follow('/chat/tea', ...names);
        await last.untilCount('word', 3);
        expect(last.count('question')).toBe(1);
      });

      it("tells all windows of its user that there is an answer, and is nobody else's", async () => {
        const { app, request, follow, status } = await start(platform);
        const page = await follow('/events?document=handbook', 'asked');
        const grace = await follow('/events?document=handbook&user=7', 'asked', 'edit');
        await ask(request, '/chat/tea');
        await page.untilCount('asked', 1);
        const { id: run } = app.get(SSEService).getRun('chat:42:tea')!;
        expect(dataOf(page, 'asked')).toEqual([{ chat: 'tea', run }]);
        expect(await status('GET', `/chat/tea?run=${run}`)).toBe(200);
        expect(await status('GET', '/chat/tea?run=another')).toBe(204);
        expect(await status('GET', '/chat/tea?user=7')).toBe(204);
        expect(await status('DELETE', '/chat/tea?user=7')).toBe(204);
        expect(app.get(SSEService).getRun('chat:42:tea')).toMatchObject({ state: 'running' });
        await request('POST', '/documents/handbook/edits', { text: 'and nothing else' });
        await grace.untilCount('edit', 1);
        expect(grace.count('asked')).toBe(0);
      });

      it('refuses what is no question, and what is no name of a chat', async () => {
        const { status } = await start(platform);
        for (const text of [undefined, '', '  ', 7, 'x'.repeat(501)])
          expect(await status('POST', '/chat/tea', { text })).toBe(400);
        for (const id of ['a:b', '*', 'a%0Ab', 'x'.repeat(65)]) {
          expect(await status('POST', `/chat/${id}`, { text: 'Why?' })).toBe(400);
          expect(await status('GET', `/chat/${id}`)).toBe(400);
          expect(await status('DELETE', `/chat/${id}`)).toBe(400);
        }
        expect(await status('GET', '/chat/tea')).toBe(204);
      });
    });

    describe('admin', () => {
      it('lists connections by topic with the oldest of each, and the oldest of all', async () => {
        const { curl, get } = await start(platform);
        expect(await get('/admin/connections')).toEqual({ node: NODE_NAME, open: 0, topics: [], connections: [] });
        const first = await curl('/notifications/events?user=7');
        const second = await curl('/dashboard/events?user=7');
        const third = await curl('/notifications/events?user=7');
        const report = await get<Report>('/admin/connections');
        expect(report.open).toBe(3);
        expect(report.oldest).toMatchObject({ id: clientIdOf(first), user: 'Grace', topics: ['user:7'] });
        expect(report.topics).toMatchObject([
          { topic: 'dashboard:*', connections: 1, oldest: { id: clientIdOf(second) } },
          { topic: 'orders', connections: 1, oldest: { id: clientIdOf(second) } },
          { topic: 'user:7', connections: 2, oldest: { id: clientIdOf(first) } },
        ]);
        expect(report.connections.map(({ id }) => id)).toEqual([first, second, third].map(clientIdOf));
      });

      it('disconnects streams of all three kinds for good, and no others', async () => {
        const { follow, post, status, get } = await start(platform);
        const { id: execution } = await post<Execution>('/executions', { folder: 'node_modules' });
        const paths = ['/notifications/events', '/documents/handbook/events', `/executions/${execution}/events`];
        const removed = await Promise.all(paths.map((path) => follow(path, 'execution-complete')));
        const stays = await follow('/notifications/events');
        for (const id of removed.map(clientIdOf)) {
          expect(await status('DELETE', `/admin/connections/${id}`)).toBe(204);
          expect(await status('DELETE', `/admin/connections/${id}`)).toBe(404);
        }
        await Promise.all(removed.map((source) => source.untilStopped()));
        for (const source of removed) {
          expect(source.events.map(({ event }) => event)).toEqual(['sse.open', 'sse.end']);
          expect(source.attempts.map((attempt) => attempt.status)).toEqual([200, 204]);
        }
        expect(stays.stopped).toBe(false);
        expect((await get<Report>('/admin/connections')).connections).toMatchObject([{ id: clientIdOf(stays) }]);
      });

      it('hears of connections that come and go, in the stream of the dashboard', async () => {
        const { follow, curl } = await start(platform);
        const admin = await follow('/dashboard/events', 'connections-changed');
        await admin.untilCount('connections-changed', 1);
        const visitor = await curl('/notifications/events?user=7');
        await until('the visitor is counted', () => dataOf(admin, 'connections-changed').at(-1)?.['open'] === 2);
        visitor.close();
        await until('the visitor is gone', () => dataOf(admin, 'connections-changed').at(-1)?.['open'] === 1);
      });

      it('is for administrators only', async () => {
        const { follow, status, get } = await start(platform);
        const grace = await follow('/dashboard/events?user=7');
        expect(await status('GET', '/admin/connections?user=7')).toBe(403);
        expect(await status('DELETE', `/admin/connections/${clientIdOf(grace)}?user=7`)).toBe(403);
        const { connections } = await get<Report>('/admin/connections');
        expect(connections.map(({ topics }) => topics.toSorted())).toEqual([['dashboard:*', 'orders']]);
      });
    });

    it('closes in time while streams of all three kinds are open, and tells each where it was', async () => {
      const { curl } = await start(platform);
      const streams = [
        await curl('/notifications/events'),
        await curl('/dashboard/events'),
        await curl('/documents/handbook/events'),
      ];
      await apps.pop()!.close();
      for (const stream of streams) {
        await stream.untilEnd();
        expect(stream.output).toMatch(
          /event: sse\.cursor\nid: 1~[0-9a-z]+~[0-9a-z]+-[0-9a-z]+\nretry: \d+\ndata: \{\}\n\n$/,
        );
      }
    });
  });
}
