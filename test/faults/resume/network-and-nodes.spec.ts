import { describe, expect, it } from '@jest/globals';
import { type ClientOptions, MemoryBackplane, type SSEModuleOptions } from 'nestjs-sse-hub';

import { returnToBaseline } from '../../support/baseline.js';
import { LaggingBackplane } from '../../support/brokers/lagging-backplane.js';
import { heapAndBuffers, MiB } from '../../support/measures/memory.js';
import { platforms, startApp } from '../../support/platforms.js';
import { open } from '../../support/readers/event-stream.js';
import { numbers, opened, publish, resets } from '../../support/readers/numbered.js';
import { direct, nestSse } from '../../support/stream-controllers.js';
import { turn } from '../../support/test-hub.js';

returnToBaseline();

for (const platform of platforms) {
  for (const transport of [direct, nestSse]) {
    describe(`the network and other nodes: ${transport.name} on ${platform.name}`, () => {
      const start = (config: SSEModuleOptions, options: () => Omit<ClientOptions, 'topics'>) =>
        startApp(platform, { config, controllers: [transport.controller(options)] });

      it('R11: a replay that is larger than the socket takes waits for drain, and memory stays flat', async () => {
        const { url, sse } = await start({ maxHistorySize: 10_000, maxHistoryBytes: 256 * 1024 * 1024 }, () => ({
          since: 0,
        }));
        const payload = 'x'.repeat(10_000);
        for (const n of numbers(1, 3_000)) sse.broadcast('t', 'n', { n, payload });
        const before = await heapAndBuffers();
        const stream = await open(`${url}/events/t`);
        stream.response.pause();
        await new Promise((resolve) => setTimeout(resolve, 300));
        const { bytes } = sse.stats();
        expect(bytes).toBeLessThan(15_000_000);
        // 30 MB wait in the log, where they were before. What has been sent is encoded now, once for all who come.
        expect((await heapAndBuffers()) - before).toBeLessThan(bytes + 4 * MiB);
        stream.response.resume();
        await stream.until(() => stream.messages.length >= 3_000);
        expect(stream.messages.map(({ data }) => (JSON.parse(data) as { n: number }).n)).toEqual(numbers(1, 3_000));
        expect(resets(stream)).toEqual([]);
        stream.close();
      });

      it('R14: an event that the network cut in half arrives again after the reconnect, once', async () => {
        const { url, sse } = await start({}, () => ({}));
        const first = await open(`${url}/events/t`);
        await opened(first);
        const payload = 'y'.repeat(400_000);
        first.response.pause();
        sse.broadcast('t', 'n', { n: 1 });
        sse.broadcast('t', 'n', { n: 2, payload });
        await turn();
        first.response.resume();
        await first.until(() => first.raw.length > 10_000);
        first.close();
        const got = first.messages.map(({ data }) => (JSON.parse(data) as { n: number }).n);
        // The second one had begun.
        expect(got).toEqual([1]);
        expect(first.raw).toContain('data: {"n":2,"payload":"yyy');
        const second = await open(`${url}/events/t`, { lastEventId: first.lastEventId });
        await second.until(() => got.length + second.messages.length >= 2);
        got.push(...second.messages.map(({ data }) => (JSON.parse(data) as { n: number }).n));
        expect(got).toEqual([1, 2]);
        second.close();
      });

      it('R17: a client that moves to a node which has read less waits there: nothing twice, nothing lost, no reset', async () => {
        const log = new MemoryBackplane();
        const late = new LaggingBackplane(log);
        const fast = await start({ backplane: log }, () => ({}));
        const slow = await start({ backplane: late }, () => ({}));
        await Promise.all([fast.sse.start(), slow.sse.start()]);
        const first = await open(`${fast.url}/events/t`);
        await opened(first);
        publish(fast.sse, 't', 1, 2);
        await first.messagesUpTo(2);
        late.hold();
        publish(fast.sse, 't', 3, 5);
        await first.messagesUpTo(5);
        first.close();
        const second = await open(`${slow.url}/events/t`, { lastEventId: first.lastEventId });
        await turn();
        publish(fast.sse, 't', 6, 7);
        await new Promise((resolve) => setTimeout(resolve, 50));
        const { lastEventId } = first;
        expect(second.events).toEqual([{ event: 'sse.cursor', data: '{}', lastEventId }]);
        late.release();
        expect((await opened(second)).resumed).toBe('full');
        expect(await second.messagesUpTo(2)).toEqual([6, 7]);
        expect(resets(second)).toEqual([]);
        second.close();
      });

      it('R17: a cursor of our epoch beyond the end of the log is another history', async () => {
        const { url, sse } = await start({}, () => ({}));
        const first = await open(`${url}/events/t`);
        await opened(first);
        publish(sse, 't', 1, 1);
        await first.messagesUpTo(1);
        first.close();
        const beyond = first.lastEventId.replace(/~([0-9a-z]+)-0$/, (_, ms: string) => `~z${ms.slice(1)}-0`);
        expect(beyond).not.toBe(first.lastEventId);
        const second = await open(`${url}/events/t`, { lastEventId: beyond });
        expect((await opened(second)).resumed).toBe('reset');
        await second.messagesUpTo(1);
        expect(resets(second)).toEqual([{ reason: 'diverged', topics: ['t'] }]);
        second.close();
      });

      it('R18: filter, except and exceptGroup hold in replay as they did live', async () => {
        const { url, sse } = await start({}, () => ({
          id: 'me',
          group: 'g',
          filter: (event) => event.metadata?.['secret'] !== true,
        }));
        const live = await open(`${url}/events/t`);
        const { lastEventId } = await live.next();
        sse.broadcast({ topic: 't', event: 'n', data: 1 });
        sse.broadcast({ topic: 't', event: 'n', data: 2, metadata: { secret: true } });
        sse.broadcast({ topic: 't', event: 'n', data: 3 }, { exceptGroup: 'g' });
        sse.broadcast({ topic: 't', event: 'n', data: 4 }, { exceptGroup: 'other', except: ['somebody'] });
        sse.broadcast({ topic: 't', event: 'n', data: 5 }, { except: 'me' });
        sse.broadcast({ topic: 't', event: 'n', data: 6 });
        expect(await live.messagesUpTo(3)).toEqual([1, 4, 6]);
        live.close();
        const replay = await open(`${url}/events/t`, { lastEventId });
        publish(sse, 't', 7, 7);
        expect(await replay.messagesUpTo(4)).toEqual([1, 4, 6, 7]);
        replay.close();
      });
    });
  }
}
