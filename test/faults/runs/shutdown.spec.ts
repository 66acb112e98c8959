import { setImmediate as turn } from 'node:timers/promises';

import { describe, expect, it } from '@jest/globals';
import type { SSEService } from 'nestjs-sse-hub';
import { TestLog } from 'nestjs-sse-hub/testing';

import { returnToBaseline, until } from '../../support/baseline.js';
import { Numbers, serveRuns } from '../../support/brokers/run-nodes.js';

const bench = returnToBaseline();

async function twoNodes() {
  const log = new TestLog();
  const views = [log.node(), log.node()] as const;
  const nodes = await Promise.all(views.map((backplane) => serveRuns(bench, { backplane })));
  const [one, two] = nodes.map(({ sse }) => sse) as [SSEService, SSEService];
  return { views, one, two };
}

describe('a run that is started while its node shuts down', () => {
  it('is refused, also where it would join one that goes on elsewhere', async () => {
    const { one, two } = await twoNodes();
    const run = two.run('answer', new Numbers(1).work);
    await run.started;
    const before = one.run('answer', new Numbers(1).work);
    await one.shutdown();
    const after = one.run('answer', new Numbers(1).work);
    for (const { done } of [before, after]) await expect(done).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
    expect(two.getRun('answer')).toMatchObject({ id: run.id, state: 'running' });
  });

  it('does no work where its node reads of its beginning when the time for work is over', async () => {
    const { views, one, two } = await twoNodes();
    const source = new Numbers(1);
    views[0].hold();
    const run = one.run('answer', source.work);
    await turn();
    // Behind the time for work, and before the log is closed.
    const presence = views[0].presence!;
    const leave = presence.leave.bind(presence);
    presence.leave = async (audience) => {
      views[0].release();
      await turn();
      await leave(audience);
    };
    await one.shutdown();
    expect(await run.done).toBe('failed');
    expect(source.signals.every(({ aborted }) => aborted)).toBe(true);
    await until('it is told as failed', () => two.getRun('answer')?.state === 'failed');
  });
});
