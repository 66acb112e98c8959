import { expect, it } from '@jest/globals';
import type { Page } from 'playwright-core';

import { until } from '../../support/baseline.js';
import { platforms } from '../../support/platforms.js';
import { describePage, problemsOf, untilText } from '../../support/sample-page.js';

interface Counters {
  readonly sent: number;
  readonly received: number;
  readonly behind: number;
  readonly missing: number;
  readonly doubled: number;
  readonly told: number;
}

async function countersOf(page: Page, tape: 'hub' | 'plain'): Promise<Counters> {
  const counters = ['sent', 'received', 'behind', 'missing', 'doubled', 'told'].map(async (name) => {
    const text = await page.locator(`#${tape} .counter.${name} dd`).textContent();
    return [name, Number(text?.replaceAll(/\D/g, ''))];
  });
  return Object.fromEntries(await Promise.all(counters)) as Counters;
}

/** Presses a button, and waits until the page says what became of it. */
async function breakIt(page: Page, name: string): Promise<string> {
  await page.click(`[data-break=${name}]`);
  await untilText(page, '#verdicts p:first-child', /…$/);
  await untilText(page, '#verdicts p:first-child', / s\. The hub delivered/);
  return (await page.locator('#verdicts p:first-child').textContent())!;
}

async function untilFlowing(page: Page): Promise<void> {
  for (const tape of ['hub', 'plain'] as const) {
    await until(`${tape} counts`, async () => (await countersOf(page, tape)).received > 3);
  }
}

describePage(
  'what the first panel survives',
  (sample) => {
    it('shows that nothing is missing after ten seconds offline or slow, where a bare stream has lost events', async () => {
      const [offline, slow] = [await sample.open(42), await sample.open(7)];
      // Windows take turns with the bare stream: it is the first one's.
      await untilFlowing(offline);
      await until('the hub counts', async () => (await countersOf(slow, 'hub')).received > 3);
      await untilText(slow, '#plain-note', 'another window');
      expect(await slow.isVisible('#plain-note')).toBe(true);
      const [verdict, slowly] = await Promise.all([breakIt(offline, 'offline'), breakIt(slow, 'slow')]);
      expect(verdict).toContain('0 missing, 0 duplicates');
      expect(slowly).toContain('0 missing, 0 duplicates');
      // A window that is behind another one draws a moment later.
      const drawn = async (): Promise<boolean> => (await countersOf(offline, 'plain')).missing > 30;
      await until('the bare stream has lost what was sent meanwhile', drawn);
      const [hub, plain] = [await countersOf(offline, 'hub'), await countersOf(offline, 'plain')];
      // Ten seconds of four events each, and the time until an EventSource comes back.
      expect(Number(/delivered (\d+) events later/.exec(verdict)?.[1])).toBeGreaterThan(30);
      expect({ missing: hub.missing, doubled: hub.doubled, told: hub.told }).toEqual({
        missing: 0,
        doubled: 0,
        told: 0,
      });
      expect(plain.doubled).toBe(0);
      // What two hundred at once and ten seconds of waiting are.
      expect(Number(/delivered (\d+) events later/.exec(slowly)?.[1])).toBeGreaterThan(200);
      expect(await countersOf(slow, 'hub')).toMatchObject({ missing: 0, doubled: 0, told: 0 });
    });

    it('shows that nothing is missing after a cut, after all streams were ended, and after a restart', async () => {
      const page = await sample.open(42);
      await untilFlowing(page);
      for (const name of ['cut', 'drain', 'restart']) {
        expect(await breakIt(page, name)).toContain('0 missing, 0 duplicates');
        const counters = await countersOf(page, 'hub');
        expect(counters).toMatchObject({ missing: 0, doubled: 0, told: 0 });
        expect(counters.sent).toBe(counters.received + counters.behind);
      }
      expect((await countersOf(page, 'plain')).missing).toBeGreaterThan(0);
      await page.click('#reset-counters');
      await until('counters begin anew', async () => (await countersOf(page, 'plain')).missing === 0);
    });

    it('says what is lost when the log was thrown away, and goes on with what is there', async () => {
      const page = await sample.open(42);
      const problems = problemsOf(page);
      await untilFlowing(page);
      const verdict = await breakIt(page, 'forget');
      expect(verdict).toMatch(/\d+ events? had left the log: it said so/);
      const counters = await countersOf(page, 'hub');
      expect(counters).toMatchObject({ missing: 0, doubled: 0 });
      expect(counters.told).toBeGreaterThan(0);
      await until('it goes on', async () => (await countersOf(page, 'hub')).received > counters.received + 4);
      await untilText(page, '#stream', 'live');
      expect(problems.filter((problem) => !problem.includes('net::ERR'))).toEqual([]);
    });

    it('says why a node cannot be killed where there is no other', async () => {
      const page = await sample.open(42);
      await untilText(page, '#kill-note', 'needs two nodes');
      expect(await page.isDisabled('[data-break=kill]')).toBe(true);
    });
  },
  platforms,
);
