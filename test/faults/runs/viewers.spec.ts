import { describe, expect, it } from '@jest/globals';
import { TestLog } from 'nestjs-sse-hub/testing';

import { returnToBaseline, until } from '../../support/baseline.js';
import { expectAll, Numbers, type RunNode, serveRuns, view } from '../../support/brokers/run-nodes.js';
import type { EventStream } from '../../support/readers/event-stream.js';
import { integer, pick, seededRandom } from '../../support/seed.js';

const bench = returnToBaseline();

const VIEWERS = 100;
const EVENTS = 500;

function numbers(count: number): number[] {
  return Array.from({ length: count }, (_, n) => n);
}

describe('a run whose viewers leave', () => {
  it(`U2: goes on when ${VIEWERS} of them are cut off, and who comes then gets all of it`, async () => {
    const random = seededRandom(2);
    const log = new TestLog();
    const nodes = [
      await serveRuns(bench, { backplane: log.node() }),
      await serveRuns(bench, { backplane: log.node() }),
    ] as [RunNode, RunNode];
    const source = new Numbers(EVENTS, 1);
    const run = nodes[0].sse.run('answer', source.work);
    const leave = async (viewer: EventStream): Promise<void> => {
      const places = numbers(integer(random, 0, 50));
      await viewer.until(() => viewer.messages.length >= places.length);
      expect(viewer.data.slice(0, places.length)).toEqual(places);
      viewer.socket.resetAndDestroy();
      await viewer.untilEnd();
    };
    await Promise.all(numbers(VIEWERS).map(async () => leave(await view(pick(random, nodes), 'answer'))));
    await until('all are gone', () => nodes.every(({ sse }) => sse.stats().clients === 0));
    expect(source.signal!.aborted).toBe(false);
    const then = source.given;
    expect(then).toBeLessThan(EVENTS);
    const late = await Promise.all(nodes.map((node) => view(node, 'answer')));
    await until('it goes on', () => source.given > then + 10);
    await Promise.all(late.map((viewer) => viewer.messagesUpTo(EVENTS)));
    source.finish();
    expect(await run.done).toBe('finished');
    for (const viewer of late) await expectAll(viewer, numbers(EVENTS));
    for (const node of nodes) await expectAll(await view(node, 'answer'), numbers(EVENTS));
    expect(source.signals).toHaveLength(1);
  });
});
