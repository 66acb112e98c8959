import { describe, expect, it } from '@jest/globals';
import { type ClientOptions, type SSEModuleOptions } from 'nestjs-sse-hub';

import { returnToBaseline } from '../../support/baseline.js';
import { heapAndBuffers, MiB } from '../../support/measures/memory.js';
import { platforms, startApp } from '../../support/platforms.js';
import { open } from '../../support/readers/event-stream.js';
import { numbers, opened, resets } from '../../support/readers/numbered.js';
import { direct, nestSse } from '../../support/stream-controllers.js';
import { turn } from '../../support/test-hub.js';

returnToBaseline();

for (const platform of platforms) {
  for (const transport of [direct, nestSse]) {
    describe(`the network: ${transport.name} on ${platform.name}`, () => {
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
    });
  }
}
