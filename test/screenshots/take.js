/**
 * Makes the pictures of the README and the documents, with Chromium and the built sample application. They are of the
 * page as it is: what is in them has happened while they were made.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { createInterface } from 'node:readline';

import { chromium } from 'playwright-core';

const ROOT = join(import.meta.dirname, '../..');
const IMAGES = join(ROOT, 'docs/images');
const VIEWPORT = { width: 1_280, height: 800 };

/** Where Chromium is. */
function findChromium() {
  if (process.env.CHROMIUM_PATH !== undefined) return process.env.CHROMIUM_PATH;
  const folders = (process.env.PATH ?? '').split(delimiter);
  const found = folders
    .flatMap((folder) => ['chromium', 'chromium-browser', 'google-chrome'].map((name) => join(folder, name)))
    .find(existsSync);
  if (found === undefined) throw new Error('There is no Chromium: apt-get install chromium, or set CHROMIUM_PATH.');
  return found;
}

async function startSample() {
  const program = spawn(process.execPath, [join(ROOT, 'sample-app/dist/main.js')], {
    env: { ...process.env, PORT: '0', REDIS_URL: '', NATS_URL: '' },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  for await (const line of createInterface({ input: program.stdout })) {
    const url = /http:\/\/localhost:\d+/.exec(line)?.[0];
    if (url) return { program, url };
  }
  throw new Error('The sample application has ended before it listened. Run "npm run build" first.');
}

/** @param {import('playwright-core').Page} page */
async function untilText(page, selector, text) {
  await page.locator(selector, { hasText: text }).first().waitFor({ timeout: 60_000 });
}

/**
 * The first panel, after ten seconds without a network.
 *
 * @param {import('playwright-core').Page} page
 */
async function showSurvival(page) {
  // As many as there is room for.
  await page.waitForFunction(() => document.querySelectorAll('#hub i[data-state=live]').length > 45);
  await page.click('[data-break=offline]');
  await untilText(page, '#verdicts p:first-child', 'The hub delivered');
  await page.evaluate(() => document.activeElement.blur());
  await page.mouse.move(0, 0);
  await page.waitForTimeout(1_000);
  await page.evaluate(() => scrollTo(0, 0));
}

/** @param {import('playwright-core').Page} page */
async function showPanels(page) {
  await page.click('#load-form button');
  await untilText(page, '#load-note', '1000 of 1,000');
  await page.waitForTimeout(12_000);
}

const { program, url } = await startSample();
const browser = await chromium.launch({
  executablePath: findChromium(),
  args: ['--no-sandbox', '--font-render-hinting=none'],
});
try {
  for (const colorScheme of ['light', 'dark']) {
    const page = await browser.newPage({ viewport: VIEWPORT, colorScheme, deviceScaleFactor: 1.5 });
    await page.goto(url);
    await showSurvival(page);
    await page.screenshot({ path: join(IMAGES, `survive-${colorScheme}.png`) });
    if (colorScheme === 'light') {
      await showPanels(page);
      await page.locator('#dashboard').screenshot({ path: join(IMAGES, 'panel-dashboard.png') });
      await page.click('#stop-load');
    }
    await page.close();
  }
} finally {
  await browser.close();
  program.kill('SIGTERM');
  await once(program, 'exit');
}
