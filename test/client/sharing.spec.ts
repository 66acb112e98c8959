import { afterAll, afterEach, beforeAll, expect, it } from '@jest/globals';
import type { ClientOptions, SSEService } from 'nestjs-sse-hub';
import type { EventSourceOptions } from 'nestjs-sse-hub/client';

import { until } from '../support/baseline.js';
import { type SeenRequest, watchRequests } from '../support/network/requests.js';
import { closeAll, platforms, type RunningApp, startApp } from '../support/platforms.js';
import { CHROMIUM, describeInChromium, DrivenChromium } from '../support/readers/chromium.js';
import { Tab, TabController } from '../support/readers/tabs.js';
import { seededRandom } from '../support/seed.js';
import { direct } from '../support/stream-controllers.js';

/** One stream for all tabs, in a real browser with real tabs. */

let browser: DrivenChromium;
let running: RunningApp;
let requests: readonly SeenRequest[] = [];
let published = 0;

beforeAll(async () => {
  if (CHROMIUM !== undefined) browser = await DrivenChromium.launch();
});

afterEach(async () => {
  if (CHROMIUM !== undefined) await browser.closeWindows();
  await closeAll();
});

afterAll(async () => {
  if (CHROMIUM !== undefined) await browser.close();
});

async function start(
  options: () => Omit<ClientOptions, 'topics'> = () => ({}),
  heartbeatInterval = 30_000,
): Promise<SSEService> {
  published = 0;
  running = await startApp(platforms[0]!, {
    config: { retryInterval: 50, heartbeatInterval, maxClients: 100 },
    controllers: [direct.controller(options), TabController],
    prepare: (app) => {
      requests = watchRequests(app, '/events/');
    },
  });
  return running.sse;
}

async function openTab(options: EventSourceOptions = { share: true }): Promise<Tab> {
  const tab = new Tab(await browser.openWindow(`${running.url}/tab`));
  await tab.open('/events/t', options);
  await tab.untilNamed('open');
  return tab;
}

async function openTabs(count: number): Promise<Tab[]> {
  const tabs: Tab[] = [];
  while (tabs.length < count) tabs.push(await openTab());
  return tabs;
}

function publish(id?: string): void {
  running.sse.broadcast('t', 'n', ++published, id);
}

async function untilShared(): Promise<void> {
  await until(`one connection, not ${running.sse.getClientCount()}`, () => running.sse.getClientCount() === 1);
}

/** Each tab has got everything since it was opened, once and in order, to the very last. */
async function expectAll(tabs: readonly Tab[], from?: number): Promise<void> {
  publish();
  for (const tab of tabs) {
    await tab.untilNumber(published);
    const numbers = await tab.numbers();
    const first = from ?? numbers[0]!;
    expect(numbers).toEqual(Array.from({ length: published - first + 1 }, (_, i) => first + i));
  }
}

/** Publishes all the while. */
async function whilePublishing<Result>(act: () => Promise<Result>, id?: () => string): Promise<Result> {
  const timer = setInterval(() => publish(id?.()), 7);
  try {
    return await act();
  } finally {
    clearInterval(timer);
  }
}

