import { describe, expect, it } from '@jest/globals';

import { returnToBaseline } from '../../support/baseline.js';
import { platforms, startApp } from '../../support/platforms.js';
import { open } from '../../support/readers/event-stream.js';
import { everything, leaveAfterFirst, numbers, opened, publish, resets } from '../../support/readers/numbered.js';
import { RecordedLogger } from '../../support/recorded-logger.js';
import { direct, nestSse, web } from '../../support/stream-controllers.js';
import { turn } from '../../support/test-hub.js';

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
