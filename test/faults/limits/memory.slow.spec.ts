import { setTimeout as delay } from 'node:timers/promises';

import { describe, expect, it } from '@jest/globals';
import { SSEService } from 'nestjs-sse-hub';

import { returnToBaseline, until } from '../../support/baseline.js';
import { heap, MiB } from '../../support/measures/memory.js';
import { amount } from '../../support/measures/scale.js';

const bench = returnToBaseline();

const TOPICS = amount(1_000_000, 100_000);
const TIME = 120_000;

describe('SSEService', () => {
  it(
    `L3: ${TOPICS} topics that were followed once leave nothing behind`,
    async () => {
      const sse = bench.watch(new SSEService());
      const follow = (i: number): void => {
        const following = sse.stream(`followed:${i}`).subscribe();
        if (i % 2 === 0) sse.broadcast(`elsewhere:${i % 10}`, 'n', i);
        following.unsubscribe();
      };
      for (let i = 0; i < 1_000; i++) follow(i);
      const before = await heap();
      for (let i = 0; i < TOPICS; i++) {
        follow(i);
        if (i % 10_000 === 0) await delay(0);
      }
      // Topics at 200 bytes and more each, if only their names were kept.
      expect((await heap()) - before).toBeLessThan(8 * MiB);
      expect(sse.stats()).toMatchObject({ clients: 0, topics: 0 });
    },
    TIME,
  );

  it(
    `L3: one client that follows and unfollows ${TOPICS} topics leaves nothing behind`,
    async () => {
      const sse = bench.watch(new SSEService());
      const client = sse.stream('own', { id: 'c' }).subscribe();
      const before = await heap();
      for (let i = 0; i < TOPICS; i++) {
        sse.subscribe('c', `followed:${i}`);
        sse.unsubscribe('c', `followed:${i}`);
        if (i % 10_000 === 0) await delay(0);
      }
      expect((await heap()) - before).toBeLessThan(8 * MiB);
      expect(sse.stats()).toMatchObject({ clients: 1, topics: 1 });
      client.unsubscribe();
    },
    TIME,
  );

  it(
    `L3: the history of ${TOPICS} topics that nobody follows stays within maxHistoryBytes`,
    async () => {
      const maxHistoryBytes = 8 * MiB;
      const sse = bench.watch(new SSEService({ maxHistoryBytes, maxHistorySize: 10 }));
      const before = await heap();
      for (let i = 0; i < TOPICS; i++) {
        sse.broadcast(`unheard:${i}`, 'n', { n: i });
        if (i % 10_000 === 0) {
          await delay(0);
          expect(sse.stats().history.bytes).toBeLessThanOrEqual(maxHistoryBytes);
        }
      }
      const { history, topics, published } = sse.stats();
      expect({ topics, published }).toEqual({ topics: 0, published: TOPICS });
      expect(history.bytes).toBeLessThanOrEqual(maxHistoryBytes);
      expect(history.events).toBeGreaterThan(1_000);
      // The budget is what it says, not what the data alone would take.
      expect((await heap()) - before).toBeLessThan(2 * maxHistoryBytes);
    },
    TIME,
  );

  it(
    `L3: with histories that keep nothing, publishing to ${TOPICS} topics leaves nothing behind`,
    async () => {
      const sse = bench.watch(new SSEService({ maxHistorySize: 0 }));
      for (let i = 0; i < 1_000; i++) sse.broadcast(`unheard:${i}`, 'n', i);
      const before = await heap();
      for (let i = 0; i < TOPICS; i++) {
        sse.broadcast(`unheard:${i}`, 'n', i);
        if (i % 10_000 === 0) await delay(0);
      }
      expect((await heap()) - before).toBeLessThan(8 * MiB);
      expect(sse.stats().history.events).toBe(0);
    },
    TIME,
  );

  it(
    'L3: finished topics take no more than history may, and the oldest are forgotten first',
    async () => {
      const sse = bench.watch(new SSEService({ maxHistorySize: 0, maxHistoryBytes: 8 * MiB }));
      const close = async (from: number, to: number): Promise<void> => {
        for (let i = from; i < to; i++) {
          sse.closeTopic(`finished:${i}`);
          if (i % 10_000 === 0) await delay(0);
        }
        const isForgotten = (): boolean => {
          try {
            // One of the last that there is no room for: the first may be forgotten while others are still being closed.
            sse.broadcast(`finished:${to - 25_000}`, 'n', 1);
            return true;
          } catch {
            return false;
          }
        };
        await until('those that history has no room for are forgotten', isForgotten);
      };
      await close(0, 100_000);
      const before = await heap();
      await close(100_000, 200_000);
      expect((await heap()) - before).toBeLessThan(4 * MiB);
      expect(sse.stats().history.bytes).toBeLessThanOrEqual(8 * MiB);
      expect(() => sse.broadcast('finished:199999', 'n', 1)).toThrow(expect.objectContaining({ code: 'TOPIC_CLOSED' }));
    },
    TIME,
  );
});
