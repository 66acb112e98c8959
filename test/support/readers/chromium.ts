import { describe, expect, it } from '@jest/globals';
import { type Browser, type BrowserContext, type BrowserContextOptions, chromium, type Page } from 'playwright-core';

import { CHROMIUM_FLAGS, CHROMIUM as KIND } from './browsers.js';

/** Where Chromium is; undefined where there is none. */
export const CHROMIUM = KIND.program;

/** Chromium with a driver, for pages that somebody clicks and types in. */
export class DrivenChromium {
  readonly #browser: Browser;
  #windows: BrowserContext | undefined;

  private constructor(browser: Browser) {
    this.#browser = browser;
  }

  static async launch(): Promise<DrivenChromium> {
    // Pages are kept to go back to, as people's browsers do and drivers do not.
    const ignoreDefaultArgs = ['--disable-back-forward-cache'];
    return new DrivenChromium(
      await chromium.launch({ executablePath: CHROMIUM, args: [...CHROMIUM_FLAGS], ignoreDefaultArgs }),
    );
  }

  /** For the windows that are opened from now on, until all are closed. */
  async prefer(options: BrowserContextOptions): Promise<void> {
    await this.closeWindows();
    this.#windows = await this.#browser.newContext(options);
  }

  /** A window of its own. Windows share what a browser has for all of them: cookies, six connections to a server. */
  async openWindow(url: string): Promise<Page> {
    this.#windows ??= await this.#browser.newContext();
    const page = await this.#windows.newPage();
    await page.goto(url);
    return page;
  }

  async closeWindows(): Promise<void> {
    await this.#windows?.close();
    this.#windows = undefined;
  }

  async close(): Promise<void> {
    await this.#browser.close();
  }
}

/** Tests in Chromium. Where there is none nothing of them can be tried; where everything has to be, looking for it has thrown. */
export function describeInChromium(name: string, tests: () => void): void {
  if (CHROMIUM !== undefined) describe(name, tests);
  else describe(name, () => it('needs Chromium', () => expect(process.env['CI']).toBeUndefined()));
}
