import { describe, expect, it } from '@jest/globals';
import { type ClientOptions, MemoryBackplane, type SSEModuleOptions } from 'nestjs-sse-hub';
import { TestNode } from 'nestjs-sse-hub/testing';

import { returnToBaseline } from '../../support/baseline.js';
import { platforms, startApp } from '../../support/platforms.js';
import { open } from '../../support/readers/event-stream.js';
import { opened, publish, resets } from '../../support/readers/numbered.js';
import { direct, nestSse } from '../../support/stream-controllers.js';
import { turn } from '../../support/test-hub.js';

returnToBaseline();

for (const platform of platforms) {
  for (const transport of [direct, nestSse]) {
    describe(`another node: ${transport.name} on ${platform.name}`, () => {
      const start = (config: SSEModuleOptions, options: () => Omit<ClientOptions, 'topics'>) =>
        startApp(platform, { config, controllers: [transport.controller(options)] });

      it('R17: a client that moves to a node which has read less waits there: nothing twice, nothing lost, no reset', async () => {
        const log = new MemoryBackplane();
        const late = new TestNode(log);
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
    });
  }
}
