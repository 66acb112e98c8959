import { describe, expect, it } from '@jest/globals';

import { returnToBaseline } from '../../support/baseline.js';
import { platforms, startApp } from '../../support/platforms.js';
import { open } from '../../support/readers/event-stream.js';
import { opened, publish, resets } from '../../support/readers/numbered.js';
import { RecordedLogger } from '../../support/recorded-logger.js';
import { direct, nestSse, web } from '../../support/stream-controllers.js';

returnToBaseline();

for (const platform of platforms) {
  for (const transport of [direct, nestSse, web]) {
    describe(`${transport.name} on ${platform.name}`, () => {
      const start = (config = {}) => startApp(platform, { config, controllers: [transport.controller()] });

      for (const lastEventId of [
        'x'.repeat(15_000),
        '17',
        '-1',
        'null',
        '*',
        '$',
        '%0d%0a',
        '1~',
        '1~abc~zz',
        'é\u{1F600}',
      ]) {
        it(`R2: answers the foreign last event ID ${JSON.stringify(lastEventId.slice(0, 20))} with sse.reset`, async () => {
          const { url, sse } = await start();
          publish(sse, 't', 1, 2);
          const header = Buffer.from(lastEventId, 'utf8').toString('latin1');
          const stream = await open(`${url}/events/t`, { lastEventId: header });
          expect((await opened(stream)).resumed).toBe('reset');
          expect(await stream.messagesUpTo(2)).toEqual([1, 2]);
          expect(resets(stream)).toEqual([{ reason: 'foreign', topics: ['t'] }]);
          stream.close();
          const clean = await open(`${url}/events/t`, { lastEventId: stream.lastEventId });
          expect((await opened(clean)).resumed).toBe('full');
          clean.close();
        });
      }

      it('R2: logs nothing of foreign last event IDs, however many come', async () => {
        const { app, url, sse } = await start();
        const logger = new RecordedLogger();
        app.useLogger(logger);
        for (let i = 0; i < 50; i++) {
          const stream = await open(`${url}/events/t`, { lastEventId: `foreign ${i}` });
          expect((await opened(stream)).resumed).toBe('reset');
          stream.close();
        }
        expect(logger.lines).toEqual([]);
        expect(sse.stats().resets).toEqual({ foreign: 50 });
      });

      it('R2: takes two Last-Event-ID headers for a foreign one', async () => {
        const { url, sse } = await start();
        publish(sse, 't', 1, 1);
        const stream = await open(`${url}/events/t`, { headers: { 'Last-Event-ID': ['a', 'b'] } });
        expect((await opened(stream)).resumed).toBe('reset');
        await stream.messagesUpTo(1);
        expect(resets(stream)).toEqual([{ reason: 'foreign', topics: ['t'] }]);
        stream.close();
      });
    });
  }
}
