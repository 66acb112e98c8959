import { afterEach, describe, expect, it } from '@jest/globals';
import { SSEService } from 'nestjs-sse-hub';

import { NODE_NAME } from '../../sample-app/node-name.js';
import { BadNetwork } from '../../sample-app/survival/bad-network.js';
import type { Tick } from '../../sample-app/survival/flow.service.js';
import { until } from '../support/baseline.js';
import { platforms } from '../support/platforms.js';
import type { RecordedEventSource } from '../support/readers/event-source.js';
import { closeSamples, dataOf, type RunningSample, startSample } from '../support/sample-app.js';

afterEach(closeSamples);

/** The two streams of a tab that are compared: the page's own, and the one without the hub. */
interface Tab {
  readonly name: string;
  readonly hub: RecordedEventSource;
  readonly plain: RecordedEventSource;
}

async function openTab({ follow }: RunningSample, name: string): Promise<Tab> {
  const [hub, plain] = await Promise.all([
    follow(`/events?document=handbook&tab=${name}`, 'flow', 'tick', 'document'),
    follow(`/survive/plain?tab=${name}`, 'start', 'tick'),
  ]);
  await hub.untilCount('tick', 2);
  await plain.untilCount('tick', 2);
  return { name, hub, plain };
}

const numbersOf = (source: RecordedEventSource): number[] => dataOf<Tick>(source, 'tick').map(({ n }) => n);

/** Numbers between the first and the last one that have not come. */
function missingFrom(source: RecordedEventSource): number {
  const numbers = numbersOf(source);
  return numbers.at(-1)! - numbers[0]! + 1 - new Set(numbers).size;
}

/** From where it began, every number once and in order. */
function expectGapless(source: RecordedEventSource): void {
  const numbers = numbersOf(source);
  const [{ n }] = dataOf<Tick>(source, 'flow') as [Tick];
  // What was published in the moment in which the stream began is in its beginning, too.
  expect(numbers[0]).toBeLessThanOrEqual(n + 1);
  expect(numbers).toEqual(numbers.map((_, i) => numbers[0]! + i));
  expect(source.count('sse.reset')).toBe(0);
}

/** Both have come back, and got something since. */
async function untilBack({ hub, plain }: Tab, connections = 2): Promise<void> {
  for (const source of [hub, plain]) {
    const back = () => source.attempts.filter(({ status }) => status === 200).length >= connections;
    await until('the tab is back', back);
    const { length } = numbersOf(source);
    await source.untilCount('tick', length + 2);
  }
}

