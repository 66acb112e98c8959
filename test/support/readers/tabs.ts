import { Controller, Get, Header } from '@nestjs/common';
import type { EventSourceOptions } from 'nestjs-sse-hub/client';
import type { Page } from 'playwright-core';

import { until } from '../baseline.js';
import { CLIENT_SCRIPT } from './client-bundle.js';

const SCRIPT = `
const got = [];
let source;
function open(url, options) {
  source = new sseHub.EventSource(url, options);
  const listen = (name) => source.addEventListener(name, ({ type, data, message }) => got.push([type, data ?? message]));
  for (const name of ['n', 'open', 'error', 'sse.open', 'sse.reset', 'sse.end', 'initial']) listen(name);
}
addEventListener('pageshow', ({ persisted }) => persisted && got.push(['kept']));
`;

/** Serves a page with the client, and another page to go to. */
@Controller()
export class TabController {
  @Get('tab')
  @Header('Content-Type', 'text/html')
  tab(): string {
    return `<!doctype html><meta charset="utf-8"><title>tab</title><script>${CLIENT_SCRIPT}</script><script>${SCRIPT}</script>`;
  }

  @Get('elsewhere')
  @Header('Content-Type', 'text/html')
  elsewhere(): string {
    return '<!doctype html><title>elsewhere</title>';
  }
}

/** A name, and data or the message of an error. */
export type Got = readonly [name: string, text?: string];

/** A page with one source. */
export class Tab {
  constructor(readonly page: Page) {}

  async open(url: string, options: EventSourceOptions = {}): Promise<void> {
    await this.page.evaluate(`open(${JSON.stringify(url)}, ${JSON.stringify(options)})`);
  }

  got(): Promise<Got[]> {
    return this.page.evaluate('got');
  }

  async named(name: string): Promise<Got[]> {
    return (await this.got()).filter(([one]) => one === name);
  }

  /** The data of events `n`. */
  async numbers(): Promise<number[]> {
    return (await this.named('n')).map(([, data]) => Number(data));
  }

  state(): Promise<number> {
    return this.page.evaluate('source.readyState');
  }

  async untilNumber(n: number): Promise<void> {
    let got: Got[] = [];
    await until(`${n} comes; the last of it: ${JSON.stringify(got.slice(-10))}`, async () => {
      got = await this.got();
      return got.some(([name, data]) => name === 'n' && Number(data) === n);
    });
  }

  async untilNamed(name: string, count = 1): Promise<void> {
    let got: Got[] = [];
    await until(`${count} of ${name}; the last of it: ${JSON.stringify(got.slice(-10))}`, async () => {
      got = await this.got();
      return got.filter(([one]) => one === name).length >= count;
    });
  }

  /** Ends its process, as a fault of the browser would. */
  async crash(): Promise<void> {
    const crashed = this.page.waitForEvent('crash');
    const session = await this.page.context().newCDPSession(this.page);
    session.send('Page.crash').catch(() => {});
    await crashed;
  }

  /** What a browser tells a page in the background before it stands still. Without a screen none is in the background. */
  async tell(what: 'freeze' | 'resume'): Promise<void> {
    await this.page.evaluate(`document.dispatchEvent(new Event('${what}'))`);
  }
}
