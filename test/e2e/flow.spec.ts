import { afterEach, describe, expect, it } from '@jest/globals';

import { closeAll, platforms, startApp } from '../support/platforms.js';
import { open } from '../support/readers/event-stream.js';
import { transports } from '../support/stream-controllers.js';

afterEach(closeAll);

for (const platform of platforms) {
  for (const transport of transports) {
    describe(`${transport.name} on ${platform.name}`, () => {
      it('brings an event from broadcast() to the client', async () => {
        const { url, sse } = await startApp(platform, { controllers: [transport.controller()] });
        const client = await open(`${url}/events/prices`);
        expect(client.status).toBe(200);
        expect((await client.next()).event).toBe('sse.open');
        sse.broadcast('prices', 'price', { value: 42 });
        expect(await client.next()).toMatchObject({ event: 'price', data: '{"value":42}' });
        client.close();
      });
    });
  }
}
