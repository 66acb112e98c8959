import { type Browser, type BrowserContext, chromium, type Page } from 'playwright-core';

import { findProgram } from './programs.js';
import { Reading } from './readers.js';

const FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** Where Chromium is; undefined where there is none. */
export const CHROMIUM =
  process.env['CHROMIUM_PATH'] ??
  findProgram(['chromium', 'chromium-browser', 'google-chrome'], 'apt-get install chromium, or set CHROMIUM_PATH.');

interface Told {
  readonly event: string;
  readonly data?: string;
  readonly lastEventId?: string;
}

/** An EventSource in a page of Chromium. */
export class BrowserSource {
  readonly reading: Reading;
  /** How often it reported an error: each is a connection that ended, or one that failed. */
  errors = 0;
  readonly #page: Page;
  readonly #number: number;

  constructor(page: Page, number: number) {
    this.#page = page;
    this.#number = number;
    this.reading = new Reading(() => void this.close().catch(() => {}));
  }

  /** 0 connecting, 1 open, 2 closed for good. */
  readyState(): Promise<number> {
    return this.#page.evaluate((number) => sources[number]!.readyState, this.#number);
  }

  close(): Promise<void> {
    return this.#page.evaluate((number) => sources[number]?.close(), this.#number);
  }

  tell({ event, data, lastEventId = '' }: Told): void {
    if (data !== undefined) this.reading.push({ event, data, lastEventId });
    else this.errors++;
  }
}

/** Chromium, with one page. */
export class TestBrowser {
  readonly #browser: Browser;
  #page: Page | undefined;
  #sources: BrowserSource[] = [];
  #windows: BrowserContext | undefined;

  private constructor(browser: Browser) {
    this.#browser = browser;
  }

  static async launch(): Promise<TestBrowser> {
    return new TestBrowser(await chromium.launch({ executablePath: CHROMIUM!, args: FLAGS }));
  }

  /** Goes to a page of this origin; the sources of the one before it are gone. */
  async visit(url: string): Promise<void> {
    this.#page ??= await this.#openPage();
    await this.#page.goto(url);
    this.#sources = [];
    await this.#page.evaluate(() => {
      Object.assign(globalThis, { sources: [] });
    });
  }

  async #openPage(): Promise<Page> {
    const page = await this.#browser.newPage();
    await page.exposeFunction('tell', (number: number, told: Told) => this.#sources[number]?.tell(told));
    return page;
  }

  /** An EventSource in that page. It hears of events with these names only. */
  async open(url: string, names: readonly string[]): Promise<BrowserSource> {
    const number = this.#sources.length;
    const source = new BrowserSource(this.#page!, number);
    this.#sources.push(source);
    await this.#page!.evaluate(openSource, { url, names, number });
    return source;
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

interface PageSource {
  readonly readyState: number;
  close(): void;
  addEventListener(event: string, listener: (event: PageEvent) => void): void;
}

interface PageEvent {
  readonly type: string;
  readonly data?: string;
  readonly lastEventId?: string;
}

// What follows runs in the page.
declare const sources: PageSource[];
declare const tell: (number: number, told: Told) => void;
declare const EventSource: new (url: string) => PageSource;

function openSource({ url, names, number }: { url: string; names: readonly string[]; number: number }): void {
  const source = new EventSource(url);
  sources[number] = source;
  const listener = ({ type, data, lastEventId }: PageEvent): void =>
    tell(number, { event: type, ...(data !== undefined && { data, lastEventId }) });
  for (const name of new Set([...names, 'error'])) source.addEventListener(name, listener);
}
