import { describe, expect, it } from '@jest/globals';

import { returnToBaseline } from '../../support/baseline.js';
import { platforms, startApp } from '../../support/platforms.js';
import { open } from '../../support/readers/event-stream.js';
import { numbers, opened } from '../../support/readers/numbered.js';
import { direct, nestSse, web } from '../../support/stream-controllers.js';

returnToBaseline();

for (const platform of platforms) {
  for (const transport of [direct, nestSse, web]) {
    describe(`${transport.name} on ${platform.name}`, () => {
      const start = (config = {}) => startApp(platform, { config, controllers: [transport.controller()] });

      it('R7: gives every event exactly once to a client that disconnects in the middle of its replay, 50 times over', async () => {
        const { url, sse } = await start({ maxHistorySize: 20_000, highWaterMark: 2_000 });
        let stream = await open(`${url}/events/t`);
        await opened(stream);
        stream.close();
        const padding = 'x'.repeat(1_000);
        for (const n of numbers(1, 20_000)) sse.broadcast('t', 'n', { n, padding });
        const got: number[] = [];
        const take = (): void => void got.push(...stream.data.map((data) => (data as { n: number }).n));
        for (let i = 0; i < 50; i++) {
          stream = await open(`${url}/events/t`, { lastEventId: stream.lastEventId });
          expect((await opened(stream)).resumed).toBe('full');
          const wanted = 1 + ((i * 37) % 150);
          await stream.until(() => stream.messages.length >= wanted);
          stream.close();
          take();
          // It was in the middle.
          expect(got.length).toBeLessThan(20_000);
        }
        stream = await open(`${url}/events/t`, { lastEventId: stream.lastEventId });
        await stream.until(() => got.length + stream.messages.length >= 20_000);
        take();
        expect(got).toEqual(numbers(1, 20_000));
        stream.close();
      });
    });
  }
}
