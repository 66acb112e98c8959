import { setTimeout as delay } from 'node:timers/promises';

import { afterEach, describe, expect, it } from '@jest/globals';

import { until } from '../../support/baseline.js';
import { type BrokerKind, brokerKinds } from '../../support/brokers/brokers.js';
import { FaultRun } from '../../support/brokers/fault-run.js';
import { open } from '../../support/readers/event-stream.js';
import { pick, seededRandom } from '../../support/seed.js';

const ROUNDS = 60;

/** How a client is received that comes with this cursor. */
async function resumed(url: string, lastEventId: string): Promise<string> {
  const stream = await open(`${url}/events/t`, { lastEventId });
  stream.request.on('error', () => {});
  await stream.until(() => stream.ofType('sse.open').length > 0);
  stream.close();
  return (JSON.parse(stream.ofType('sse.open')[0]!.data) as { resumed: string }).resumed;
}

function rows(kind: BrokerKind): void {
  let present: FaultRun;
  const begin = async (row: string): Promise<FaultRun> =>
    (present = new FaultRun(`${row} (${kind.name})`, await kind.start({ persistent: false })));
  afterEach(() => present.end());

  it('B15: what others have put there is passed over once on every node, whatever it claims', async () => {
    const run = await begin('B15');
    const random = seededRandom();
    const [a, b, strict] = [await run.node(), await run.node(), await run.node({ maxEntryBytes: 4_000 })];
    run.witness(a, 't');
    for (const { url } of [a, b, strict]) await run.follow(['t'], () => [url]);
    const cursors = await run.publish(a.sse, 't', 3);
    const forged: string[] = [];
    const forge = async (): Promise<void> => void forged.push(await run.broker.forge(random));
    for (let round = 0; round < ROUNDS; round++) {
      const publish = async (): Promise<void> => {
        cursors.push(...(await run.publish(pick(random, [a, b]).sse, 't', pick(random, [1, 1, 2, 5]))));
      };
      // One after the other, in a row, or at the same time.
      await (random() < 0.5 ? forge() : Promise.all([forge(), publish()]));
      if (random() < 0.7) await publish();
    }
    await run.untilCaughtUp(['t']);
    const late = await run.node();
    cursors.push(...(await run.publish(late.sse, 't', 3)));
    // So that it begins at a place that the run knows.
    await until('it is read', () => late.sse.stats().published >= run.published);
    await run.follow(['t'], () => [late.url]);
    cursors.push(...(await run.publish(late.sse, 't', 3)));
    await run.untilCaughtUp(['t']);

    expect(run.faults(['t'])).toEqual([]);
    expect(run.followers.flatMap(({ resets }) => resets)).toEqual([]);
    expect(new Set(cursors.map((cursor) => cursor.split('~')[1])).size).toBe(1);
    const nodes = [a, b, late, strict];
    expect(nodes.map(({ sse }) => sse.stats().backplane.status)).toEqual(nodes.map(() => 'up'));
    const [dropped, ...others] = nodes.map(({ sse }) => sse.stats().dropped);
    expect(dropped).toBeGreaterThan(ROUNDS / 10);
    expect(others.slice(0, 2)).toEqual([dropped, dropped]);
    expect(others[2]).toBeGreaterThanOrEqual(dropped!);
    // Wherever such a place leads, nobody is kept waiting.
    for (const { url } of nodes) await Promise.all(forged.map((cursor) => resumed(url, cursor)));
    // No claim that something is missing has driven out what is retained.
    for (const { url } of nodes) expect(await resumed(url, cursors[0]!)).toBe('full');
  });

  it('B15: a client that comes with the cursor of what its node has passed over is opened at once', async () => {
    const run = await begin('B15, large');
    const [a, strict] = [await run.node(), await run.node({ maxEntryBytes: 4_000 })];
    await run.publish(a.sse, 't', 1);
    const cursor = await a.sse.publish('t', 'n', 'x'.repeat(5_000));
    await until('both have read it', () => a.sse.stats().published === 2 && strict.sse.stats().dropped === 1);
    expect(await resumed(strict.url, cursor)).toBe('full');
    expect(await resumed(a.url, cursor)).toBe('full');
    const late = await run.node({ maxEntryBytes: 4_000 });
    expect(await resumed(late.url, cursor)).toBe('full');
    // And those who were there are told of nothing: they are where the others are.
    const client = await run.follow(['t'], () => [strict.url]);
    await run.publish(a.sse, 't', 1);
    await until('it has come', () => client.data.length === 1);
    await delay(50);
    expect(client.resets).toEqual([]);
  });
}

for (const kind of brokerKinds) {
  (kind.isInstalled ? describe : describe.skip)(`what others put into ${kind.name}`, () => rows(kind));
}
