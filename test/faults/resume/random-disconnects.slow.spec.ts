import { setTimeout as sleep } from 'node:timers/promises';

import { afterEach, describe, expect, it } from '@jest/globals';
import type { SSEService } from 'nestjs-sse-hub';

import { returnToBaseline, untilIdle } from '../../support/baseline.js';
import { note, record } from '../../support/measures/figures.js';
import { platforms, startApp } from '../../support/platforms.js';
import { Visitors } from '../../support/processes/visitors.js';
import type { Tally } from '../../support/readers/sequence.js';
import { pick, seededRandom } from '../../support/seed.js';
import { direct, nestSse } from '../../support/stream-controllers.js';

/** `FAULT_SECONDS=60` for the long run. */
const SECONDS = Number(process.env['FAULT_SECONDS'] ?? 5);
const CLIENTS = 200;
const EVENTS_PER_SECOND = 5_000;
const TOPICS = Array.from({ length: 100 }, (_, i) => `topic:${i}`);

let visitors: Visitors | undefined;

afterEach(async () => {
  await visitors?.leave();
  visitors = undefined;
});

returnToBaseline();

/** Publishes on random topics, at this rate however late the timer is; answers with how much each topic had. */
async function publishAll(sse: SSEService): Promise<Record<string, number>> {
  const random = seededRandom();
  const published = Object.fromEntries(TOPICS.map((topic) => [topic, 0]));
  const begin = performance.now();
  for (let count = 0; count < SECONDS * EVENTS_PER_SECOND;) {
    const due = Math.min(((performance.now() - begin) / 1_000) * EVENTS_PER_SECOND, SECONDS * EVENTS_PER_SECOND);
    for (; count < due; count++) {
      const topic = pick(random, TOPICS);
      sse.broadcast(topic, 'n', { topic, n: published[topic]!++ });
    }
    await sleep(5);
  }
  return published;
}

for (const platform of platforms) {
  for (const transport of [direct, nestSse]) {
    describe(`${transport.name} on ${platform.name}`, () => {
      it(`R1: sends each event once to ${CLIENTS} clients that disconnect at random while events are being published`, async () => {
        const { url, sse } = await startApp(platform, {
          // More than anybody is away for, so that no reset excuses anything.
          config: { maxHistorySize: Infinity, maxHistoryAge: 600_000, maxHistoryBytes: 2 ** 30 },
          controllers: [transport.controller()],
        });
        visitors = await Visitors.enter({ url: `${url}/events`, topics: TOPICS, clients: CLIENTS });
        const published = await publishAll(sse);
        const { tallies, reconnects } = await visitors.finish(published);

        const sum = (of: (tally: Tally) => number): number => tallies.reduce((all, tally) => all + of(tally), 0);
        const { delivered, replayed, resets } = sse.stats();
        const figures = {
          published: SECONDS * EVENTS_PER_SECOND,
          delivered,
          received: sum(({ received }) => received),
          replayed,
          reconnects,
          resets: sum(({ resets }) => resets),
          losses: sum(({ losses }) => losses),
          duplicates: sum(({ duplicates }) => duplicates),
        };
        record({ checked: tallies.length, losses: figures.losses, duplicates: figures.duplicates });
        note(`R1: ${transport.name} on ${platform.name}: ${JSON.stringify(figures)}`);
        expect(tallies.flatMap(({ faults }) => faults).slice(0, 5)).toEqual([]);
        expect(tallies).toHaveLength(CLIENTS);
        expect(figures).toMatchObject({ resets: 0, losses: 0, duplicates: 0 });
        expect(resets).toEqual({});
        expect(replayed).toBeGreaterThan(0);
        expect(reconnects).toBeGreaterThan(CLIENTS);
        await untilIdle(sse);
      });
    });
  }
}
