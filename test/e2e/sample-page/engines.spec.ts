import type { AddressInfo } from 'node:net';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import type { INestApplication } from '@nestjs/common';

import { createApp } from '../../../sample-app/create-app.js';
import { platforms } from '../../support/platforms.js';
import { ProbedPage } from '../../support/probed-page.js';
import { browserKinds } from '../../support/readers/browsers.js';

interface Told {
  readonly verdict: string;
  readonly hub: Readonly<Record<'missing' | 'doubled', string>>;
  readonly answer: string;
  readonly inbox: string;
  readonly charts: number;
  readonly source: string;
  readonly overflow: number;
  readonly errors: readonly string[];
  readonly gaveUp?: string;
}

/** What a visitor would do, in the page. */
const PROBE = `
const errors = [];
addEventListener('error', ({ message }) => errors.push(String(message)));
addEventListener('unhandledrejection', ({ reason }) => errors.push(String(reason)));
const $ = (selector) => document.querySelector(selector);
const textOf = (selector) => $(selector).textContent.trim();
const until = async (what, happened) => {
  const began = performance.now();
  while (!happened()) {
    if (performance.now() - began > 45_000) throw new Error('There was never: ' + what);
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
};
try {
  await until('a live stream', () => textOf('#stream').startsWith('live'));
  await until('a flow', () => Number(textOf('#hub .received dd')) > 3);
  $('[data-break=cut]').click();
  await until('a verdict', () => textOf('#verdicts').includes('The hub delivered'));
  const verdict = textOf('#verdicts p');
  $('#chat-form button').click();
  await until('an answer', () => textOf('#answer').startsWith('You asked'));
  $('#stop-answer').click();
  await until('its stop', () => textOf('#answer-note') === 'Stopped.');
  $('#notification-form button').click();
  await until('a notification', () => textOf('#inbox').includes('The kettle is on'));
  $('#survive .source summary').click();
  await until('code', () => $('#survive .source pre'));
  await until('charts', () => textOf('#node') !== '…');
  tell({
    verdict,
    hub: { missing: textOf('#hub .missing dd'), doubled: textOf('#hub .doubled dd') },
    answer: textOf('#answer'),
    inbox: textOf('#inbox'),
    charts: document.querySelectorAll('#figures canvas').length,
    source: textOf('#survive .source .file'),
    overflow: document.documentElement.scrollWidth - document.documentElement.clientWidth,
    errors,
  });
} catch (error) {
  tell({ gaveUp: String(error), stream: textOf('#stream'), verdict: textOf('#verdicts'), errors });
}
`;

for (const kind of browserKinds) {
  (kind.program === undefined ? describe.skip : describe)(`the sample page in ${kind.name}`, () => {
    let app: INestApplication;
    let page: ProbedPage<Told>;

    beforeAll(async () => {
      app = await createApp(platforms[0]!.adapter());
      await app.listen(0, '127.0.0.1');
      const { port } = app.getHttpServer().address() as AddressInfo;
      page = await ProbedPage.open(kind, `http://127.0.0.1:${port}`, PROBE);
    });

    afterAll(async () => {
      await page?.close();
      await app?.close();
    });

    it('survives a cut, and its panels work', async () => {
      const told = await page.told;
      expect(told).toMatchObject({ hub: { missing: '0', doubled: '0' }, charts: 5, overflow: 0, errors: [] });
      expect(told.verdict).toContain('0 missing, 0 duplicates');
      expect(told.answer).toMatch(/^You asked/);
      expect(told.inbox).toContain('Ada: The kettle is on');
      expect(told.source).toMatch(/^sample-app\/.*\.ts:\d+$/);
    });
  });
}
