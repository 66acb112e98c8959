import type { ServerResponse } from 'node:http';

import { afterAll, afterEach, beforeAll, expect, it } from '@jest/globals';

import { until } from '../support/baseline.js';
import { ScriptedServer, stream } from '../support/network/scripted-server.js';
import { CHROMIUM, describeInChromium, DrivenChromium } from '../support/readers/chromium.js';
import { Tab, TabController } from '../support/readers/tabs.js';

/** A shared stream that is cut where a network seldom cuts it: what the hub says is written by hand. */

let browser: DrivenChromium;
let server: ScriptedServer;

beforeAll(async () => {
  if (CHROMIUM !== undefined) browser = await DrivenChromium.launch();
});

afterEach(async () => {
  if (CHROMIUM !== undefined) await browser.closeWindows();
  if (CHROMIUM !== undefined) await server.close();
});

afterAll(async () => {
  if (CHROMIUM !== undefined) await browser.close();
});

const OPEN = 'event: sse.open\nid: 1~e~1-0\ndata: {"heartbeatInterval":0}\n\n';
const OWN = 'event: n\nid: own\ndata: 1\n\n';
const CURSOR = 'event: sse.cursor\nid: 1~e~2-0\ndata: {}\n\n';
const NEXT = 'event: n\nid: 1~e~3-0\ndata: 2\n\n';

/** Each connection begins with what stands here for it. */
async function start(begins: readonly string[]): Promise<ServerResponse[]> {
  const connections: ServerResponse[] = [];
  server = await ScriptedServer.start((response, _, { url }) => {
    if (url === '/events') connections.push(stream(response, begins[connections.length]));
    else response.setHeader('Content-Type', 'text/html').end(new TabController().tab());
  });
  return connections;
}

async function openTab(): Promise<Tab> {
  const tab = new Tab(await browser.openWindow(new URL('/tab', server.url).href));
  await tab.open('/events', { share: true });
  await tab.untilNamed('sse.open');
  return tab;
}

describeInChromium('a tab that is ahead of the one with the connection', () => {
  it('gets an event with an id of the application once, although its cursor comes in another piece', async () => {
    const connections = await start([OPEN, OPEN + OWN + CURSOR]);
    const first = await openTab();
    const second = await openTab();
    await until('the second has let its own go', () => connections[1]!.closed);
    connections[0]!.write(OWN);
    await first.untilNumber(1);
    connections[0]!.write(CURSOR + NEXT);
    for (const tab of [first, second]) {
      await tab.untilNumber(2);
      expect(await tab.numbers()).toEqual([1, 2]);
    }
  });
});

describeInChromium('a tab that is behind the one with the connection', () => {
  it('keeps its own until it has what is between them', async () => {
    const connections = await start([OPEN + OWN + CURSOR, OPEN]);
    const first = await openTab();
    await first.untilNumber(1);
    const second = await openTab();
    connections[0]!.write(NEXT);
    await first.untilNumber(2);
    expect([await second.numbers(), connections[1]!.closed]).toEqual([[], false]);
    connections[1]!.write(OWN + CURSOR);
    await second.untilNumber(1);
    connections[1]!.write(NEXT);
    await until('the second has let its own go', () => connections[1]!.closed);
    connections[0]!.write(NEXT.replace('3-0', '4-0').replace('data: 2', 'data: 3'));
    for (const tab of [first, second]) {
      await tab.untilNumber(3);
      expect(await tab.numbers()).toEqual([1, 2, 3]);
    }
  });
});
