import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';

import { returnToBaseline } from '../support/baseline.js';
import { platforms } from '../support/platforms.js';
import { transports } from '../support/stream-controllers.js';

// Hooks of before a test run in their order, those of after it in the other one: real timers are back first.
const bench = returnToBaseline();

beforeEach(() => {
  jest.useFakeTimers({ doNotFake: ['nextTick', 'queueMicrotask', 'setImmediate', 'clearImmediate'] });
});

afterEach(() => {
  jest.useRealTimers();
});

for (const platform of platforms) {
  for (const transport of transports) {
    describe(`time that a test moves on: ${transport.name} on ${platform.name}`, () => {
      it('brings heartbeats, the end of a session, and the age of what is retained', async () => {
        let options = {};
        const { app, sse } = await bench.start(platform, {
          config: { heartbeatInterval: 30_000, maxHistoryAge: 3_600_000 },
          controllers: [transport.controller(() => options)],
        });
        options = { expiresAt: Date.now() + 600_000 };
        const stream = await bench.stream(app, '/events/t', { timeout: 5_000 });
        await jest.advanceTimersByTimeAsync(29_000);
        expect(stream.comments).toEqual([]);
        await jest.advanceTimersByTimeAsync(9_000);
        expect(await stream.comment()).toBe('');
        sse.broadcast('t', 'n', 1);
        expect((await stream.next()).data).toBe(1);
        await jest.advanceTimersByTimeAsync(600_000);
        await stream.next('sse.expired');
        expect(await stream.ended()).toBe('end');

        options = { since: 0 };
        expect((await (await bench.stream(app, '/events/t')).next()).data).toBe(1);
        await jest.advanceTimersByTimeAsync(3_700_000);
        const later = await bench.stream(app, '/events/t');
        sse.broadcast('t', 'n', 2);
        expect((await later.next()).data).toBe(2);
      });
    });
  }
}
