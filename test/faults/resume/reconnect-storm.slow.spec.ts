import { fork } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { afterEach, describe, expect, it, jest } from '@jest/globals';

import { returnToBaseline, until, untilIdle } from '../../support/baseline.js';
import { EventLoopWatch } from '../../support/measures/event-loop.js';
import { note, record } from '../../support/measures/figures.js';
import { heapAndBuffers, MiB } from '../../support/measures/memory.js';
import { amount } from '../../support/measures/scale.js';
import { platforms, startApp } from '../../support/platforms.js';
import { Visitors } from '../../support/processes/visitors.js';
import { open } from '../../support/readers/event-stream.js';
import { ROOT } from '../../support/root.js';
import { direct, nestSse } from '../../support/stream-controllers.js';
import { TestHub, turn } from '../../support/test-hub.js';

let visitors: Visitors | undefined;

afterEach(async () => {
  await visitors?.leave();
  visitors = undefined;
});

returnToBaseline();

for (const platform of platforms) {
  for (const { transport, clients } of [
    { transport: direct, clients: 1_000 },
    { transport: nestSse, clients: amount(1_000, 100) },
  ]) {
    describe(`a reconnect storm through ${transport.name} on ${platform.name}`, () => {
      it(`R12: serves ${clients} clients that are 1,000 events behind without blocking the event loop`, async () => {
        const { url, sse } = await startApp(platform, {
          config: { maxClients: 2_000 },
          controllers: [transport.controller()],
        });
        const first = await open(`${url}/events/t`);
        await first.next();
        first.close();
        const payload = 'x'.repeat(60);
        for (let n = 0; n < 1_000; n++) sse.broadcast('t', 'n', { n, payload });
        await sleep(100);
        const before = await heapAndBuffers();
        // A busy machine makes also what is counted in time of the processor longer: the best of several is nearest to what
        // the hub takes.
        const blocks: number[] = [];
        const begin = () => storm({ url: `${url}/events/t`, clients, lastEventId: first.lastEventId, expected: 1_000 });
        while (blocks.length < 5 && !(Math.min(...blocks) < 50)) {
          const watch = new EventLoopWatch();
          await begin();
          blocks.push(watch.stop().p99);
        }
        // Once more, because to look at the memory blocks the event loop; not often, because it takes both cores.
        let peak = 0;
        const { delivered } = sse.stats();
        const over = begin();
        for (const part of [0.2, 0.4, 0.6, 0.8]) {
          await until(`${part} of it is delivered`, () => sse.stats().delivered - delivered >= part * clients * 1_000);
          peak = Math.max(peak, await heapAndBuffers());
        }
        await over;
        await untilIdle(sse);
        const [during, afterwards] = [peak, await heapAndBuffers()].map((bytes) => (bytes - before) / MiB);
        note(
          `R12: ${transport.name} on ${platform.name}: the event loop at work without a pause for ` +
            `${blocks.map((ms) => ms.toFixed(1)).join(', ')} ms (p99), memory +${during!.toFixed(0)} MiB meanwhile, ` +
            `+${afterwards!.toFixed(0)} MiB afterwards`,
        );
        expect(Math.min(...blocks)).toBeLessThan(50);
        // What is on its way to a client at most, and not what it is behind: that would be 120 MiB.
        expect(during).toBeLessThan(32);
        expect(afterwards).toBeLessThan(16);
        expect(sse.stats().resets).toEqual({});
      });
    });
  }
}

describe('a resume beside busy topics', () => {
  it('R12: looks at what it gets, not at what others published meanwhile', async () => {
    const test = new TestHub({ maxHistorySize: Infinity });
    const missed = (n: number): boolean => n % 1_000 === 0;
    for (let n = 0; n < 20_000; n++) test.publish(missed(n) ? 'quiet' : `busy:${n % 7}`, String(n));
    await turn();
    const look = jest.spyOn(test.hub.log, 'itemAt');
    const { transport } = test.connect({ topics: ['quiet', 'other'], lastEventId: test.log.cursors[0]! });
    await turn();
    expect(transport.lines).toEqual(['open full', ...Array.from({ length: 19 }, (_, i) => `${(i + 1) * 1_000}`)]);
    expect(look.mock.calls.length).toBeLessThan(100);
  });

  it('R12: sends a turn to many different clients without looking at all of it for each', async () => {
    const test = new TestHub();
    const connections = Array.from({ length: 300 }, (_, i) => test.connect({ topics: [`user:${i}`] }));
    await turn();
    const look = jest.spyOn(test.hub.log, 'itemAt');
    for (let i = 0; i < 300; i++) test.publish(`user:${i}`, String(i));
    await turn();
    expect(connections.map(({ transport }) => transport.lines[1])).toEqual(connections.map((_, i) => String(i)));
    expect(look.mock.calls.length).toBeLessThan(300 * 10);
  });
});

interface Storm {
  readonly url: string;
  readonly clients: number;
  readonly lastEventId: string;
  /** Events that each of them is behind. */
  readonly expected: number;
}

/** Settles when all of them have everything, once and in order. */
async function storm(wanted: Storm): Promise<void> {
  const program = fork(join(ROOT, 'test/support/processes/storm-process.js'), [JSON.stringify(wanted)], {
    execArgv: [],
  });
  const [clients] = (await once(program, 'message')) as [readonly { events: number; wrong: number }[]];
  const { clients: count, expected } = wanted;
  expect(clients).toEqual(Array.from({ length: count }, () => ({ events: expected, wrong: 0 })));
  record({ checked: count });
}
