import { describe, expect, it } from '@jest/globals';

import { returnToBaseline } from '../../support/baseline.js';
import { platforms, startApp } from '../../support/platforms.js';
import { open } from '../../support/readers/event-stream.js';
import { everything, leaveAfterFirst, numbers, opened, publish, resets } from '../../support/readers/numbered.js';
import { direct, nestSse, web } from '../../support/stream-controllers.js';
import { turn } from '../../support/test-hub.js';

returnToBaseline();

for (const platform of platforms) {
  for (const transport of [direct, nestSse, web]) {
    describe(`${transport.name} on ${platform.name}`, () => {
      const start = (config = {}) => startApp(platform, { config, controllers: [transport.controller()] });

      it('R5: tells a client once that what it missed is no longer retained', async () => {
        const { url, sse } = await start({ maxHistorySize: 10 });
        const lastEventId = await leaveAfterFirst(sse, `${url}/events/t`, 't');
        publish(sse, 't', 2, 30);
        await turn();
        const stream = await open(`${url}/events/t`, { lastEventId });
        expect((await opened(stream)).resumed).toBe('reset');
        const reset = await stream.next();
        expect(JSON.parse(reset.data)).toEqual({ reason: 'trimmed', topics: ['t'] });
        const again = await open(`${url}/events/t`, { lastEventId: reset.lastEventId });
        expect((await opened(again)).resumed).toBe('full');
        await again.messagesUpTo(10);
        expect(await everything(stream, sse, 't')).toEqual(numbers(21, 30));
        expect(resets(stream)).toHaveLength(1);
        stream.close();
        expect(await everything(again, sse, 't')).toEqual(numbers(21, 30));
        expect(resets(again)).toEqual([]);
        again.close();
      });

      it("R5: gives only what is new after a gap with onGap: 'latest'", async () => {
        const { url, sse } = await start({ maxHistorySize: 10, onGap: 'latest' });
        const lastEventId = await leaveAfterFirst(sse, `${url}/events/t`, 't');
        publish(sse, 't', 2, 30);
        await turn();
        const stream = await open(`${url}/events/t`, { lastEventId });
        await opened(stream);
        expect((await stream.next()).event).toBe('sse.reset');
        publish(sse, 't', 31, 31);
        expect(await stream.messagesUpTo(1)).toEqual([31]);
        stream.close();
      });

      it('R8: resumes a quiet topic without a reset although a busy one rolled the log over three times', async () => {
        const { url, sse } = await start({ maxHistorySize: 100 });
        const lastEventId = await leaveAfterFirst(sse, `${url}/events/quiet`, 'quiet');
        for (let round = 0; round < 3; round++) {
          publish(sse, 'busy', 1, 100);
          await turn();
        }
        publish(sse, 'quiet', 2, 2);
        publish(sse, 'busy', 1, 50);
        const after = await open(`${url}/events/quiet`, { lastEventId });
        expect((await opened(after)).resumed).toBe('full');
        expect(await everything(after, sse, 'quiet')).toEqual([2]);
        expect(resets(after)).toEqual([]);
        after.close();
      });

      it('R8: resumes a topic that never had an event without a reset', async () => {
        const { url, sse } = await start({ maxHistorySize: 100 });
        const quiet = await open(`${url}/events/never`);
        await opened(quiet);
        quiet.close();
        for (let round = 0; round < 3; round++) {
          publish(sse, 'busy', 1, 200);
          await turn();
        }
        const after = await open(`${url}/events/never`, { lastEventId: quiet.lastEventId });
        expect((await opened(after)).resumed).toBe('full');
        after.close();
      });
    });
  }
}
