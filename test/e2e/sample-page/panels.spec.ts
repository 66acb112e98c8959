import { expect, it } from '@jest/globals';
import type { Page } from 'playwright-core';

import { answerTo } from '../../../sample-app/chat/stream-answer.js';
import { until } from '../../support/baseline.js';
import { describePage, notify, problemsOf, untilText } from '../../support/sample-page.js';

async function ask(page: Page, question: string): Promise<void> {
  await page.fill('#chat-form [name=text]', question);
  await page.click('#chat-form button:has-text("Ask")');
}

function answerOn(page: Page): Promise<string | null> {
  return page.locator('#answer').textContent();
}

describePage('the panels of the sample page', (sample) => {
  it('works in three windows of one browser, each with an execution', async () => {
    const windows = [await sample.open(42), await sample.open(7), await sample.open(42)];
    const { sse } = sample;
    await Promise.all(windows.map((page) => page.fill('#execution-form [name=folder]', 'src')));
    for (const page of windows) await page.click('#execution-form button');
    for (const page of windows) await untilText(page, '#progress-text', 'Complete');
    await until('streams of executions have ended', () => sse.getClientCount() === 3);

    for (const [i, page] of windows.entries()) await notify(page, `from window ${i}`);
    for (const i of [0, 1, 2]) {
      await untilText(windows[0]!, '#inbox', `from window ${i}`);
      await untilText(windows[2]!, '#inbox', `from window ${i}`);
    }
    expect(await windows[1]!.locator('#inbox').textContent()).toBe('');
  });

  it('shows no connections to whoever may not see them', async () => {
    const ada = await sample.open(42);
    const grace = await sample.open(7);
    await untilText(ada, '#connections', 'Grace');
    expect([await ada.isVisible('#admin'), await grace.isVisible('#admin')]).toEqual([true, false]);
    expect(await grace.locator('#problem').isVisible()).toBe(false);
  });

  it('can connect again after it was disconnected, and gets what it has missed, once', async () => {
    const ada = await sample.open(42);
    const grace = await sample.open(7);
    await notify(grace, 'before');
    await untilText(ada, '#inbox', 'before');
    await ada.click('#connections tr:has-text("Ada") button');
    await untilText(ada, '#stream', 'ended by the server');
    await notify(grace, 'meanwhile');
    await until('it is published', async () => {
      return (await (await fetch(`${sample.url}/notifications/unread`)).text()) !== '{"unread":0}';
    });
    await ada.click('#again');
    await untilText(ada, '#stream', 'resumed without a loss');
    await untilText(ada, '#inbox', 'meanwhile');
    expect(await ada.locator('#inbox li:has-text("meanwhile")').count()).toBe(1);
    expect(await ada.isVisible('#again')).toBe(false);
  });

  it('shows another document, and saves what is typed into it', async () => {
    const ada = await sample.open(42);
    const grace = await sample.open(7);
    await untilText(ada, '#viewers', 'Ada, Grace');
    await ada.selectOption('#document-form [name=id]', 'roadmap');
    await until('the text is there', async () => (await ada.inputValue('#text')).startsWith('One node first'));
    await untilText(grace, '#viewers', 'Here now: Grace');
    await ada.selectOption('#document-form [name=id]', 'handbook');
    await until('the text is there', async () => (await ada.inputValue('#text')).startsWith('Streams end'));
    await ada.fill('#text', 'Written by Ada.');
    await until('it is shown', async () => (await grace.inputValue('#text')) === 'Written by Ada.');
    await untilText(ada, '#version', 'by you');
  });

  it('goes on with an answer where it was when it is reloaded, and shows it in other windows', async () => {
    const ada = await sample.open(42);
    const other = await sample.open(42);
    const problems = [ada, other].map((page) => problemsOf(page));
    // Of so many words that there is time for all of it.
    const question = 'y '.repeat(250).trim();
    await ask(ada, question);
    await untilText(ada, '#answer', 'y y y');
    await ada.reload();
    await untilText(ada, '#answer', 'y y y');
    expect(await answerOn(ada)).not.toContain('next word');
    expect(await ada.isVisible('#stop-answer')).toBe(true);
    for (const page of [ada, other]) {
      await untilText(page, '#answer-stream', 'ended');
      expect(await answerOn(page)).toBe(answerTo(question));
      expect(await page.locator('#question').textContent()).toBe(question);
      expect(await page.isVisible('#stop-answer')).toBe(false);
    }
    // Complete by now, and still there for whoever comes.
    await ada.reload();
    await untilText(ada, '#answer-stream', 'ended');
    expect(await answerOn(ada)).toBe(answerTo(question));
    // Not before: with an answer in two windows, a third has no connection left of the six that a browser has.
    const grace = await sample.open(7);
    expect([await grace.locator('#question').textContent(), await answerOn(grace)]).toEqual(['', '']);
    expect(problems).toEqual([[], []]);
  });

  it('stops an answer in all windows, and asks again', async () => {
    const ada = await sample.open(42);
    const other = await sample.open(42);
    const problems = [ada, other].map(problemsOf);
    await ask(ada, 'Why?');
    await untilText(other, '#answer', 'You asked');
    await other.click('#stop-answer');
    for (const page of [ada, other]) {
      await untilText(page, '#answer-note', 'Stopped.');
      expect(answerTo('Why?').startsWith((await answerOn(page))!)).toBe(true);
      expect(await page.isVisible('#stop-answer')).toBe(false);
    }
    await ask(other, 'Who?');
    for (const page of [ada, other]) {
      await untilText(page, '#answer', 'You asked: “Who?” I am');
      expect(await page.locator('#answer-note').textContent()).toBe('');
    }
    expect(problems).toEqual([[], []]);
  });

  it('stops an execution', async () => {
    const ada = await sample.open(42);
    await ada.click('#execution-form button:has-text("Start")');
    await untilText(ada, '#execution-stream', 'live');
    await ada.click('#stop-execution');
    await untilText(ada, '#progress-text', 'It was stopped.');
    expect(await ada.isVisible('#stop-execution')).toBe(false);
    await untilText(ada, '#late-form [name=id]', 'node_modules (cancelled)');
  });

  it('shows orders in all windows, and marks notifications as read', async () => {
    const [ada, grace] = [await sample.open(42), await sample.open(7)];
    await ada.fill('#order-form [name=item]', 'Cocoa');
    await ada.click('#order-form button');
    for (const page of [ada, grace]) await untilText(page, '#orders', '2 × CocoaAda');
    await notify(grace, 'read me');
    await untilText(ada, '#inbox', 'read me');
    await ada.click('#mark-read');
    await untilText(ada, '#unread', /^0$/);
  });

  it('shows an earlier execution from the beginning', async () => {
    const ada = await sample.open(42);
    await ada.fill('#execution-form [name=folder]', 'src');
    await ada.click('#execution-form button');
    await untilText(ada, '#progress-text', 'Complete');
    const grace = await sample.open(7);
    await untilText(grace, '#late-form [name=id]', 'src (finished)');
    await grace.selectOption('#late-form [name=id]', { label: 'src (finished)' });
    await grace.click('#late-form button');
    await untilText(grace, '#progress-text', 'Complete');
    expect(await grace.locator('#tasks li').count()).toBe(await ada.locator('#tasks li').count());
  });

  it('lets a crowd come and go', async () => {
    const ada = await sample.open(42);
    await ada.selectOption('#load-form [name=clients]', '100');
    await ada.click('#load-form button:has-text("Start")');
    await untilText(ada, '#load-note', '100 of 100 clients are there.');
    await untilText(ada, '#load-figures', /Deliveries a second\d/);
    expect(sample.sse.getClientsByTopic('load')).toHaveLength(100);
    await ada.click('#stop-load');
    await untilText(ada, '#load-note', 'Nobody is there but you.');
    await until('they are gone', () => sample.sse.getClientsByTopic('load').length === 0);
  });

  it('is read by the client of the package when it is told so, and survives the same', async () => {
    const ada = await sample.open(42);
    await ada.check('[name=reader][value=client]');
    await ada.waitForURL(/reader=client/);
    await untilText(ada, '#stream', 'live');
    await untilText(ada, '#hub .counter.received dd', /[1-9]/);
    await ada.click('[data-break=cut]');
    await untilText(ada, '#verdicts p:first-child', / s\. The hub delivered/);
    expect(await ada.locator('#verdicts p:first-child').textContent()).toContain('0 missing, 0 duplicates');
    expect(await ada.isChecked('[name=reader][value=client]')).toBe(true);
  });
});
