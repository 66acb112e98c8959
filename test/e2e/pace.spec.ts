import { setImmediate as turn } from 'node:timers/promises';

import { afterEach, describe, expect, it } from '@jest/globals';
import { topicPattern } from 'nestjs-sse-hub';

import { closeAll, platforms, startApp } from '../support/platforms.js';
import { open } from '../support/readers/event-stream.js';
import { transports } from '../support/stream-controllers.js';

afterEach(closeAll);

const MINUTE = 60_000;
const URGENT = [{ topics: topicPattern('alert:*'), interval: 0 }];

for (const platform of platforms) {
  for (const transport of transports) {
    describe(`a pace for ${transport.name} on ${platform.name}`, () => {
      it('holds back what follows an event, until something urgent takes it along in its order', async () => {
        const config = { flushInterval: MINUTE, flush: URGENT };
        const { url, sse } = await startApp(platform, { config, controllers: [transport.controller()] });
        const client = await open(`${url}/events/prices,alert:fire`);
        expect((await client.next()).event).toBe('sse.open');
        sse.broadcast('prices', 'price', 1);
        expect(await client.next()).toMatchObject({ event: 'price', data: '1' });
        const { delivered } = sse.stats();
        for (let price = 2; price <= 4; price++) {
          sse.broadcast('prices', 'price', price);
          await turn();
        }
        expect(sse.stats().delivered).toBe(delivered);
        sse.broadcast('alert:fire', 'alert', 5);
        for (const data of ['2', '3', '4', '5']) expect(await client.next()).toMatchObject({ data });
        client.close();
      });

      it('brings what it holds back when the interval is over', async () => {
        const config = { flushInterval: 20 };
        const { url, sse } = await startApp(platform, { config, controllers: [transport.controller()] });
        const client = await open(`${url}/events/prices`);
        await client.next();
        for (let price = 1; price <= 20; price++) {
          sse.broadcast('prices', 'price', price);
          await turn();
        }
        for (let price = 1; price <= 20; price++) expect(await client.next()).toMatchObject({ data: `${price}` });
        client.close();
      });

      it('lets what it holds back leave before the end of a topic, and is no hindrance to a resume', async () => {
        const config = { flushInterval: MINUTE };
        const { url, sse } = await startApp(platform, { config, controllers: [transport.controller()] });
        const client = await open(`${url}/events/prices`);
        await client.next();
        sse.broadcast('prices', 'price', 1);
        const { lastEventId } = await client.next();
        sse.broadcast('prices', 'price', 2);
        await turn();
        const other = await open(`${url}/events/prices`, { lastEventId });
        await other.next();
        expect(await other.next()).toMatchObject({ data: '2' });
        sse.closeTopic('prices');
        expect(await client.next()).toMatchObject({ data: '2' });
        expect(await client.next()).toMatchObject({ event: 'sse.end' });
        expect(await other.next()).toMatchObject({ event: 'sse.end' });
      });
    });
  }
}
