import { expect, it } from '@jest/globals';
import type { Page } from 'playwright-core';

import { until } from '../../support/baseline.js';
import { describePage, notify, untilText } from '../../support/sample-page.js';

async function missingOn(page: Page): Promise<string | null> {
  return page.locator('#hub .counter.missing dd').textContent();
}

describePage('windows of the sample page', (sample) => {
  it('of two users show what is said to each, and who is there', async () => {
    const [ada, grace] = [await sample.open(42), await sample.open(7)];
    await untilText(ada, '#viewers', 'Ada, Grace');
    await notify(grace, 'from Grace');
    await untilText(ada, '#inbox', 'Grace: from Grace');
    expect(await grace.locator('#inbox').textContent()).not.toContain('from Grace');
    expect(await grace.isVisible('#admin')).toBe(false);
    await grace.close();
    await untilText(ada, '#viewers', /Here now: Ada$/);
  });

  it('are live again after going back and forward', async () => {
    const page = await sample.open(42);
    await page.goto(`${sample.url}/health/live`);
    await until('its stream is gone', () => sample.sse.getClientCount() === 0);
    // A page that was kept is shown as it is: nothing is loaded that could be waited for.
    await page.evaluate('history.back()');
    await untilText(page, '#stream', 'live');
    await untilText(page, '#hub .counter.received dd', /[1-9]/);
    expect(await missingOn(page)).toBe('0');
    await page.evaluate('history.forward()');
    await until('its stream is gone again', () => sample.sse.getClientCount() === 0);
  });

  it('come back by themselves when the network was away', async () => {
    const page = await sample.open(42);
    await untilText(page, '#hub .counter.received dd', /[1-9]/);
    await page.context().setOffline(true);
    for (const { id } of sample.sse.getClients()) sample.sse.removeClient(id);
    await untilText(page, '#stream', 'reconnecting');
    await page.context().setOffline(false);
    await untilText(page, '#stream', 'resumed without a loss');
    expect(await missingOn(page)).toBe('0');
  });

  it('show the frames of their stream as they arrive', async () => {
    const page = await sample.open(42);
    await page.click('#show-frames');
    await untilText(page, '#frame-list', /event: tick\nid: \S+\ndata: {"lane":"[^"]+","n":\d+}/);
    const [position] = [await page.locator('#position').textContent()];
    await until('the position moves on', async () => (await page.locator('#position').textContent()) !== position);
    await untilText(page, '#last-event', /^[\w.-]+, \d+ s ago$/);
    await untilText(page, '#bytes', /^\d+(\.\d)? k?B$/);
  });

  it('are six at a time in one browser, all of them live, when the client shares a stream', async () => {
    const windows: Page[] = [];
    for (let i = 0; i < 6; i++) windows.push(await sample.open(42, '&reader=client'));
    await until('one stream of the page for all', () => sample.sse.getClientsByTopic('flow').length === 1);
    await notify(windows[5]!, 'to all six');
    for (const page of windows) {
      await untilText(page, '#inbox', 'to all six');
      expect(await page.locator('#inbox li:has-text("to all six")').count()).toBe(1);
    }
    // The window whose connection it is goes; another one takes over, and nothing is lost.
    await windows[0]!.close();
    await notify(windows[5]!, 'to the five left');
    for (const page of windows.slice(1)) {
      await untilText(page, '#inbox', 'to the five left');
      expect(await page.locator('#inbox li:has-text("to the five left")').count()).toBe(1);
      expect(await missingOn(page)).toBe('0');
    }
  });
});
