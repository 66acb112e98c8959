import { setTimeout as delay } from 'node:timers/promises';

import { describe, expect, it } from '@jest/globals';
import { type SSEService } from 'nestjs-sse-hub';
import { TestLog, type TestNode } from 'nestjs-sse-hub/testing';

import type { Entry, EventEntry } from '../../../src/protocol/entry.js';
import { returnToBaseline, until } from '../../support/baseline.js';
import { LogRecorder } from '../../support/brokers/log-recorder.js';
import { expectAll, Numbers, type RunNode, serveRuns, view } from '../../support/brokers/run-nodes.js';

const bench = returnToBaseline();

async function twoNodes(log = new TestLog()) {
  const views = [log.node(), log.node()] as [TestNode, TestNode];
  const nodes = (await Promise.all(views.map((backplane) => serveRuns(bench, { backplane })))) as [RunNode, RunNode];
  const [one, two] = nodes.map(({ sse }) => sse) as [SSEService, SSEService];
  return { log, views, nodes, one, two };
}

function eventOf(run: string, n: number, more: Partial<EventEntry> = {}): EventEntry {
  return { kind: 'event', topic: 'answer', run, n, data: String(n), ...more };
}

describe('entries of runs that come in an order of their own', () => {
  it('let a run come out as its viewers were told, where two say at once how it ends', async () => {
    const { log, nodes, one, two } = await twoNodes();
    const source = new Numbers(1);
    const run = one.run('answer', source.work, { last: { data: 'last' } });
    await until('it goes on', () => two.getRun('answer')?.events === 1);
    const viewers = await Promise.all(nodes.map((node) => view(node, 'answer')));
    // Of a node that cancels it, which says so in two entries; those of its own node come in between.
    await log.append(eventOf(run.id, 1, { data: '"stopped"', ends: 'cancelled' }));
    source.finish();
    expect(await run.done).toBe('cancelled');
    await log.append({ kind: 'endRun', topic: 'answer', run: run.id, outcome: 'cancelled', reason: 'stopped' });
    for (const viewer of viewers) await expectAll(viewer, [0, 'stopped']);
    for (const sse of [one, two]) expect(sse.getRun('answer')).toMatchObject({ state: 'cancelled' });
  });

  it('end a run that was only said to end, because the node that cancelled it died in the midst of that', async () => {
    const { log, nodes, one, two } = await twoNodes();
    const source = new Numbers(1);
    const run = one.run('answer', source.work);
    await until('it goes on', () => two.getRun('answer')?.events === 1);
    const viewers = await Promise.all(nodes.map((node) => view(node, 'answer')));
    await log.append(eventOf(run.id, 1, { data: '"stopped"', ends: 'cancelled' }));
    expect(await run.done).toBe('cancelled');
    expect(source.signal!.aborted).toBe(true);
    for (const viewer of viewers) await expectAll(viewer, [0, 'stopped']);
  });

  it('begin no run for the second time', async () => {
    const { log, nodes, one, two } = await twoNodes();
    const recorder = new LogRecorder();
    await log.start(recorder);
    const run = one.run('answer', () => [0, 1]);
    expect(await run.done).toBe('finished');
    // Its node had missed something, and could not know that the log had it.
    await log.append(recorder.entries.find(({ entry }) => entry?.kind === 'run')!.entry!);
    for (const sse of [one, two]) expect(sse.getRun('answer')).toMatchObject({ id: run.id, state: 'finished' });
    for (const node of nodes) await expectAll(await view(node, 'answer'), [0, 1]);
  });

  it('let no run go on that is over where its end was missed and something of it comes behind that', async () => {
    const { log, views, one, two } = await twoNodes();
    const [source, other] = [new Numbers(2), new Numbers(1)];
    await one.run('other', other.work).started;
    const run = one.run('answer', source.work);
    await until('it goes on', () => two.getRun('answer')?.events === 2);
    views[1].hold();
    two.cancelRun('answer', { id: run.id });
    expect(await run.done).toBe('cancelled');
    views[1].lose(1);
    await log.append(eventOf(run.id, 2));
    views[1].release();
    expect(two.getRun('answer')).toMatchObject({ state: 'running' });
    // Its node lives, and has another one: nobody will find that it is dead.
    const joined = two.run('answer', () => [1]);
    expect(await joined.done).toBe('failed');
    expect(two.getRun('other')).toMatchObject({ state: 'running' });
    expect(other.signal!.aborted).toBe(false);
    other.finish();
  });

  it('say of more runs than one entry holds that they go on', async () => {
    const { log, one, two } = await twoNodes();
    const recorder = new LogRecorder();
    await log.start(recorder);
    const topics = Array.from({ length: 1_100 }, (_, i) => `many:${i}`);
    const sources = topics.map(() => new Numbers(0));
    const runs = topics.map((topic, i) => one.run(topic, sources[i]!.work));
    await delay(6_500);
    const signs = recorder.entries.flatMap(({ entry }) => (entry?.kind === 'signOfRuns' ? [entry.runs] : []));
    for (const named of signs) expect(Object.keys(named).length).toBeLessThanOrEqual(1_000);
    expect(new Set(signs.flatMap(Object.keys))).toEqual(new Set(topics));
    expect(topics.filter((topic) => two.getRun(topic)?.state !== 'running')).toEqual([]);
    for (const source of sources) source.finish();
    await Promise.all(runs.map(({ done }) => done));
  });

  it('let no node be dead that is asked for a sign while an answer to its last one is outstanding', async () => {
    const signs: number[] = [];
    /** Takes everything at once, and is slow to say so. */
    class SlowLog extends TestLog {
      override async append(entry: Entry) {
        const stored = super.append(entry);
        if (entry.kind === 'signOfRuns') {
          signs.push(performance.now());
          await delay(6_000, undefined, { ref: false });
        }
        return stored;
      }
    }
    const { log, one, two } = await twoNodes(new SlowLog());
    const source = new Numbers(1);
    const run = one.run('answer', source.work);
    await until('it has given a sign', () => signs.length > 0);
    await log.append({ kind: 'doubtRuns', node: two.getRun('answer')!.node });
    await delay(4_000);
    for (const sse of [one, two]) expect(sse.getRun('answer')).toMatchObject({ id: run.id, state: 'running' });
    source.finish();
    expect(await run.done).toBe('finished');
  });
});
