import { afterAll, afterEach, beforeAll, expect, it } from '@jest/globals';
import type { SSEService } from 'nestjs-sse-hub';
import type { EventSourceOptions } from 'nestjs-sse-hub/client';

import { until } from '../support/baseline.js';
import { type SeenRequest, watchRequests } from '../support/network/requests.js';
import { closeAll, platforms, type RunningApp, startApp } from '../support/platforms.js';
import { CHROMIUM, describeInChromium, DrivenChromium } from '../support/readers/chromium.js';
import { Tab, TabController } from '../support/readers/tabs.js';
import { direct } from '../support/stream-controllers.js';

/** What happens to a page: it is left and come back to, loaded again, put to sleep, and its network goes. */

let browser: DrivenChromium;
let running: RunningApp;
let requests: readonly SeenRequest[] = [];

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

/** Without heartbeats, and with hours until a reconnect: what brings a page back sooner is what is tried. */
async function start(): Promise<SSEService> {
  running = await startApp(platforms[0]!, {
    config: { retryInterval: 3_600_000, heartbeatInterval: 0 },
    controllers: [direct.controller(), TabController],
    prepare: (app) => {
      requests = watchRequests(app, '/events/');
    },
  });
  return running.sse;
}

async function openTab(options: EventSourceOptions = {}): Promise<Tab> {
  const tab = new Tab(await browser.openWindow(`${running.url}/tab`));
  await tab.open('/events/t', options);
  await tab.untilNamed('sse.open');
  return tab;
}

async function untilClients(count: number): Promise<void> {
  await until(`${count} connections`, () => running.sse.getClientCount() === count);
}

describeInChromium('a page that is come back to', () => {
  it.each([{}, { share: true }])(
    'was kept by the browser, without its connection, and goes on where it was: %j',
    async (options) => {
      const sse = await start();
      const tab = await openTab(options);
      sse.broadcast('t', 'n', 1);
      await tab.untilNumber(1);
      await tab.page.goto(`${running.url}/elsewhere`);
      await untilClients(0);
      sse.broadcast('t', 'n', 2);
      await tab.page.goBack({ waitUntil: 'commit' });
      await tab.untilNamed('kept');
      await tab.untilNumber(2);
      sse.broadcast('t', 'n', 3);
      await tab.untilNumber(3);
      expect([await tab.numbers(), await tab.named('error'), requests.length]).toEqual([[1, 2, 3], [], 2]);
    },
  );

  it('leaves the connection to the other tabs, and shares theirs when it is back', async () => {
    const sse = await start();
    const first = await openTab({ share: true });
    const second = await openTab({ share: true });
    await untilClients(1);
    sse.broadcast('t', 'n', 1);
    await first.page.goto(`${running.url}/elsewhere`);
    sse.broadcast('t', 'n', 2);
    await second.untilNumber(2);
    await first.page.goBack({ waitUntil: 'commit' });
    await first.untilNamed('kept');
    await first.untilNumber(2);
    sse.broadcast('t', 'n', 3);
    await untilClients(1);
    for (const tab of [first, second]) {
      await tab.untilNumber(3);
      expect(await tab.numbers()).toEqual([1, 2, 3]);
    }
  });
});

describeInChromium('a page that is loaded again', () => {
  it('goes on where it was when it remembers', async () => {
    const sse = await start();
    const tab = await openTab({ remember: true });
    const cursor = await sse.publish('t', 'n', 1);
    await tab.untilNumber(1);
    await tab.page.reload();
    sse.broadcast('t', 'n', 2);
    await tab.open('/events/t', { remember: true });
    await tab.untilNumber(2);
    expect(await tab.numbers()).toEqual([2]);
    expect(requests.map(({ lastEventId }) => lastEventId)).toEqual([undefined, cursor]);
  });

  it('begins anew when it does not, or remembers under another name', async () => {
    const sse = await start();
    const tab = await openTab({ remember: 'one' });
    await sse.publish('t', 'n', 1);
    await tab.untilNumber(1);
    for (const options of [{}, { remember: 'two' }]) {
      await tab.page.reload();
      await tab.open('/events/t', options);
      await tab.untilNamed('sse.open');
    }
    expect(requests.map(({ lastEventId }) => lastEventId)).toEqual([undefined, undefined, undefined]);
  });

  it('begins where it says, whatever it remembers', async () => {
    const sse = await start();
    const begin = sse.cursor();
    const tab = await openTab({ remember: true });
    sse.broadcast('t', 'n', 1);
    await tab.untilNumber(1);
    await tab.page.reload();
    await tab.open('/events/t', { remember: true, lastEventId: begin });
    await tab.untilNumber(1);
  });

  it('begins anew after a stream that was over for good', async () => {
    const sse = await start();
    const tab = await openTab({ remember: true });
    sse.broadcast('t', 'n', 1);
    sse.closeTopic('t');
    await tab.untilNamed('sse.end');
    sse.openTopic('t');
    await tab.page.reload();
    await tab.open('/events/t', { remember: true });
    await tab.untilNamed('sse.open');
    expect(requests.at(-1)!.lastEventId).toBeUndefined();
  });
});

describeInChromium('a page whose network goes', () => {
  it('is back as soon as the network is', async () => {
    const sse = await start();
    const tab = await openTab();
    sse.broadcast('t', 'n', 1);
    await tab.untilNumber(1);
    const context = tab.page.context();
    await context.setOffline(true);
    for (const { id } of sse.getClients()) sse.removeClient(id);
    await tab.untilNamed('error');
    sse.broadcast('t', 'n', 2);
    await context.setOffline(false);
    await tab.untilNumber(2);
    expect(await tab.numbers()).toEqual([1, 2]);
    expect((await tab.named('error')).at(-1)).toEqual(['error', 'The network is back, reconnecting']);
  });
});

describeInChromium('a page that was put to sleep', () => {
  it('notices when it is seen again that its line may be dead, before any timer does', async () => {
    running = await startApp(platforms[0]!, {
      config: { heartbeatInterval: 600_000 },
      controllers: [direct.controller(), TabController],
    });
    const tab = await openTab();
    const look = "document.dispatchEvent(new Event('visibilitychange'))";
    await tab.page.evaluate(look);
    // As the clock of a machine that has slept for an hour: its timers have slept too.
    await tab.page.evaluate(`{ const now = Date.now; Date.now = () => now() + 3_600_000; ${look} }`);
    await tab.untilNamed('sse.open', 2);
    expect(await tab.named('error')).toEqual([['error', 'Nothing came for 901000 ms, reconnecting']]);
  });
});
