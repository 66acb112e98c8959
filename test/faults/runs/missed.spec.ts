import { setImmediate as turn } from 'node:timers/promises';

import { describe, expect, it } from '@jest/globals';
import type { SSEService } from 'nestjs-sse-hub';
import { TestLog, type TestNode } from 'nestjs-sse-hub/testing';

import { returnToBaseline, until } from '../../support/baseline.js';
import { Numbers, type RunNode, serveRuns, view } from '../../support/brokers/run-nodes.js';

const bench = returnToBaseline();

async function twoNodes() {
  const log = new TestLog();
  const views = [log.node(), log.node()] as [TestNode, TestNode];
  const nodes = await Promise.all(views.map((backplane) => serveRuns(bench, { backplane })));
  const [one, two] = nodes.map(({ sse }) => sse) as [SSEService, SSEService];
  return { log, views, one, two, nodes: nodes as [RunNode, RunNode] };
}

describe('a run whose node misses something', () => {
  // Together, because each of them waits until its node knows enough.
  it('goes on where that was before its beginning, however it was started', async () => {
    const ways = ['join', 'replace', 'reject'] as const;
    await Promise.all(
      ways.map(async (onRunning) => {
        const { views, one, two } = await twoNodes();
        views[0].hold();
        await two.publish('other', 'n', 1);
        const source = new Numbers(2);
        const run = one.run('answer', source.work, { onRunning });
        await turn();
        views[0].lose(1);
        views[0].release();
        await run.started;
        await until('all nodes have its events', () => [one, two].every((sse) => sse.getRun('answer')?.events === 2));
        expect(source.signals.map(({ aborted }) => aborted)).toEqual([false]);
        source.finish();
        expect(await run.done).toBe('finished');
        expect(two.getRun('answer')).toMatchObject({ id: run.id, state: 'finished' });
      }),
    );
  });

  it('is over where that was its beginning, and its end was read', async () => {
    const { views, one, two } = await twoNodes();
    views[0].hold();
    const source = new Numbers(2);
    const run = one.run('answer', source.work);
    await until('it is known', () => two.getRun('answer')?.id === run.id);
    two.cancelRun('answer');
    views[0].lose(1);
    views[0].release();
    expect(await run.done).toBe('cancelled');
    expect([one, two].map((sse) => sse.getRun('answer')?.state)).toEqual(['cancelled', 'cancelled']);
    expect(source.signals).toEqual([]);
  });

  it('learns that it is over, and what goes on there instead, when it missed both', async () => {
    const { views, one, two, nodes } = await twoNodes();
    const [source, newSource] = [new Numbers(2), new Numbers(3, 0, 100)];
    const run = one.run('answer', source.work);
    await until('it goes on', () => two.getRun('answer')?.events === 2);
    views[0].hold();
    two.cancelRun('answer');
    const newer = two.run('answer', newSource.work);
    await until('the newer one goes on', () => two.getRun('answer')?.events === 3);
    views[0].lose(5);
    views[0].release();
    await two.publish('other', 'n', 1);
    expect(await run.done).toBe('failed');
    expect(source.signal!.aborted).toBe(true);
    await until('its node knows the newer one', () => one.getRun('answer')?.id === newer.id);
    expect([one, two].map((sse) => sse.getRun('answer')?.state)).toEqual(['running', 'running']);
    expect(newSource.signal!.aborted).toBe(false);
    const viewer = await view(nodes[0], 'answer');
    newSource.finish();
    expect(await newer.done).toBe('finished');
    await viewer.untilEnd();
    expect([one, two].map((sse) => sse.getRun('answer')?.state)).toEqual(['finished', 'finished']);
  });

  it('comes to its end where the log was emptied before that was read', async () => {
    const { log, views, one, two } = await twoNodes();
    const source = new Numbers(2);
    const run = one.run('answer', source.work, { last: { data: 'last' } });
    await until('it goes on', () => two.getRun('answer')?.events === 2);
    views[0].hold();
    source.finish();
    await until('it is over', () => two.getRun('answer')?.state === 'finished');
    log.flush();
    views[0].release();
    expect(await run.done).toBe('finished');
    expect([one, two].map((sse) => sse.getRun('answer')?.state)).toEqual(['finished', 'finished']);
  });
});
