import { afterEach, describe, expect, it } from '@jest/globals';
import type { SSEStats } from 'nestjs-sse-hub';

import { NODE_NAME } from '../../sample-app/node-name.js';
import { until } from '../support/baseline.js';
import { platforms } from '../support/platforms.js';
import { CHROMIUM, DrivenChromium } from '../support/readers/chromium.js';
import { closeSamples, dataOf, startSample } from '../support/sample-app.js';

interface HubReport {
  readonly node: string;
  readonly stats: SSEStats;
  readonly rates: readonly { readonly topic: string; readonly perSecond: number }[];
  readonly history: Readonly<Record<string, unknown>>;
}

interface Connections {
  readonly connections: readonly Readonly<Record<string, unknown>>[];
}

afterEach(closeSamples);

for (const platform of platforms) {
  describe(`administration of the sample application on ${platform.name}`, () => {
    it('shows of each connection whose it is, where it is, and how far behind', async () => {
      const sample = await startSample(platform);
      const page = await sample.follow('/events?document=handbook&tab=one', 'tick');
      const connection = async () => (await sample.get<Connections>('/admin/connections')).connections[0]!;
      expect(await connection()).toMatchObject({ user: 'Ada', group: 'user:42', lag: 0 });
      const { position } = await connection();
      expect(position).toMatch(/^1~/);
      await page.untilCount('tick', 3);
      expect((await connection())['position']).not.toBe(position);
      expect(await sample.status('POST', '/survive/slow?tab=one', { seconds: 3 })).toBe(204);
      // More than its connection takes.
      const text = 'x'.repeat(2_000);
      await until('it is behind', async () => {
        await sample.request('POST', '/documents/handbook/edits?user=7', { text });
        return Number((await connection())['lag']) > 0;
      });
      await until('it has got there', async () => (await connection())['lag'] === 0);
    });

    it('shows what the hub counts, how busy topics are, and how full the log is', async () => {
      const sample = await startSample(platform);
      await sample.follow('/events?document=handbook&tab=one', 'tick');
      for (let i = 0; i < 20; i++) await sample.request('POST', '/dashboard/orders', { item: 'Tea', quantity: 1 });
      const { node, stats, rates, history } = await sample.get<HubReport>('/admin/hub');
      expect(node).toBe(NODE_NAME);
      expect(stats).toMatchObject({ state: 'running', clients: 1, backplane: { kind: 'memory', status: 'up' } });
      expect(rates[0]).toEqual({ topic: 'orders', perSecond: 2 });
      expect(rates.map(({ topic }) => topic)).toContain('flow');
      expect(history).toEqual({ ...stats.history, maxEventsPerTopic: 1_000, maxBytes: 64 * 1024 * 1024 });
      expect(history['events']).toBeGreaterThan(20);
      expect(await sample.status('GET', '/admin/hub?user=7')).toBe(403);
      expect(await sample.status('GET', '/admin/hub?user=13')).toBe(401);
    });

    it('tells each second in the dashboard how many events were published, and delivered', async () => {
      const sample = await startSample(platform);
      const [page] = await Promise.all(
        ['one', 'two'].map((tab) => sample.follow(`/events?document=handbook&tab=${tab}`, 'process')),
      );
      await until('the flow is counted', () => {
        const figures = dataOf(page!, 'process').at(-1)!;
        return Number(figures['publishedPerSecond']) >= 3 && Number(figures['eventsPerSecond']) >= 6;
      });
      expect(dataOf(page!, 'process').at(-1)).toMatchObject({ node: NODE_NAME, openStreams: 2 });
    });

    it('tells the stream of the page which executions there are', async () => {
      const sample = await startSample(platform);
      const page = await sample.follow('/events?document=handbook&tab=one', 'sse.open', 'execution');
      const started = await sample.request('POST', '/executions?user=7', { folder: 'src/protocol' });
      const { id } = (await started.json()) as { id: string };
      await page.untilCount('execution', 1);
      expect(dataOf(page, 'execution')).toEqual([{ id, folder: 'src/protocol' }]);
    });

    it('has a page for the API that loads everything from here', async () => {
      const { request, url } = await startSample(platform);
      const page = await request('GET', '/api');
      expect([page.status, page.headers.get('content-type')]).toEqual([200, expect.stringMatching(/^text\/html/)]);
      const html = await page.text();
      const assets = [...html.matchAll(/(?:src|href)="([^"]+)"/g)].map(([, path]) => new URL(path!, `${url}/api`));
      expect(assets.length).toBe(4);
      for (const asset of assets) {
        expect(asset.origin).toBe(url);
        const answer = await request('GET', asset.pathname);
        expect([asset.pathname, answer.status]).toEqual([asset.pathname, 200]);
      }
      expect(page.headers.get('content-security-policy')).toContain("default-src 'self'");
      for (const file of ['package.json', '..%2fpackage.json', 'swagger-ui-bundle.js.map']) {
        expect((await request('GET', `/api/${file}`)).status).toBe(404);
      }
    });

    (CHROMIUM === undefined ? it.skip : it)('shows what it can be asked in a browser', async () => {
      const { url } = await startSample(platform);
      const browser = await DrivenChromium.launch();
      try {
        const page = await browser.openWindow(`${url}/api`);
        await page.locator('[data-path="/notifications/events"]').first().waitFor();
      } finally {
        await browser.close();
      }
    });
  });
}
