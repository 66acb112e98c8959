import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import http, { type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';

import { Controller, Get, Header } from '@nestjs/common';
import { until } from '../baseline.js';
import { findProgram } from '../processes/programs.js';
import { PAGE } from './browser-page.js';
import { Reading } from './readers.js';

/** A browser of the machine. None of them needs a driver: its page asks for what to do, and tells what it got. */
export interface BrowserKind {
  readonly name: string;
  /** Undefined where the machine has none. */
  readonly program: string | undefined;
  /** Before it starts, in its own new folder. */
  readonly prepare?: (folder: string) => Promise<void>;
  readonly args: (folder: string, url: string) => readonly string[];
  /** Whether a block that has an `id` only moves its last event ID, as the standard asks. */
  readonly honoursIdOnly: boolean;
}

export const CHROMIUM_FLAGS = [
  '--headless',
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

/** It asks nobody on the network for anything. */
const FIREFOX_PREFERENCES = {
  'app.normandy.enabled': false,
  'app.update.enabled': false,
  'browser.shell.checkDefaultBrowser': false,
  'browser.startup.homepage_override.mstone': 'ignore',
  'datareporting.policy.dataSubmissionEnabled': false,
  'network.captive-portal-service.enabled': false,
  'network.connectivity-service.enabled': false,
  'network.dns.disabled': true,
};

export const CHROMIUM: BrowserKind = {
  name: 'Chromium',
  program:
    process.env['CHROMIUM_PATH'] ??
    findProgram(['chromium', 'chromium-browser', 'google-chrome'], 'apt-get install chromium, or set CHROMIUM_PATH.'),
  args: (folder, url) => [...CHROMIUM_FLAGS, `--user-data-dir=${folder}`, url],
  honoursIdOnly: true,
};

export const FIREFOX: BrowserKind = {
  name: 'Firefox',
  program: findProgram(['firefox-esr', 'firefox'], 'apt-get install firefox-esr.'),
  prepare: async (folder) => {
    const lines = Object.entries(FIREFOX_PREFERENCES).map(
      ([name, value]) => `user_pref(${JSON.stringify(name)}, ${JSON.stringify(value)});\n`,
    );
    await writeFile(join(folder, 'user.js'), lines.join(''));
  },
  args: (folder, url) => ['--headless', '--no-remote', '--profile', folder, url],
  honoursIdOnly: false,
};

export const WEBKIT: BrowserKind = {
  name: 'WebKit',
  program: findProgram(['cog'], 'apt-get install cog.'),
  args: (_folder, url) => ['--platform=headless', url],
  honoursIdOnly: false,
};

export const browserKinds: readonly BrowserKind[] = [CHROMIUM, FIREFOX, WEBKIT];

/** Serves the page that the browsers are sent to, from the origin of the application. */
@Controller()
export class PageController {
  @Get('page')
  @Header('Content-Type', 'text/html')
  page(): string {
    return PAGE;
  }
}

/** Which of the page's readers. */
export type PageReader = 'EventSource' | 'client' | 'sharingClient' | 'fetchEventSource';

interface Told {
  readonly number: number;
  readonly event: string;
  readonly data?: string;
  readonly lastEventId?: string;
  readonly state?: number;
}

/** What a page tells, from its first on counted. */
interface Report {
  readonly from: number;
  readonly untold: readonly Told[];
}

type Command =
  | ({ readonly do: 'open'; readonly number: number; readonly reader: PageReader } & Opening)
  | { readonly do: 'close'; readonly number: number };

interface Opening {
  readonly url: string;
  readonly names: readonly string[];
}

/** A stream in a page. */
export class BrowserSource {
  readonly reading: Reading;
  /** How often it reported an error: each is a connection that ended, or one that failed. */
  errors = 0;
  /** 0 connecting, 1 open, 2 closed for good. */
  state = 0;

  constructor(readonly close: () => void) {
    this.reading = new Reading(close);
  }

  tell({ event, data, lastEventId = '', state }: Told): void {
    if (state !== undefined) this.state = state;
    if (data !== undefined) this.reading.push({ event, data, lastEventId });
    else if (event === 'error') this.errors++;
  }
}

/** A browser that was started with a page, and with nothing of whoever runs the tests. */
export class BrowserProcess {
  private constructor(
    private readonly child: ChildProcess,
    private readonly folder: string,
  ) {}

  static async start({ program, prepare, args }: BrowserKind, url: string): Promise<BrowserProcess> {
    const folder = await mkdtemp(join(tmpdir(), 'browser-'));
    await prepare?.(folder);
    const env = { ...process.env, HOME: folder, XDG_RUNTIME_DIR: folder, XDG_CACHE_HOME: folder };
    // A group of its own: browsers are many processes.
    const child = spawn(program!, args(folder, url), { detached: true, stdio: 'ignore', env });
    return new BrowserProcess(child, folder);
  }

  async close(): Promise<void> {
    const { pid, exitCode, signalCode } = this.child;
    if (pid !== undefined && exitCode === null && signalCode === null) {
      const exited = once(this.child, 'exit');
      process.kill(-pid, 'SIGKILL');
      await exited;
    }
    await rm(this.folder, { recursive: true, force: true, maxRetries: 20, retryDelay: 100 });
  }
}

/** A browser with one page. */
export class TestBrowser {
  readonly #browser: BrowserProcess;
  readonly #control: ControlServer;

  private constructor(browser: BrowserProcess, control: ControlServer) {
    this.#browser = browser;
    this.#control = control;
  }

  static async launch(kind: BrowserKind): Promise<TestBrowser> {
    const control = await ControlServer.start();
    const browser = new TestBrowser(await BrowserProcess.start(kind, control.firstPage), control);
    try {
      await control.untilPage();
    } catch (error) {
      await browser.close();
      throw error;
    }
    return browser;
  }

  /** Goes to a page of this origin, which has a `PageController`; the streams of the one before it are gone. */
  visit(origin: string): Promise<void> {
    return this.#control.visit(origin);
  }

  /** Goes to a page that has nothing to do with any application. */
  leave(): Promise<void> {
    return this.#control.visit();
  }

  /** A stream in that page. It hears of events with these names only. */
  open(url: string, names: readonly string[], reader: PageReader = 'EventSource'): BrowserSource {
    return this.#control.open({ url, names }, reader);
  }

  async close(): Promise<void> {
    await this.#browser.close();
    await this.#control.close();
  }
}

/** What a page asks for what to do, and tells what it got. */
class ControlServer {
  /** A page that was left has nothing to say any more. */
  #page = 0;
  #pageUrl = '';
  #arrived = false;
  /** So much of what it told. */
  #heard = 0;
  #sources: BrowserSource[] = [];
  #commands: Command[] = [];
  /** The page's request for more of them. */
  #waiting: ServerResponse | undefined;
  readonly #server = http.createServer((request, response) => void this.#answer(request, response));

  static async start(): Promise<ControlServer> {
    const control = new ControlServer();
    control.#server.listen(0, '127.0.0.1');
    await once(control.#server, 'listening');
    control.#pageUrl = control.#pageOf(control.#origin);
    return control;
  }

  get firstPage(): string {
    return this.#pageUrl;
  }

  async untilPage(): Promise<void> {
    await until('the page is there', () => this.#arrived);
  }

  async visit(origin = this.#origin): Promise<void> {
    this.#page++;
    this.#pageUrl = this.#pageOf(origin);
    this.#arrived = false;
    this.#heard = 0;
    this.#sources = [];
    this.#commands = [];
    if (this.#waiting) this.#sendOn(this.#waiting);
    this.#waiting = undefined;
    await this.untilPage();
  }

  open(opening: Opening, reader: PageReader): BrowserSource {
    const number = this.#sources.length;
    const page = this.#page;
    const source = new BrowserSource(() => {
      if (page === this.#page) this.#command({ do: 'close', number });
    });
    this.#sources.push(source);
    this.#command({ do: 'open', number, reader, ...opening });
    return source;
  }

  async close(): Promise<void> {
    this.#server.close();
    this.#server.closeAllConnections();
    await once(this.#server, 'close');
  }

  get #origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  #pageOf(origin: string): string {
    return `${origin}/page?${this.#page}#${this.#origin}/${this.#page}`;
  }

  #sendOn(old: ServerResponse): void {
    old.end(JSON.stringify([{ do: 'go', url: this.#pageUrl }]));
  }

  #command(command: Command): void {
    this.#commands.push(command);
    this.#hand();
  }

  #hand(): void {
    if (!this.#waiting || this.#commands.length === 0) return;
    this.#waiting.end(JSON.stringify(this.#commands));
    this.#waiting = undefined;
    this.#commands = [];
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const [, page, what] = request.url!.split('/');
    if (page!.startsWith('page')) {
      response.setHeader('Content-Type', 'text/html').end(PAGE);
      return;
    }
    response.setHeader('Access-Control-Allow-Origin', '*').setHeader('Cache-Control', 'no-store');
    if (what === 'tell') {
      // A page that is left, or whose browser is ended, stops in the midst of what it says; what counts it says again.
      const told = await text(request).catch(() => undefined);
      if (told !== undefined) this.#hear(Number(page), JSON.parse(told) as Report);
      response.end('{}');
    } else if (what !== 'commands') {
      response.writeHead(404).end();
    } else if (Number(page) === this.#page) {
      this.#waiting = response;
      this.#hand();
    } else {
      this.#sendOn(response);
    }
  }

  #hear(page: number, { from, untold }: Report): void {
    // Whoever lost the answer says it again.
    if (page !== this.#page || from !== this.#heard) return;
    this.#heard += untold.length;
    this.#arrived = true;
    for (const told of untold) this.#sources[told.number]?.tell(told);
  }
}
