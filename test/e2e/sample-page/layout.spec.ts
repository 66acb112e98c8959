import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';

import { expect, it } from '@jest/globals';
import type { Page } from 'playwright-core';

import { until } from '../../support/baseline.js';
import { describePage, problemsOf, untilText } from '../../support/sample-page.js';

interface AxeFindings {
  readonly violations: readonly { readonly id: string; readonly nodes: readonly { readonly html: string }[] }[];
}

const axe = await readFile(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

/** What axe-core finds, as sentences. */
async function findingsOn(page: Page): Promise<string[]> {
  await page.evaluate(axe);
  const findings = (await page.evaluate('axe.run()')) as AxeFindings;
  return findings.violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html).join(' | ')}`);
}

/** Everything that may be hidden. */
async function showAll(page: Page): Promise<void> {
  await page.click('#show-frames');
  const sources = page.locator('details.source');
  for (const source of await sources.all()) await source.locator('summary').click();
  await until('all code is there', async () => (await page.locator('details.source pre').count()) >= 8);
}

/** Elements that reach beyond the window, and are in nothing that scrolls by itself. */
const OVERFLOWING = `[...document.querySelectorAll('body *')]
  .filter((element) => !element.closest('pre, .scroll, .feed, .skip, .only-read'))
  .filter((element) => element.getBoundingClientRect().right > document.documentElement.clientWidth + 1)
  .map((element) => element.outerHTML.slice(0, 100))`;

const WIDTHS = [360, 768, 1_440];

describePage('the layout of the sample page', (sample) => {
  for (const colorScheme of ['light', 'dark'] as const) {
    it(`fits, and has no findings of axe-core, at any width and in ${colorScheme}`, async () => {
      for (const width of WIDTHS) {
        await sample.prefer({ viewport: { width, height: 900 }, colorScheme });
        const page = await sample.open(42);
        await until('there are figures', async () => (await page.locator('#node').textContent()) !== '…');
        await showAll(page);
        const beyond = await page.evaluate(OVERFLOWING);
        const scrollsBy = await page.evaluate(
          'document.documentElement.scrollWidth - document.documentElement.clientWidth',
        );
        expect({ width, beyond, scrollsBy }).toEqual({ width, beyond: [], scrollsBy: 0 });
        expect({ width, findings: await findingsOn(page) }).toEqual({ width, findings: [] });
      }
    });
  }

  it('can be used by keyboard alone', async () => {
    const page = await sample.open(42);
    const press = async (selector: string, key = 'Enter'): Promise<void> => {
      await until(`${selector} is reached`, async () => {
        await page.keyboard.press('Tab');
        return page.evaluate<boolean>(`document.activeElement.matches(${JSON.stringify(selector)})`);
      });
      await page.keyboard.press(key);
    };
    await page.keyboard.press('Tab');
    expect(await page.evaluate('document.activeElement.textContent')).toBe('To the first panel');
    await press('#show-frames');
    expect(await page.isVisible('#frames')).toBe(true);
    await press('[data-break=cut]');
    await untilText(page, '#verdicts', 'Cut off');
    await press('#survive details.source summary');
    await untilText(page, '#survive details.source', 'sample-app/');
    await press('#chat-form button');
    await untilText(page, '#answer', 'You asked');
    await press('#stop-answer');
    await untilText(page, '#answer-note', 'Stopped.');
    await press('#mark-read');
    await untilText(page, '#unread', '0');
  });

  it('stands still for whoever prefers that', async () => {
    await sample.prefer({ reducedMotion: 'reduce' });
    const page = await sample.open(42);
    const moving = await page.evaluate(
      `document.getAnimations().length + (getComputedStyle(document.documentElement).scrollBehavior === 'smooth' ? 1 : 0)`,
    );
    expect(moving).toBe(0);
  });

  it('asks nobody but its own server, and says nothing in the console', async () => {
    const page = await sample.open(42);
    const problems = problemsOf(page);
    const elsewhere: string[] = [];
    page.on('request', (request) => {
      if (!request.url().startsWith(sample.url) && !request.url().startsWith('data:')) elsewhere.push(request.url());
    });
    await page.reload();
    await untilText(page, '#stream', 'live');
    await showAll(page);
    await page.locator('#admin').scrollIntoViewIfNeeded();
    await untilText(page, '#connections', 'this page');
    expect({ problems, elsewhere }).toEqual({ problems: [], elsewhere: [] });
  });
});
