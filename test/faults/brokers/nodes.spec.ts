import { setTimeout as delay } from 'node:timers/promises';

import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { withTimeout } from '../../../src/backplane/broker/with-timeout.js';
import { until } from '../../support/baseline.js';
import { type BrokerKind, brokerKinds } from '../../support/brokers/brokers.js';
import { DRAIN_TIMEOUT, FaultRun, ProcessNode, RETRY_INTERVAL } from '../../support/brokers/fault-run.js';
import { BrokerProxy } from '../../support/network/broker-proxy.js';
import { startPlain } from '../../support/plain-server.js';
import { open } from '../../support/readers/event-stream.js';

/** `FAULT_CLIENTS=2000` and `FAULT_SECONDS=10` for the long run. */
const CLIENTS = Number(process.env['FAULT_CLIENTS'] ?? 200);
const BLOCKED = Number(process.env['FAULT_SECONDS'] ?? 3) * 1_000;

beforeAll(() => ProcessNode.build());
afterAll(() => ProcessNode.clean());

function rows(kind: BrokerKind): void {
  // Each test has its own at hand, so that one which is given up cannot disturb the next.
  let present: FaultRun;
  const begin = async (row: string, options?: { persistent?: boolean }): Promise<FaultRun> =>
    (present = new FaultRun(`${row} (${kind.name})`, await kind.start(options)));
  afterEach(() => present.end());

  it('B9: an application starts while the broker is away, and recovers by itself', async () => {
    const run = await begin('B9');
    const early = await run.node();
    const [cursor] = await run.publish(early.sse, 't', 5);
    await early.close();
    await run.broker.kill();

    const backplane = run.broker.backplane({ publishTimeout: 500 });
    const node = await startPlain({ heartbeatInterval: 100, backplane });
    try {
      await withTimeout(node.sse.start(), 2_000, 'start()');
      expect(node.sse.stats().backplane.status).toBe('down');
      await expect(node.sse.publish('t', 'n', 1)).rejects.toMatchObject({ code: 'BACKPLANE_UNAVAILABLE' });
      const waiting = [
        await open(`${node.url}/events/t`),
        await open(`${node.url}/events/t`, { lastEventId: cursor! }),
      ];
      for (let n = 5; n < 10; n++) node.sse.broadcast('t', 'n', { topic: 't', n });
      await until('they have heartbeats', () => waiting.every(({ raw }) => raw.split(':\n').length > 2));
      for (const stream of waiting) {
        expect(stream.status).toBe(200);
        expect(stream.events.map(({ event }) => event)).toEqual(['sse.cursor']);
        expect(stream.raw).toContain('retry: ');
      }
      expect(node.sse.stats().clients).toBe(2);

      await run.broker.start();
      const [fresh, resumed] = waiting;
      await resumed!.messagesUpTo(9);
      expect(resumed!.data).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => ({ topic: 't', n })));
      for (const stream of waiting) expect(stream.events[1]!.event).toBe('sse.open');
      await until('it is up', () => node.sse.stats().backplane.status === 'up');
      await node.sse.publish('t', 'n', 'last');
      await fresh!.until(() => fresh!.data.includes('last'));
      for (const stream of waiting) expect(stream.ofType('sse.reset')).toEqual([]);
      for (const stream of waiting) stream.close();
    } finally {
      await node.close();
    }
  });

  it(`B10: ${CLIENTS} clients go through a rolling restart of both nodes under constant publishing`, async () => {
    const run = await begin('B10', { persistent: false });
    const witness = await run.node();
    run.witness(witness, 't');
    const nodes = [await run.process(), await run.process()];
    const urls = (): string[] => nodes.map(({ url }) => url);
    const followers = await Promise.all(Array.from({ length: CLIENTS }, (_, i) => run.follow(['t'], urls, i)));
    const finish = run.publishing(witness.sse, 't', 20);
    for (const i of [0, 1]) {
      await delay(500);
      await nodes[i]!.terminate();
      nodes[i] = await run.process();
    }
    await delay(500);
    expect(await finish()).toEqual([]);
    await run.untilCaughtUp(['t']);
    expect(run.faults(['t'])).toEqual([]);
    expect(followers.flatMap(({ resets }) => resets)).toEqual([]);
    // Every client was on a node that was stopped, and was told its own time to come back: each quarter of the time
    // that nodes have for it has its share.
    const retries = followers.flatMap(({ retries }) => retries);
    expect(retries.length).toBeGreaterThanOrEqual(CLIENTS);
    const [from, to] = [RETRY_INTERVAL, RETRY_INTERVAL + DRAIN_TIMEOUT];
    for (let quarter = 0; quarter < 4; quarter++) {
      const inIt = (retry: number): boolean => Math.floor(((retry - from) / (to - from)) * 4) === quarter;
      expect(retries.filter(inIt).length).toBeGreaterThan(retries.length / 10);
    }
  });

  it(`B11: a node that was blocked for ${BLOCKED} ms catches up in pieces`, async () => {
    const run = await begin('B11', { persistent: false });
    const witness = await run.node();
    run.witness(witness, 't');
    const proxy = await BrokerProxy.start(run.broker.port);
    const node = await run.process({ port: proxy.port });
    await run.follow(['t'], () => [node.url]);
    await run.publish(witness.sse, 't', 10);
    await run.untilCaughtUp(['t']);
    const before = proxy.answered;
    const blocked = node.do('block', { ms: BLOCKED });
    const end = performance.now() + BLOCKED;
    // What is published together is one piece, so there are many of them.
    while ((performance.now() < end || run.published < 4_000) && run.published < 20_000)
      await run.publish(witness.sse, 't', 10);
    await blocked;
    await run.untilCaughtUp(['t']);
    expect(run.faults(['t'])).toEqual([]);
    expect(run.followers.flatMap(({ resets }) => resets)).toEqual([]);
    expect(proxy.largestAnswer).toBeLessThan((proxy.answered - before) / 2);
    await proxy.close();
  });

  it('B14: nothing is trimmed early because of a node whose clock is an hour ahead', async () => {
    const run = await begin('B14', { persistent: false });
    const node = await run.node();
    run.witness(node, 't');
    const [cursor] = await run.publish(node.sse, 't', 300);
    const ahead = await run.process({ clockAhead: 60 * 60_000 });
    await run.follow(['t'], () => [ahead.url]);
    const others = (await ahead.do('publish', { topic: 't', from: 1_000_000, count: 300 })) as string[];
    run.published += others.length;
    await run.publish(node.sse, 't', 300);
    await run.untilCaughtUp(['t']);
    expect(await run.broker.entries()).toBe(900);
    for (const { url } of [node, ahead]) {
      const stream = await open(`${url}/events/t`, { lastEventId: cursor! });
      await stream.messagesUpTo(899);
      expect(stream.ofType('sse.reset')).toEqual([]);
      stream.close();
    }
    expect(run.faults(['t'])).toEqual([]);
  });
}

for (const kind of brokerKinds) {
  (kind.isInstalled ? describe : describe.skip)(`nodes that come, go and err, with ${kind.name}`, () => rows(kind));
}
