import { describe, expect, it } from '@jest/globals';

import { returnToBaseline } from '../../support/baseline.js';
import { platforms, startApp } from '../../support/platforms.js';
import { open } from '../../support/readers/event-stream.js';
import { everything, leaveAfterFirst, numbers, opened, publish, resets } from '../../support/readers/numbered.js';
import { direct, nestSse, web } from '../../support/stream-controllers.js';

returnToBaseline();

for (const platform of platforms) {
  for (const transport of [direct, nestSse, web]) {
    describe(`${transport.name} on ${platform.name}`, () => {
      const start = (config = {}) => startApp(platform, { config, controllers: [transport.controller()] });

      it('resumes exactly: what was published while the client was away arrives once and in order', async () => {
        const { url, sse } = await start();
        const before = await open(`${url}/events/t`);
        expect((await opened(before)).resumed).toBe('none');
        publish(sse, 't', 1, 3);
        await before.messagesUpTo(3);
        before.close();
        publish(sse, 't', 4, 10);
        const after = await open(`${url}/events/t`, { lastEventId: before.lastEventId });
        expect((await opened(after)).resumed).toBe('full');
        publish(sse, 't', 11, 12);
        expect(await after.messagesUpTo(9)).toEqual(numbers(4, 12));
        after.close();
      });

      it('R3: tells a client of another life of the log once, with an id that resumes cleanly', async () => {
        const first = await start();
        publish(first.sse, 't', 1, 1);
        const before = await open(`${first.url}/events/t`);
        await opened(before);
        publish(first.sse, 't', 2, 2);
        await before.messagesUpTo(1);
        await first.close();

        const second = await start();
        publish(second.sse, 't', 100, 101);
        const stream = await open(`${second.url}/events/t`, { lastEventId: before.lastEventId });
        expect((await opened(stream)).resumed).toBe('reset');
        const reset = await stream.next();
        expect(JSON.parse(reset.data)).toEqual({ reason: 'epoch', topics: ['t'] });
        const again = await open(`${second.url}/events/t`, { lastEventId: reset.lastEventId });
        expect((await opened(again)).resumed).toBe('full');
        await stream.messagesUpTo(2);
        expect(await everything(stream, second.sse, 't')).toEqual([100, 101]);
        expect(resets(stream)).toHaveLength(1);
        stream.close();
        expect(await everything(again, second.sse, 't')).toEqual([100, 101]);
        expect(resets(again)).toEqual([]);
        again.close();
      });

      it('R4: replays nothing to a client that has the newest event', async () => {
        const { url, sse } = await start();
        const before = await open(`${url}/events/t`);
        publish(sse, 't', 1, 3);
        await opened(before);
        await before.messagesUpTo(3);
        before.close();
        const after = await open(`${url}/events/t`, { lastEventId: before.lastEventId });
        expect((await opened(after)).resumed).toBe('full');
        publish(sse, 't', 4, 4);
        expect(await after.messagesUpTo(1)).toEqual([4]);
        expect(resets(after)).toEqual([]);
        after.close();
      });

      it('R6: resumes a changed set of topics exactly, added topics from the cursor', async () => {
        const { url, sse } = await start();
        const lastEventId = await leaveAfterFirst(sse, `${url}/events/a,b`, 'a');
        publish(sse, 'a', 2, 2);
        publish(sse, 'b', 3, 3);
        publish(sse, 'c', 4, 4);
        publish(sse, 'b', 5, 5);
        const after = await open(`${url}/events/b,c`, { lastEventId });
        expect((await opened(after)).resumed).toBe('full');
        expect(await everything(after, sse, 'c')).toEqual([3, 4, 5]);
        after.close();
      });

      it('R13: the header wins over ?lastEventId=, which counts without one', async () => {
        const { url, sse } = await start();
        const before = await open(`${url}/events/t`);
        await opened(before);
        publish(sse, 't', 1, 3);
        await before.messagesUpTo(3);
        before.close();
        const [first, , third] = before.messages.map(({ lastEventId }) => lastEventId);
        const both = await open(`${url}/events/t?lastEventId=${first}`, { lastEventId: third! });
        await opened(both);
        const query = await open(`${url}/events/t?lastEventId=${first}`);
        await opened(query);
        publish(sse, 't', 4, 4);
        expect(await both.messagesUpTo(1)).toEqual([4]);
        expect(await query.messagesUpTo(3)).toEqual([2, 3, 4]);
        both.close();
        query.close();
      });

      it('answers the terminal cursor with 204, and takes no slot', async () => {
        const { url, sse } = await start();
        const stream = await open(`${url}/events/t`, { lastEventId: '1~end' });
        expect(stream.status).toBe(204);
        // Without a header it would be up to a cache in front of everybody.
        expect(stream.response.headers['cache-control']).toBe('no-store');
        await stream.untilEnd();
        expect(stream.raw).toBe('');
        expect(sse.getClientCount()).toBe(0);
      });
    });
  }
}
