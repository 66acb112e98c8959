import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { until } from '../../support/baseline.js';
import { Entrance } from '../../support/network/entrance.js';
import { findSampleBrokers, type SampleNode, SampleNodes } from '../../support/processes/sample-nodes.js';
import { buildSample } from '../../support/processes/standalone.js';
import { CHROMIUM, DrivenChromium } from '../../support/readers/chromium.js';
import { untilText } from '../../support/sample-page.js';

const [broker, ...others] = await findSampleBrokers().then((all) =>
  all.toSorted((a) => (a.url === undefined ? 1 : -1)),
);

/** Nothing is said of the broker that is not needed here. */
afterAll(async () => {
  for (const one of [broker, ...others]) await one?.stop();
});

const isPossible = broker?.url !== undefined && CHROMIUM !== undefined;

(isPossible ? describe : describe.skip)('the sample page, served by two nodes', () => {
  let built: Awaited<ReturnType<typeof buildSample>>;
  let nodes: SampleNodes;
  let entrance: Entrance;
  let browser: DrivenChromium;

  beforeAll(async () => {
    built = await buildSample();
    nodes = new SampleNodes(built.folder, broker!);
    const started: SampleNode[] = await Promise.all([nodes.start(), nodes.start()]);
    const living = (): SampleNode[] => started.filter(({ program }) => program.ending === undefined);
    entrance = await Entrance.open({
      choose: () => living()[0]!.url,
      hasLeft: (url) => !living().some((node) => node.url === url),
    });
    browser = await DrivenChromium.launch();
  });

  afterAll(async () => {
    await browser?.close();
    entrance?.close();
    await nodes?.end();
    await built?.remove();
  });

  it('misses nothing when the node that serves it is killed, and is served by the other one', async () => {
    const page = await browser.openWindow(entrance.url);
    await untilText(page, '#stream', 'live');
    await untilText(page, '#kill-note', 'it is');
    const killed = await page.locator('#node').textContent();
    await until('it counts', async () => Number(await page.locator('#hub .received dd').textContent()) > 8);
    await page.click('[data-break=kill]');
    await untilText(page, '#verdicts p:first-child', / s\. The hub delivered/);
    await untilText(page, '#stream', 'live, resumed without a loss');
    for (const counter of ['missing', 'doubled']) {
      expect(await page.locator(`#hub .${counter} dd`).textContent()).toBe('0');
    }
    await until('another node serves it', async () => (await page.locator('#node').textContent()) !== killed);
    const { length } = await page.locator('#hub .row').all();
    await until(
      'the other one counts, too',
      async () => (await page.locator('#hub .row').count()) >= Math.max(1, length),
    );
  });
});
