import { describe, expect, it } from '@jest/globals';
import type { ClientOptions, SSEModuleOptions } from 'nestjs-sse-hub';

import { returnToBaseline } from '../../support/baseline.js';
import { platforms, startApp } from '../../support/platforms.js';
import { open } from '../../support/readers/event-stream.js';
import { numbers, opened, publish, resets } from '../../support/readers/numbered.js';
import { direct, nestSse } from '../../support/stream-controllers.js';
import { turn } from '../../support/test-hub.js';

returnToBaseline();

for (const platform of platforms) {
  for (const transport of [direct, nestSse]) {
    describe(`since and notBefore: ${transport.name} on ${platform.name}`, () => {
      const start = (config: SSEModuleOptions, options: () => Omit<ClientOptions, 'topics'>) =>
        startApp(platform, { config, controllers: [transport.controller(options)] });

      const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 5));

      it('R9: since replays what is newer, by the positions of the log, whatever is no longer retained', async () => {
        let since: number | Date = 0;
        const { url, sse } = await start({ maxHistorySize: 5 }, () => ({ since }));
        publish(sse, 't', 1, 4);
        await pause();
        const middle = Date.now();
        await pause();
        publish(sse, 't', 5, 8);
        await turn();
        for (const [from, expected] of [
          [0, [4, 5, 6, 7, 8]],
          [new Date(middle), [5, 6, 7, 8]],
          [Date.now() + 60_000, []],
        ] as const) {
          since = from;
          const stream = await open(`${url}/events/t`);
          expect((await opened(stream)).resumed).toBe('none');
          publish(sse, 'other', 1, 1);
          await stream.messagesUpTo(expected.length);
          await turn();
          expect(stream.data).toEqual(expected);
          expect(resets(stream)).toEqual([]);
          stream.close();
        }
      });

      it('R9: a last event ID wins over since', async () => {
        const { url, sse } = await start({}, () => ({ since: 0 }));
        publish(sse, 't', 1, 2);
        const first = await open(`${url}/events/t`);
        expect(await first.messagesUpTo(2)).toEqual([1, 2]);
        first.close();
        publish(sse, 't', 3, 3);
        const second = await open(`${url}/events/t`, { lastEventId: first.lastEventId });
        expect(await second.messagesUpTo(1)).toEqual([3]);
        second.close();
      });

      it('R9: the cursor of sse.open is the position before the first event of since', async () => {
        const { url, sse } = await start({}, () => ({ since: 0 }));
        publish(sse, 't', 1, 2);
        const first = await open(`${url}/events/t`);
        const { lastEventId } = await first.next();
        first.close();
        const second = await open(`${url}/events/t`, { lastEventId });
        expect(await second.messagesUpTo(2)).toEqual([1, 2]);
        second.close();
      });

      it('R9: an hour back on the clock evicts nothing, and positions go on growing', async () => {
        const { url, sse } = await start({ maxHistoryAge: 60_000 }, () => ({ since: 0 }));
        const realNow = Date.now;
        try {
          publish(sse, 't', 1, 3);
          Date.now = () => realNow() - 3_600_000;
          publish(sse, 't', 4, 6);
          await turn();
          const stream = await open(`${url}/events/t`);
          expect(await stream.messagesUpTo(6)).toEqual(numbers(1, 6));
          const ids = stream.messages.map(({ lastEventId }) => lastEventId);
          expect(new Set(ids).size).toBe(6);
          stream.close();
          expect(sse.stats().history.events).toBe(6);
        } finally {
          Date.now = realNow;
        }
      });

      it('replays nothing older than notBefore, whatever the cursor', async () => {
        let notBefore: number | undefined;
        const { url, sse } = await start({}, () => ({ ...(notBefore !== undefined && { notBefore }) }));
        const before = await open(`${url}/events/t`);
        await opened(before);
        publish(sse, 't', 1, 2);
        await before.messagesUpTo(2);
        before.close();
        await pause();
        notBefore = Date.now();
        await pause();
        publish(sse, 't', 3, 3);
        const after = await open(`${url}/events/t`, { lastEventId: before.messages[0]!.lastEventId });
        expect((await opened(after)).resumed).toBe('full');
        expect(await after.messagesUpTo(1)).toEqual([3]);
        after.close();
      });

      it('replays broadcastAll only after a last event ID', async () => {
        const { url, sse } = await start({}, () => ({ since: 0 }));
        publish(sse, 't', 1, 1);
        sse.broadcastAll('all', 2);
        publish(sse, 't', 3, 3);
        const stream = await open(`${url}/events/t`);
        expect(await stream.messagesUpTo(2)).toEqual([1, 3]);
        stream.close();
        const resumed = await open(`${url}/events/t`, { lastEventId: stream.messages[0]!.lastEventId });
        expect(await resumed.messagesUpTo(2)).toEqual([2, 3]);
        resumed.close();
      });
    });
  }
}
