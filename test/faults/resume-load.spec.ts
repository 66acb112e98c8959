import { monitorEventLoopDelay } from 'node:perf_hooks';
import { Worker } from 'node:worker_threads';

import { afterEach, describe, expect, it } from '@jest/globals';

import { Checker } from '../support/checker.js';
import { type EventStream, open, type ReceivedEvent } from '../support/event-stream.js';
import { closeAll, platforms, startApp } from '../support/platforms.js';
import { pick, seededRandom } from '../support/seed.js';
import { direct, nestSse } from '../support/stream-controllers.js';

afterEach(closeAll);

/** `FAULT_SECONDS=60` for the long run. */
const SECONDS = Number(process.env['FAULT_SECONDS'] ?? 5);
const CLIENTS = 200;
const EVENTS_PER_SECOND = 5_000;
const TOPICS = Array.from({ length: 100 }, (_, i) => `topic:${i}`);

const sleep = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

for (const platform of platforms) {
  for (const transport of [direct, nestSse]) {
    describe(`${transport.name} on ${platform.name}`, () => {
      it(
        `R1: sends each event once to ${CLIENTS} clients that disconnect at random while events are being published`,
        async () => {
          const random = seededRandom();
          const { url, sse } = await startApp(platform, {
            // Enough for whoever is away for long on a busy machine, so that no reset excuses anything.
            config: { maxHistorySize: Infinity, maxHistoryBytes: 2 ** 30 },
            controllers: [transport.controller()],
          });
          const checker = new Checker();
          let publishing = true;
          let n = 0;

          const publishAll = async (): Promise<void> => {
            const perTick = EVENTS_PER_SECOND / 100;
            const begin = performance.now();
            while (performance.now() - begin < SECONDS * 1_000) {
              const due = Math.ceil((performance.now() - begin) / 10) * perTick;
              while (n < due) {
                const topic = TOPICS[Math.floor(random() * TOPICS.length)]!;
                const number = n++;
                void sse.publish(topic, 'n', { topic, n: number }).then((cursor) => {
                  checker.recordPublished(cursor, topic, number);
                });
              }
              await sleep(5);
            }
            publishing = false;
          };

          const follow = async (): Promise<string[]> => {
            const topics = TOPICS.filter(() => random() < 0.015);
            if (topics.length === 0) topics.push(pick(random, TOPICS));
            const received: ReceivedEvent[] = [];
            let lastEventId = '';
            for (;;) {
              const stream: EventStream = await open(`${url}/events/${topics.join(',')}`, { lastEventId });
              if (publishing) {
                await sleep(random() * 600);
              } else {
                await stream.until(() => checker.placeOf(stream.lastEventId) >= checker.newestOf(topics));
              }
              stream.close();
              received.push(...stream.events);
              lastEventId = stream.lastEventId || lastEventId;
              if (!publishing && checker.placeOf(lastEventId) >= checker.newestOf(topics)) break;
            }
            return checker.faultsOf(topics, received);
          };

          const clients = Array.from({ length: CLIENTS }, follow);
          await publishAll();
          const faults = (await Promise.all(clients)).flat();
          expect(faults.slice(0, 5)).toEqual([]);
          expect(checker.size).toBe(n);
          const { delivered, replayed, resets } = sse.stats();
          console.info(
            `${transport.name} on ${platform.name}: ${n} published, ${delivered} delivered, ${replayed} replayed`,
          );
          expect(resets).toEqual({});
          expect(replayed).toBeGreaterThan(0);
          while (sse.getClientCount() > 0) await sleep(10);
          expect(sse.stats().topics).toBe(0);
        },
        SECONDS * 1_000 + 60_000,
      );
    });
  }

  describe(`a reconnect storm on ${platform.name}`, () => {
    it('R12: serves 1,000 clients that are 1,000 events behind without blocking the event loop', async () => {
      const { url, sse } = await startApp(platform, {
        config: { maxClients: 2_000 },
        controllers: [direct.controller()],
      });
      const first = await open(`${url}/events/t`);
      await first.next();
      first.close();
      const payload = 'x'.repeat(60);
      for (let n = 0; n < 1_000; n++) sse.broadcast('t', 'n', { n, payload });
      await sleep(100);
      const before = process.memoryUsage().rss;
      // What else runs on the machine can only add to the delay: the best of three is nearest to what the hub takes.
      const delays: number[] = [];
      while (delays.length < 3 && !(Math.min(...delays) < 50)) {
        const delay = monitorEventLoopDelay({ resolution: 5 });
        delay.enable();
        const counts = await storm({
          url: `${url}/events/t`,
          clients: 1_000,
          lastEventId: first.lastEventId,
          expected: 1_000,
        });
        delay.disable();
        expect(counts).toEqual(Array.from({ length: 1_000 }, () => 1_000));
        delays.push(delay.percentile(99) / 1e6);
      }
      const grown = (process.memoryUsage().rss - before) / 1_048_576;
      console.info(
        `${platform.name}: event loop delay p99 ${delays.map((ms) => ms.toFixed(1)).join(', ')} ms, ` +
          `memory +${grown.toFixed(0)} MiB, ${sse.stats().delivered} delivered`,
      );
      expect(Math.min(...delays)).toBeLessThan(50);
      expect(grown).toBeLessThan(400);
      expect(sse.stats().resets).toEqual({});
    }, 60_000);
  });
}

function storm(workerData: { url: string; clients: number; lastEventId: string; expected: number }): Promise<number[]> {
  const worker = new Worker(new URL('../support/storm.js', import.meta.url), { workerData });
  return new Promise((resolve, reject) => {
    worker.once('message', resolve);
    worker.once('error', reject);
  });
}
