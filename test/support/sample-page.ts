import type { AddressInfo } from 'node:net';

import { afterAll, afterEach, beforeAll } from '@jest/globals';
import type { INestApplication } from '@nestjs/common';
import { SSEService } from 'nestjs-sse-hub';
import type { BrowserContextOptions, Page } from 'playwright-core';

import { createApp } from '../../sample-app/create-app.js';
import { until } from './baseline.js';
import { type Platform, platforms } from './platforms.js';
import { describeInChromium, DrivenChromium } from './readers/chromium.js';

/** The sample application, and windows of Chromium that show its page. */
export class SamplePage {
  #browser: DrivenChromium | undefined;
  #app: INestApplication | undefined;
  #url = '';

  get url(): string {
    return this.#url;
  }

  get sse(): SSEService {
    return this.#app!.get(SSEService);
  }

  async start(platform: Platform): Promise<void> {
    this.#browser = await DrivenChromium.launch();
    this.#app = await createApp(platform.adapter());
    await this.#app.listen(0, '127.0.0.1');
    this.#url = `http://127.0.0.1:${(this.#app.getHttpServer().address() as AddressInfo).port}`;
  }

  /** A window with the page of a user, whose stream is open. All of a test share what a browser has. */
  async open(user: 42 | 7 = 42, query = ''): Promise<Page> {
    const page = await this.#browser!.openWindow(`${this.#url}/?user=${user}${query}`);
    await untilText(page, '#stream', 'live');
    return page;
  }

  /** For the first window of a test: how large it is, and what its user prefers. */
  async prefer(options: BrowserContextOptions): Promise<void> {
    await this.#browser!.prefer(options);
  }

  async closeWindows(): Promise<void> {
    await this.#browser?.closeWindows();
  }

  async end(): Promise<void> {
    await this.#browser?.close();
    await this.#app?.close();
  }
}

export async function untilText(page: Page, selector: string, text: string | RegExp): Promise<void> {
  let shown = '';
  await until(`${selector} shows ${String(text)}`, async () => {
    shown = (await page.locator(selector).textContent()) ?? '';
    return typeof text === 'string' ? shown.includes(text) : text.test(shown);
  }).catch((error: Error) => {
    throw new Error(`${error.message} It shows: ${shown}`);
  });
}

/** What a window says in its console that somebody should look into. */
export function problemsOf(page: Page): string[] {
  const problems: string[] = [];
  page.on('console', (message) => {
    if (message.type() === 'error' || message.type() === 'warning') problems.push(message.text());
  });
  page.on('pageerror', (error) => problems.push(String(error)));
  return problems;
}

/** Ada, who is user 42, is notified. */
export async function notify(page: Page, text: string): Promise<void> {
  await page.fill('#notification-form [name=text]', text);
  await page.selectOption('#notification-form [name=to]', '42');
  await page.click('#notification-form button:has-text("Notify")');
}

/** Tests of the page, on the platforms given. */
export function describePage(
  name: string,
  tests: (sample: SamplePage) => void,
  on: readonly Platform[] = platforms.slice(0, 1),
): void {
  for (const platform of on) {
    describeInChromium(`${name}, on ${platform.name}`, () => {
      const sample = new SamplePage();
      beforeAll(() => sample.start(platform));
      afterEach(() => sample.closeWindows());
      afterAll(() => sample.end());
      tests(sample);
    });
  }
}