for (const platform of platforms) {
  describe(`survival of the sample application on ${platform.name}`, () => {
    it('tells where it is, and counts in the stream of the page from there on', async () => {
      const sample = await startSample(platform);
      const lane = NODE_NAME;
      const state = { node: lane, nodes: false, platform: platform.name.toLowerCase(), log: 'memory' };
      expect(await sample.get('/survive/state')).toEqual({ ...state, flow: { lane, n: 0 } });
      const { hub, plain } = await openTab(sample, 'one');
      expectGapless(hub);
      expect(dataOf(plain, 'start')).toEqual([{ lane, n: expect.any(Number) as unknown }]);
      const { flow } = await sample.get<{ flow: Tick }>('/survive/state');
      expect(flow.n).toBeGreaterThanOrEqual(numbersOf(hub).at(-1)!);
      const late = await sample.follow('/events?document=handbook&tab=late', 'flow', 'tick');
      expect(dataOf<Tick>(late, 'flow')[0]!.n).toBeGreaterThanOrEqual(flow.n);
      await late.untilCount('tick', 1);
      expectGapless(late);
    });

    it('loses nothing in the hub when a tab is cut, offline or slow, and does where there is no hub', async () => {
      const sample = await startSample(platform);
      const [cut, offline, slow, quiet] = await Promise.all(
        ['cut', 'offline', 'slow', 'quiet'].map((name) => openTab(sample, name)),
      );
      const seconds = 1;
      expect(await sample.status('POST', '/survive/cut?tab=cut')).toBe(204);
      expect(await sample.status('POST', '/survive/offline?tab=offline', { seconds })).toBe(204);
      const before = numbersOf(slow!.hub).length;
      expect(await sample.status('POST', '/survive/slow?tab=slow', { seconds })).toBe(204);
      // The burst is for everybody, and comes to all but the slow one at once.
      await quiet!.hub.untilCount('tick', before + 200);
      expect(numbersOf(slow!.hub).length).toBeLessThan(before + 200);
      await slow!.hub.untilCount('tick', before + 202);
      await slow!.plain.untilCount('tick', before + 202);
      expect(slow!.hub.attempts).toHaveLength(1);
      await Promise.all([untilBack(cut!), untilBack(offline!)]);
      for (const { hub } of [cut!, offline!, slow!, quiet!]) expectGapless(hub);
      expect([cut, offline].map((tab) => missingFrom(tab!.plain) > 0)).toEqual([true, true]);
      expect([slow, quiet].map((tab) => missingFrom(tab!.plain))).toEqual([0, 0]);
      expect(quiet!.hub.attempts).toHaveLength(1);
    });

    it('turns a tab that is offline away before it is answered, until the time is over', async () => {
      const sample = await startSample(platform);
      const tab = await openTab(sample, 'one');
      await sample.status('POST', '/survive/offline?tab=one', { seconds: 3 });
      const began = performance.now();
      await expect(fetch(`${sample.url}/events?document=handbook&tab=one`)).rejects.toThrow('fetch failed');
      expect(await sample.status('GET', '/events?document=handbook&tab=other')).toBe(200);
      await untilBack(tab);
      expect(performance.now() - began).toBeGreaterThan(2_900);
      expectGapless(tab.hub);
    });

    it('loses nothing when it is drained, and when its listener is restarted', async () => {
      const sample = await startSample(platform);
      const tab = await openTab(sample, 'one');
      const drained = await sample.request('POST', '/survive/drain');
      expect([drained.status, await drained.json()]).toEqual([200, { ended: 1 }]);
      await untilBack(tab);
      expect(dataOf(tab.hub, 'sse.open').map(({ resumed }) => resumed)).toEqual(['none', 'full']);
      expect(await sample.status('POST', '/survive/restart')).toBe(202);
      await until('nobody listens', () => !sample.app.getHttpServer().listening);
      // As another tab may ask for it: it is under way already.
      sample.app.get(BadNetwork).restart();
      await untilBack(tab, 3);
      expectGapless(tab.hub);
      expect(missingFrom(tab.plain)).toBeGreaterThan(0);
      expect(await sample.status('GET', '/survive/state')).toBe(200);
    });

    it('tells a tab whose place was forgotten that it has missed something, and goes on', async () => {
      const sample = await startSample(platform);
      const [tab, other] = await Promise.all([openTab(sample, 'one'), openTab(sample, 'other')]);
      expect(await sample.status('POST', '/survive/forget?tab=one')).toBe(204);
      await tab.hub.untilCount('sse.reset', 1);
      expect(dataOf(tab.hub, 'sse.reset')).toMatchObject([
        { reason: 'trimmed', topics: expect.arrayContaining(['flow']) as unknown },
      ]);
      await tab.hub.untilCount('flow', 2);
      const [, { n }] = dataOf<Tick>(tab.hub, 'flow') as [Tick, Tick];
      const { length } = numbersOf(tab.hub);
      await tab.hub.untilCount('tick', length + 2);
      const behind = numbersOf(tab.hub).filter((one) => one > n);
      expect(behind).toEqual(behind.map((_, i) => n + 1 + i));
      expect(tab.hub.count('document')).toBe(2);
      expectGapless(other.hub);
      expect(other.hub.attempts).toHaveLength(1);
    });

    it('does not kill the only process that has the log', async () => {
      const sample = await startSample(platform);
      const answer = await sample.request('POST', '/survive/kill');
      expect(answer.status).toBe(409);
      expect(await answer.text()).toContain('docker compose -f sample-app/compose.yaml up --build');
    });

    it('closes at once while streams without the hub are open', async () => {
      const sample = await startSample(platform);
      const { plain } = await openTab(sample, 'one');
      const ended = new Promise((resolve) => plain.source.addEventListener('error', resolve));
      await sample.app.close();
      await ended;
      expect(sample.app.get(SSEService).getClientCount()).toBe(0);
    });

    it('refuses what names no tab and takes no time, and strangers', async () => {
      const { status } = await startSample(platform);
      for (const act of ['cut', 'forget', 'offline', 'slow']) {
        expect(await status('POST', `/survive/${act}`, { seconds: 1 })).toBe(400);
        expect(await status('POST', `/survive/${act}?tab=a:b`, { seconds: 1 })).toBe(400);
      }
      for (const seconds of [undefined, 0, 1.5, '1', 61]) {
        expect(await status('POST', '/survive/offline?tab=one', { seconds })).toBe(400);
        expect(await status('POST', '/survive/slow?tab=one', { seconds })).toBe(400);
      }
      for (const act of ['cut?tab=one', 'drain', 'restart', 'kill']) {
        expect(await status('POST', `/survive/${act}${act.includes('?') ? '&' : '?'}user=13`)).toBe(401);
      }
      expect(await status('GET', '/survive/plain?user=13')).toBe(401);
    });
  });
}
