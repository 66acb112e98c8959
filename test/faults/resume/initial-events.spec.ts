import { describe, expect, it } from '@jest/globals';

import { returnToBaseline } from '../../support/baseline.js';
import { platforms, startApp } from '../../support/platforms.js';
import { open } from '../../support/readers/event-stream.js';
import { everything, numbers, opened, publish } from '../../support/readers/numbered.js';
import { direct, nestSse, web } from '../../support/stream-controllers.js';
import { turn } from '../../support/test-hub.js';

returnToBaseline();

for (const platform of platforms) {
  describe(`initial events on ${platform.name}`, () => {
    for (const transport of [direct, nestSse, web]) {
      it(`R16: ${transport.name}: come first, then everything published meanwhile, once; not after a full resume`, async () => {
        let release = (): void => {};
        let calls = 0;
        const initial = async () => {
          calls++;
          await new Promise<void>((resolve) => (release = resolve));
          return { event: 'state', data: 'initial' };
        };
        const controller = transport.controller(() => ({ initial }));
        const { url, sse } = await startApp(platform, { config: { maxHistorySize: 0 }, controllers: [controller] });
        publish(sse, 't', 1, 2);
        const stream = await open(`${url}/events/t`);
        await opened(stream);
        for (const n of numbers(3, 12)) {
          publish(sse, 't', n, n);
          await turn();
        }
        expect(stream.messages).toEqual([]);
        release();
        expect(await stream.messagesUpTo(11)).toEqual(['initial', ...numbers(3, 12)]);
        stream.close();
        const after = await open(`${url}/events/t`, { lastEventId: stream.lastEventId });
        expect((await opened(after)).resumed).toBe('full');
        publish(sse, 't', 13, 13);
        expect(await everything(after, sse, 't')).toEqual([13]);
        expect(calls).toBe(1);
        after.close();
      });
    }
  });
}
