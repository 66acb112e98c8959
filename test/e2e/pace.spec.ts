import { setImmediate as turn } from 'node:timers/promises';

import { describe, expect, it } from '@jest/globals';
import { topicPattern } from 'nestjs-sse-hub';

import { returnToBaseline } from '../support/baseline.js';
import { platforms } from '../support/platforms.js';
import { transports } from '../support/stream-controllers.js';

const bench = returnToBaseline();

const MINUTE = 60_000;
const URGENT = [{ topics: topicPattern('alert:*'), interval: 0 }];

for (const platform of platforms) {
  for (const transport of transports) {
    describe(`a pace for ${transport.name} on ${platform.name}`, () => {
      it('holds back what follows an event, until something urgent takes it along in its order', async () => {
        const config = { flushInterval: MINUTE, flush: URGENT };
        const { app, sse } = await bench.start(platform, { config, controllers: [transport.controller()] });
        const client = await bench.stream(app, '/events/prices,alert:fire');
        sse.broadcast('prices', 'price', 1);
        expect(await client.next()).toMatchObject({ event: 'price', data: 1 });
        const { delivered } = sse.stats();
        for (let price = 2; price <= 4; price++) {
          sse.broadcast('prices', 'price', price);
          await turn();
        }
        expect(sse.stats().delivered).toBe(delivered);
        sse.broadcast('alert:fire', 'alert', 5);
        for (const data of [2, 3, 4, 5]) expect(await client.next()).toMatchObject({ data });
      });

      it('brings what it holds back when the interval is over', async () => {
        const config = { flushInterval: 20 };
        const { app, sse } = await bench.start(platform, { config, controllers: [transport.controller()] });
        const client = await bench.stream(app, '/events/prices');
        for (let price = 1; price <= 20; price++) {
          sse.broadcast('prices', 'price', price);
          await turn();
        }
        for (let price = 1; price <= 20; price++) expect(await client.next()).toMatchObject({ data: price });
      });

      it('lets what it holds back leave before the end of a topic, and is no hindrance to a resume', async () => {
        const config = { flushInterval: MINUTE };
        const { app, sse } = await bench.start(platform, { config, controllers: [transport.controller()] });
        const client = await bench.stream(app, '/events/prices');
        sse.broadcast('prices', 'price', 1);
        const { lastEventId } = await client.next();
        sse.broadcast('prices', 'price', 2);
        await turn();
        const other = await bench.stream(app, '/events/prices', { lastEventId });
        expect(await other.next()).toMatchObject({ data: 2 });
        sse.closeTopic('prices');
        expect(await client.next()).toMatchObject({ data: 2 });
        await client.next('sse.end');
        await other.next('sse.end');
      });
    });
  }
}
