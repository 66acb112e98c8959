import { describe, expect, it } from '@jest/globals';
import { SSEService } from 'nestjs-sse-hub';
import { TestLog } from 'nestjs-sse-hub/testing';

import { returnToBaseline } from '../support/baseline.js';
import { platforms } from '../support/platforms.js';
import { direct } from '../support/stream-controllers.js';

const bench = returnToBaseline();
const [platform] = platforms;
const SHORT = { timeout: 5_000 };

async function startTwo() {
  const log = new TestLog();
  const nodes = [log.node(), log.node()] as const;
  const start = (backplane: (typeof nodes)[number]) =>
    bench.start(platform!, { config: { backplane }, controllers: [direct.controller()] });
  return { log, nodes, apps: [await start(nodes[0]), await start(nodes[1])] as const };
}

function observed(sse: SSEService): unknown[] {
  const data: unknown[] = [];
  const watching = sse.observe('t').subscribe((event) => data.push(event.data));
  bench.onEnd(() => watching.unsubscribe());
  return data;
}

describe('two nodes on one log for tests', () => {
  it('hear each other before broadcast returns, and a node that starts later hears what was before', async () => {
    const { log, apps } = await startTwo();
    const seen = observed(apps[1].sse);
    apps[0].sse.broadcast('t', 'n', 1);
    expect(seen).toEqual([1]);
    const { app } = await bench.start(platform!, {
      config: { backplane: log.node() },
      controllers: [direct.controller(() => ({ since: 0 }))],
    });
    expect((await (await bench.stream(app, '/events/t', SHORT)).next()).data).toBe(1);
  });

  it('a stream comes back on the other one', async () => {
    const { apps } = await startTwo();
    const stream = await bench.stream(apps[0].app, '/events/t', SHORT);
    stream.cut();
    apps[0].sse.broadcast('t', 'n', 1);
    await stream.resume(apps[1].app);
    expect(stream.opened?.resumed).toBe('full');
    expect((await stream.next()).data).toBe(1);
  });

  it('one that holds reads later, in order, also in part', async () => {
    const { nodes, apps } = await startTwo();
    const seen = observed(apps[1].sse);
    nodes[1].hold();
    for (let n = 1; n <= 4; n++) apps[0].sse.broadcast('t', 'n', n);
    expect(seen).toEqual([]);
    nodes[1].readSome(2);
    expect(seen).toEqual([1, 2]);
    nodes[1].release();
    apps[0].sse.broadcast('t', 'n', 5);
    expect(seen).toEqual([1, 2, 3, 4, 5]);
  });

  it('what is published while what was held back is read comes behind it', async () => {
    const { nodes, apps } = await startTwo();
    const seen = observed(apps[1].sse);
    const again = apps[1].sse.observe('t').subscribe(({ data }) => {
      if (data === 1) apps[1].sse.broadcast('t', 'n', 'from within');
    });
    nodes[1].hold();
    apps[0].sse.broadcast('t', 'n', 1);
    apps[0].sse.broadcast('t', 'n', 2);
    nodes[1].release();
    again.unsubscribe();
    expect(seen).toEqual([1, 2, 'from within']);
  });

  it('one that has lost entries tells its streams, and the other one does not', async () => {
    const { nodes, apps } = await startTwo();
    const streams = [
      await bench.stream(apps[0].app, '/events/t', SHORT),
      await bench.stream(apps[1].app, '/events/t', SHORT),
    ] as const;
    nodes[1].lose(2);
    for (let n = 1; n <= 3; n++) apps[0].sse.broadcast('t', 'n', n);
    expect((await streams[0].take(3)).map(({ data }) => data)).toEqual([1, 2, 3]);
    await expect(streams[1].next()).rejects.toThrow(/^events are lost: 'sse.reset'/);
    expect((await streams[1].next('sse.reset')).data).toMatchObject({ topics: ['t'] });
    expect((await streams[1].next()).data).toBe(3);
  });

  it('one that is down refuses publish(), keeps broadcasts, and has all when it is up', async () => {
    const { nodes, apps } = await startTwo();
    const [here, there] = apps.map(({ sse }) => observed(sse));
    nodes[0].down();
    expect(apps[0].sse.stats().backplane.status).toBe('down');
    await expect(apps[0].sse.publish('t', 'n', 0)).rejects.toMatchObject({ code: 'BACKPLANE_UNAVAILABLE' });
    apps[0].sse.broadcast('t', 'n', 'mine');
    apps[1].sse.broadcast('t', 'n', 'of the other');
    expect([here, there]).toEqual([[], ['of the other']]);
    nodes[0].up();
    await apps[0].sse.publish('t', 'n', 'last');
    expect(here).toEqual(['of the other', 'mine', 'last']);
    expect(there).toEqual(here);
  });

  it('one that is closed while it is down keeps nobody waiting', async () => {
    const node = new TestLog().node();
    const sse = new SSEService({ backplane: node });
    await sse.start();
    node.down();
    sse.broadcast('t', 'n', 1);
    await sse.shutdown();
    expect(sse.stats().publishFailures).toBe(1);
  });

  it('that comes back empty is another epoch, told to all', async () => {
    const { log, apps } = await startTwo();
    const streams = await Promise.all(apps.map(({ app }) => bench.stream(app, '/events/t', SHORT)));
    apps[0].sse.broadcast('t', 'n', 1);
    for (const stream of streams) await stream.next();
    log.flush();
    apps[1].sse.broadcast('t', 'n', 2);
    for (const stream of streams) {
      expect((await stream.next('sse.reset')).data.reason).toBe('epoch');
      expect((await stream.next()).data).toBe(2);
    }
  });
});
