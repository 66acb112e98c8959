import { setTimeout as delay } from 'node:timers/promises';

import { afterEach, describe, expect, it } from '@jest/globals';
import type { SSEService } from 'nestjs-sse-hub';

import { withTimeout } from '../../../src/backplane/broker/with-timeout.js';
import { until } from '../../support/baseline.js';
import { type BrokerKind, brokerKinds } from '../../support/brokers/brokers.js';
import { FaultRun } from '../../support/brokers/fault-run.js';
import { BrokerProxy } from '../../support/network/broker-proxy.js';
import { open } from '../../support/readers/event-stream.js';
import type { Follower } from '../../support/readers/follower.js';

/** What a client was told, and what it got after it was told last. */
function sinceReset(follower: Follower): unknown[] {
  const at = follower.received.findLastIndex(({ event }) => event === 'sse.reset');
  const rest = follower.received.slice(at + 1).filter(({ event }) => !event.startsWith('sse.'));
  return rest.map(({ data }) => (JSON.parse(data) as { n: number }).n);
}

function numbers(from: number, to: number): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}

/** The first answer to a client that comes with this cursor. */
async function welcome(url: string, lastEventId: string): Promise<{ resumed: string; resets: string[]; id: string }> {
  const stream = await open(`${url}/events/t`, { lastEventId });
  stream.request.on('error', () => {});
  await stream.until(() => stream.ofType('sse.open').length > 0);
  const { resumed } = JSON.parse(stream.ofType('sse.open')[0]!.data) as { resumed: string };
  if (resumed === 'reset') await stream.until(() => stream.ofType('sse.reset').length > 0);
  await delay(50);
  stream.close();
  const resets = stream.ofType('sse.reset').map(({ data }) => (JSON.parse(data) as { reason: string }).reason);
  return { resumed, resets, id: stream.lastEventId };
}

