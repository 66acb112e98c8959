import { describe, expect, it } from '@jest/globals';

import { returnToBaseline } from '../support/baseline.js';
import { platforms } from '../support/platforms.js';
import { transports } from '../support/stream-controllers.js';

const bench = returnToBaseline();

for (const platform of platforms) {
  for (const transport of transports) {
    describe(`${transport.name} on ${platform.name}`, () => {
      it('brings an event from broadcast() to the client', async () => {
        const { app, sse } = await bench.start(platform, { controllers: [transport.controller()] });
        const stream = await bench.stream(app, '/events/prices');
        expect(stream.received.map(({ event }) => event)).toEqual(['sse.open']);
        sse.broadcast('prices', 'price', { value: 42 });
        expect(await stream.next()).toMatchObject({ event: 'price', data: { value: 42 }, text: '{"value":42}' });
      });
    });
  }
}
