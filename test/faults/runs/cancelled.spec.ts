import { setImmediate as turn, setTimeout as delay } from 'node:timers/promises';

import { afterAll, describe, expect, it } from '@jest/globals';
import { TestLog } from 'nestjs-sse-hub/testing';

import { returnToBaseline, until } from '../../support/baseline.js';
import {
  expectAll,
  logKinds,
  Numbers,
  percentile,
  type RunNode,
  serveRuns,
  view,
} from '../../support/brokers/run-nodes.js';
import { note } from '../../support/measures/figures.js';
import { integer, pick, seededRandom } from '../../support/seed.js';

const bench = returnToBaseline();
const removals: (() => Promise<void>)[] = [];

// Behind the nodes of the last test.
afterAll(() => Promise.all(removals.map((remove) => remove())));

const CANCELLATIONS = 60;
const AT_A_TIME = 6;

for (const kind of logKinds) {
  (kind.isInstalled ? describe : describe.skip)(`runs on three nodes that are cancelled, with ${kind.name}`, () => {
    async function threeNodes(): Promise<RunNode[]> {
      const log = await kind.start();
      removals.push(() => log.remove());
      return Promise.all([1, 2, 3].map(() => serveRuns(bench, { backplane: log.node() })));
    }

    it(`U1: ${CANCELLATIONS} sources that hang are aborted within a second, whichever node says so, and all viewers get the end`, async () => {
      const nodes = await threeNodes();
      const random = seededRandom(1);
      const times: number[] = [];
      const cancelOne = async (topic: string): Promise<void> => {
        const [producer, canceller] = [pick(random, nodes), pick(random, nodes)];
        const source = new Numbers(3);
        const run = producer.sse.run(topic, source.work);
        await run.started;
        const viewers = await Promise.all(nodes.map((node) => view(node, topic)));
        await Promise.all(viewers.map((viewer) => viewer.messagesUpTo(3)));
        await delay(integer(random, 0, 20));
        const aborted = new Promise((resolve) => source.signal!.addEventListener('abort', resolve, { once: true }));
        const since = performance.now();
        canceller.sse.cancelRun(topic, { id: run.id, reason: 'stopped' });
        await aborted;
        times.push(performance.now() - since);
        expect(await run.done).toBe('cancelled');
        for (const viewer of viewers) await expectAll(viewer, [0, 1, 2]);
        for (const { sse } of nodes) {
          await until('the node knows', () => sse.getRun(topic)?.state !== 'running');
          expect(sse.getRun(topic)).toMatchObject({ id: run.id, state: 'cancelled', reason: 'stopped', events: 3 });
        }
      };
      for (let n = 0; n < CANCELLATIONS; n += AT_A_TIME) {
        await Promise.all(Array.from({ length: AT_A_TIME }, (_, i) => cancelOne(`answer:${n + i}`)));
      }
      const p99 = percentile(times, 0.99);
      note(`U1 (${kind.name}): aborted within ${p99.toFixed(1)} ms (p99 of ${times.length})`);
      expect(p99).toBeLessThan(1_000);
    });

    it('U3: a stop for an older run leaves the newer one alone, from whichever node', async () => {
      const nodes = await threeNodes();
      for (const [i, { sse: producer }] of nodes.entries()) {
        const topic = `answer:${i}`;
        const older = producer.run(topic, new Numbers(1).work);
        await older.started;
        const source = new Numbers(2);
        const newer = nodes[(i + 1) % 3]!.sse.run(topic, source.work, { onRunning: 'replace' });
        await newer.started;
        expect(await older.done).toBe('cancelled');
        for (const { sse } of nodes) {
          sse.cancelRun(topic, { id: older.id });
          // Behind the stop, in the log.
          await sse.publish('other', 'n', 0);
        }
        const viewers = await Promise.all(nodes.map((node) => view(node, topic)));
        await Promise.all(viewers.map((viewer) => viewer.messagesUpTo(2)));
        for (const { sse } of nodes) expect(sse.getRun(topic)).toMatchObject({ id: newer.id, state: 'running' });
        expect(source.signal!.aborted).toBe(false);
        source.finish();
        expect(await newer.done).toBe('finished');
        for (const viewer of viewers) await expectAll(viewer, [0, 1]);
      }
    });
  });
}

describe('a stop for an older run from nodes that are behind', () => {
  it('U3: leaves the newer one alone, wherever in the log they are', async () => {
    const log = new TestLog();
    const backplanes = [log.node(), log.node(), log.node()];
    const nodes = await Promise.all(backplanes.map((backplane) => serveRuns(bench, { backplane })));
    const [producer, second, late] = nodes as [RunNode, RunNode, RunNode];
    // Entries of which the last node has read so many: the older one's beginning, events and end, the newer one's beginning.
    for (let read = 0; read < 8; read++) {
      const topic = `answer:${read}`;
      backplanes[2]!.hold();
      const older = producer.sse.run(topic, new Numbers(2).work, { cancelled: { data: 'stopped' } });
      await until('it has begun', () => second.sse.getRun(topic)?.events === 2);
      const source = new Numbers(2);
      const newer = second.sse.run(topic, source.work, { onRunning: 'replace', cancelled: { data: 'never' } });
      await until('the newer one goes on', () => producer.sse.getRun(topic)?.events === 2);
      backplanes[2]!.readSome(read);
      for (const { sse } of nodes) sse.cancelRun(topic, { id: older.id });
      await turn();
      expect(source.signal!.aborted).toBe(false);
      backplanes[2]!.release();
      for (const { sse } of nodes) expect(sse.getRun(topic)).toMatchObject({ id: newer.id, state: 'running' });
      const viewer = await view(late, topic);
      source.finish();
      expect(await Promise.all([older.done, newer.done])).toEqual(['cancelled', 'finished']);
      await expectAll(viewer, [0, 1]);
    }
  });
});