function rows(kind: BrokerKind): void {
  // Each test has its own at hand, so that one which is given up cannot disturb the next.
  let present: FaultRun;
  const proxies: BrokerProxy[] = [];
  const begin = async (row: string, options?: { persistent?: boolean }): Promise<FaultRun> =>
    (present = new FaultRun(`${row} (${kind.name})`, await kind.start(options)));
  /** No faster than the node reads it back, and in more pieces than can be on their way to one that does not read. */
  const publishMany = async (run: FaultRun, sse: SSEService): Promise<string[]> => {
    const cursors: string[] = [];
    while (cursors.length < 3_000) {
      cursors.push(...(await run.publish(sse, 't', 10)));
      await until('it is read back', () => run.checker.size === run.published);
    }
    return cursors;
  };
  const proxyTo = async (port: number): Promise<BrokerProxy> => {
    const proxy = await BrokerProxy.start(port);
    proxies.push(proxy);
    return proxy;
  };
  afterEach(async () => {
    await present.end();
    for (const proxy of proxies.splice(0)) await proxy.close();
  });

  for (const [how, lose] of [
    ['restarted without what it had', async ({ broker }: FaultRun) => (await broker.kill(), await broker.start())],
    ['flushed', ({ broker }: FaultRun) => broker.flush()],
  ] as const) {
    it(`B3: every client is told once when the broker is ${how}`, async () => {
      const run = await begin(`B3, ${how}`, { persistent: false });
      const [a, b] = [await run.node(), await run.node()];
      const clients = [await run.follow(['t'], () => [a.url]), await run.follow(['t'], () => [b.url])];
      await run.publish(a.sse, 't', 20);
      await until('all have it', () => clients.every(({ data }) => data.length === 20));
      const before = clients[0]!.lastEventId;
      await lose(run);
      await withTimeout(
        until('all are told', () => clients.every(({ resets }) => resets.length > 0)),
        15_000,
        'the reset',
      );
      await run.publish(a.sse, 't', 5);
      await run.publish(b.sse, 't', 5);
      await until('all have what follows', () => clients.every((client) => sinceReset(client).length >= 10));
      for (const client of clients) {
        expect(client.resets).toEqual([{ reason: 'epoch', topics: ['t'] }]);
        expect(sinceReset(client)).toEqual(numbers(20, 29));
      }
      // Whoever was away meanwhile is told too, and can come back to either node with what it is given.
      const told = await welcome(a.url, before);
      expect(told).toMatchObject({ resumed: 'reset', resets: ['epoch'] });
      expect(await welcome(b.url, told.id)).toMatchObject({ resumed: 'full', resets: [] });
      run.report();
    });
  }

  it('B4: a connection that has died in silence is replaced', async () => {
    const run = await begin('B4, silent', { persistent: false });
    const proxy = await proxyTo(run.broker.port);
    const [a, b] = [await run.node({ port: proxy.port }), await run.node()];
    run.witness(b, 't');
    await run.follow(['t'], () => [a.url]);
    await run.publish(a.sse, 't', 10);
    await run.untilCaughtUp(['t']);
    proxy.stall();
    run.broadcast(a.sse, 't', 10);
    await run.publish(b.sse, 't', 10);
    await run.untilCaughtUp(['t']);
    expect(run.faults(['t'])).toEqual([]);
    expect(run.followers.flatMap(({ resets }) => resets)).toEqual([]);
  });

  it('B6: an event whose answer was lost is stored and seen once', async () => {
    const run = await begin('B6', { persistent: false });
    const proxy = await proxyTo(run.broker.port);
    const [a, b] = [await run.node({ port: proxy.port }), await run.node()];
    run.witness(b, 't');
    await run.follow(['t'], () => [a.url]);
    await run.follow(['t'], () => [b.url]);
    await run.publish(a.sse, 't', 1);
    for (let round = 1; round <= 10; round++) {
      proxy.loseAnswer(kind.said.appending);
      await run.publish(a.sse, 't', 20);
      expect(proxy.losses).toBe(round);
    }
    await run.untilCaughtUp(['t']);
    expect(await run.broker.entries()).toBe(201);
    expect(run.faults(['t'])).toEqual([]);
    expect(run.followers.flatMap(({ resets }) => resets)).toEqual([]);
  });

  it('B7: clients are told when an older backup is restored, whether or not their node has noticed', async () => {
    const run = await begin('B7, backup', { persistent: false });
    const a = await run.node();
    const client = await run.follow(['t'], () => [a.url]);
    await run.publish(a.sse, 't', 10);
    await run.broker.backUp();
    const lost = await run.publish(a.sse, 't', 10);
    await until('it has all', () => client.data.length === 20);
    await run.broker.restore();
    await until('it is told', () => client.resets.length > 0);
    await run.publish(a.sse, 't', 10);
    await until('it has what follows', () => sinceReset(client).length >= 20);
    // What the backup has, and what was published since.
    expect(sinceReset(client)).toEqual([...numbers(0, 9), ...numbers(20, 29)]);
    expect(client.resets).toHaveLength(1);
    const fresh = await run.node();
    for (const { url } of [a, fresh])
      for (const cursor of lost) expect((await welcome(url, cursor)).resumed).toBe('reset');
    run.report();
  });

  it('B7: clients that want only what is new get nothing of an older backup, but the reset and what follows', async () => {
    const run = await begin('B7, backup, latest', { persistent: false });
    const a = await run.node({}, { onGap: 'latest' });
    const client = await run.follow(['t'], () => [a.url]);
    await run.publish(a.sse, 't', 10);
    await run.broker.backUp();
    await run.publish(a.sse, 't', 10);
    await until('it has all', () => client.data.length === 20);
    await run.broker.restore();
    await until('it is told', () => client.resets.length > 0);
    await run.publish(a.sse, 't', 10);
    await until('it has what follows', () => sinceReset(client).length >= 10);
    expect(sinceReset(client)).toEqual(numbers(20, 29));
    expect(client.resets).toEqual([{ reason: 'epoch', topics: ['t'] }]);
    expect(client.connections).toBe(1);
    run.report();
  });

  it('B7: places that are handed out twice are not taken for those that were lost', async () => {
    const run = await begin('B7, twice', { persistent: false });
    await run.broker.runAhead();
    const before = await run.node();
    const kept = await run.publish(before.sse, 't', 10);
    await run.broker.backUp();
    const lost = await run.publish(before.sse, 't', 200);
    // Nobody who knows of them is left.
    await before.close();
    await run.broker.restore();
    const after = await run.node();
    await run.publish(after.sse, 't', 400);
    await until('the node has read it', () => after.sse.stats().published === 410);
    for (const cursor of lost.filter((_, i) => i % 10 === 0)) {
      expect((await welcome(after.url, cursor)).resumed).toBe('reset');
    }
    expect(await welcome(after.url, kept[9]!)).toMatchObject({ resumed: 'full' });
    run.report();
  });

  it('B7: clients are told when a replica takes over that lacks the last events', async () => {
    const run = await begin('B7, replica', { persistent: false });
    const replica = await run.broker.replicate();
    try {
      const proxy = await proxyTo(run.broker.port);
      const [a, b] = [await run.node({ port: proxy.port }), await run.node({ port: proxy.port })];
      const clients = [await run.follow(['t'], () => [a.url]), await run.follow(['t'], () => [b.url])];
      await run.publish(a.sse, 't', 10);
      await replica.promote();
      const lost = await run.publish(a.sse, 't', 10);
      await until('all have it', () => clients.every(({ data }) => data.length === 20));
      proxy.leadTo(replica.port);
      await run.publish(b.sse, 't', 10);
      await withTimeout(
        until('all are told', () => clients.every(({ resets }) => resets.length > 0)),
        15_000,
        'the reset',
      );
      await until('all have what follows', () => clients.every((client) => sinceReset(client).includes(29)));
      for (const client of clients) {
        expect(client.resets).toHaveLength(1);
        expect(sinceReset(client)).toEqual([...numbers(0, 9), ...numbers(20, 29)]);
      }
      for (const cursor of lost) expect((await welcome(b.url, cursor)).resumed).toBe('reset');
      run.report();
    } finally {
      await replica.remove();
    }
  });

  it('B12: clients are told of what was trimmed before their node had read it, live and when it starts', async () => {
    const run = await begin('B12', { persistent: false });
    const proxy = await proxyTo(run.broker.port);
    const limits = { maxLength: 500 };
    const [behind, b] = [await run.node({ port: proxy.port, ...limits }), await run.node(limits)];
    run.witness(b, 't');
    const slow = await run.follow(['t'], () => [behind.url]);
    const other = await run.follow(['t'], () => [b.url]);
    await run.publish(b.sse, 't', 10);
    await run.untilCaughtUp(['t']);
    proxy.hold(kind.said.reading);
    await publishMany(run, b.sse);
    proxy.release();
    const read = await run.publish(b.sse, 't', 10);
    await run.untilCaughtUp(['t']);
    expect(slow.resets.length).toBeGreaterThan(0);
    expect(slow.data.length).toBeLessThan(3_020);
    expect(other.resets).toEqual([]);

    const late = await proxyTo(run.broker.port);
    late.hold(kind.said.reading);
    const starting = run.node({ port: late.port, ...limits });
    await until('the first answer to it is held back', () => late.holds);
    const gone = await publishMany(run, b.sse);
    const [cursor] = await run.publish(b.sse, 't', 10);
    late.release();
    const { url, sse } = await starting;
    await until('it has read all', () => sse.stats().backplane.status === 'up' && sse.stats().backplane.lag === 0);
    for (const lost of [read.at(-1)!, gone[0]!, gone[2_000]!]) {
      expect((await welcome(url, lost)).resumed).toBe('reset');
    }
    expect(await welcome(url, cursor!)).toMatchObject({ resumed: 'full' });
    await run.untilCaughtUp(['t']);
    expect(run.faults(['t'])).toEqual([]);
  });

  it('B13: a flush between two appends is noticed by the second', async () => {
    const run = await begin('B13', { persistent: false });
    const [a, b] = [await run.node(), await run.node()];
    const clients = [await run.follow(['t'], () => [a.url]), await run.follow(['t'], () => [b.url])];
    for (let round = 0; round < 3; round++) {
      const first = 5 * round;
      await run.publish(a.sse, 't', 3);
      await until('all have it', () => clients.every((client) => sinceReset(client).at(-1) === first + 2));
      await run.broker.flush();
      await run.publish(b.sse, 't', 2);
      await until('all are told', () => clients.every(({ resets }) => resets.length > round));
      await until('all have it', () => clients.every((client) => sinceReset(client).includes(first + 4)));
      for (const client of clients) {
        expect(client.resets.at(-1)).toEqual({ reason: 'epoch', topics: ['t'] });
        expect(client.resets).toHaveLength(round + 1);
        expect(sinceReset(client)).toEqual([first + 3, first + 4]);
      }
    }
    run.report();
  });
}

for (const kind of brokerKinds) {
  (kind.isInstalled ? describe : describe.skip)(`what ${kind.name} has lost`, () => rows(kind));
}