describeInChromium('six tabs that share', () => {
  it('take one connection, and each gets every event once', async () => {
    await start();
    const tabs = await openTabs(6);
    await untilShared();
    for (let i = 0; i < 50; i++) publish();
    await expectAll(tabs, 1);
    expect(running.sse.getClientCount()).toBe(1);
    for (const tab of tabs)
      expect((await tab.got()).filter(([name]) => name === 'error' || name === 'open')).toEqual([['open', undefined]]);
  });

  it('take one connection where events come while they open', async () => {
    await start();
    const tabs = await whilePublishing(() => openTabs(6));
    await whilePublishing(untilShared);
    await expectAll(tabs);
  });

  it('take one connection beside each for itself where a browser has no locks', async () => {
    await start();
    const page = await browser.openWindow(`${running.url}/tab`);
    await page.evaluate("Object.defineProperty(navigator, 'locks', { value: undefined })");
    const alone = new Tab(page);
    await alone.open('/events/t', { share: true });
    await alone.untilNamed('open');
    const tabs = await openTabs(2);
    await until('two connections', () => running.sse.getClientCount() === 2);
    await expectAll([alone, ...tabs], 1);
  });

  it('go on when the one with the connection is closed, with its cursor', async () => {
    await start();
    const [first, ...others] = await openTabs(6);
    await untilShared();
    for (let i = 0; i < 10; i++) publish();
    for (const tab of others) await tab.untilNumber(10);
    await whilePublishing(async () => {
      const before = requests.length;
      await first!.page.close();
      await until('another has come', () => requests.length > before);
      await untilShared();
    });
    await expectAll(others, 1);
    expect(requests.at(-1)!.lastEventId).toMatch(/^1~/);
    // It was not theirs that was closed.
    for (const tab of others) expect(await tab.named('error')).toEqual([]);
  });

  it('go on when the one with the connection crashes', async () => {
    await start();
    const [first, ...others] = await openTabs(6);
    await untilShared();
    await whilePublishing(async () => {
      const before = requests.length;
      await first!.crash();
      await until('another has come', () => requests.length > before);
      await untilShared();
    });
    await expectAll(others, 1);
  });

  it('go on when the one with the connection is put to sleep, and it does too when it wakes', async () => {
    await start();
    const tabs = await openTabs(3);
    await untilShared();
    await whilePublishing(async () => {
      const before = requests.length;
      await tabs[0]!.tell('freeze');
      await until('another has come', () => requests.length > before);
      await untilShared();
    });
    for (let i = 0; i < 10; i++) publish();
    await tabs[1]!.untilNumber(published);
    await tabs[0]!.tell('resume');
    await whilePublishing(untilShared);
    await expectAll(tabs, 1);
  });

  it('go on when the one with the connection hangs: another takes it', async () => {
    await start(undefined, 100);
    const tabs = await openTabs(3);
    await untilShared();
    await whilePublishing(async () => {
      const before = requests.length;
      const hanging = tabs[0]!.page.evaluate('for (const end = Date.now() + 9000; Date.now() < end; ) {}');
      await until('another has come', () => requests.length > before);
      const now = published;
      await tabs[1]!.untilNumber(now);
      await tabs[2]!.untilNumber(now);
      await hanging;
      await untilShared();
    });
    await expectAll(tabs, 1);
  });

  it('all come back when the connection ends, and when the log is another', async () => {
    const sse = await start();
    const tabs = await openTabs(3);
    await untilShared();
    for (let i = 0; i < 3; i++) {
      await whilePublishing(async () => {
        for (const { id } of sse.getClients()) sse.removeClient(id);
        for (const tab of tabs) await tab.untilNamed('open', i + 2);
      });
      await untilShared();
    }
    await expectAll(tabs, 1);

    const port = Number(new URL(running.url).port);
    const { app } = running;
    const closed = running.close();
    (app.getHttpServer() as { closeAllConnections(): void }).closeAllConnections();
    await closed;
    running = await startApp(platforms[0]!, { controllers: [direct.controller(), TabController], port });
    for (const tab of tabs) await tab.untilNamed('sse.reset');
    publish();
    for (const tab of tabs) await tab.untilNumber(published);
    for (const tab of tabs)
      expect(await tab.named('sse.reset')).toEqual([['sse.reset', '{"reason":"epoch","topics":["t"]}']]);
    await untilShared();
  });

  it('are all told the end, and stay away', async () => {
    const sse = await start();
    const tabs = await openTabs(3);
    await untilShared();
    publish();
    sse.closeTopic('t');
    for (const tab of tabs) {
      await tab.untilNamed('sse.end');
      expect([await tab.state(), await tab.numbers(), (await tab.named('sse.end')).length]).toEqual([2, [1], 1]);
    }
    // Whoever took the line before it was told has asked, and was told by the hub.
    expect(requests.length).toBeLessThanOrEqual(3 + 2);
  });

  it('get events with ids of the application once, however the stream is cut', async () => {
    await start();
    const tabs = await whilePublishing(
      async () => {
        const opened = await openTabs(3);
        await opened[0]!.page.close();
        for (const { id } of running.sse.getClients()) running.sse.removeClient(id);
        return opened.slice(1);
      },
      () => `own ${published % 5}`,
    );
    await whilePublishing(untilShared);
    await expectAll(tabs);
  });
});

describeInChromium('a tab that comes later', () => {
  it('begins as it would alone: with its own `sse.open`, and what a stream begins with', async () => {
    await start(() => ({ initial: () => [{ event: 'initial', data: published }] }));
    const first = await openTab();
    publish();
    publish();
    await first.untilNumber(2);
    const second = await openTab();
    await second.untilNamed('initial');
    await untilShared();
    await expectAll([first], 1);
    await expectAll([second], 3);
    expect(await first.named('initial')).toEqual([['initial', '0']]);
    expect(await second.named('initial')).toEqual([['initial', '2']]);
    const [one, other] = [await first.named('sse.open'), await second.named('sse.open')];
    expect([one.length, other.length, one[0]?.[1] === other[0]?.[1]]).toEqual([1, 1, false]);
  });

  it('gets what is behind its cursor before it goes on with the others', async () => {
    const sse = await start();
    const cursor = sse.cursor();
    // More than one read of it.
    for (let i = 0; i < 900; i++) sse.broadcast('t', 'n', String(++published).padEnd(2_000));
    const first = await openTab();
    publish();
    await first.untilNumber(901);
    const late = await openTab({ share: true, lastEventId: cursor });
    await untilShared();
    await expectAll([late], 1);
    await expectAll([first], 901);
  });
});

describeInChromium('tabs that share', () => {
  it('get every event once, whatever happens to them', async () => {
    const sse = await start();
    const random = seededRandom(1);
    let tabs = await openTabs(2);
    const pick = (): Tab => tabs[Math.floor(random() * tabs.length)]!;
    const acts: (() => Promise<unknown>)[] = [
      async () => tabs.length < 6 && tabs.push(await openTab()),
      async () => {
        if (tabs.length < 2) return;
        const gone = pick();
        tabs = tabs.filter((tab) => tab !== gone);
        await (random() < 0.5 ? gone.page.close() : gone.crash());
      },
      () => Promise.resolve(sse.getClients().map(({ id }) => sse.removeClient(id))),
      async () => {
        const tab = pick();
        await tab.tell('freeze');
        await tab.tell('resume');
      },
    ];
    for (let i = 0; i < 25; i++) await whilePublishing(acts[Math.floor(random() * acts.length)]!);
    await whilePublishing(untilShared);
    await expectAll(tabs);
  });
});
