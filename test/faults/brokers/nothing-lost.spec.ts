import { setTimeout as delay } from 'node:timers/promises';

import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { SSEError } from 'nestjs-sse-hub';

import { withTimeout } from '../../../src/backplane/broker/with-timeout.js';
import { until } from '../../support/baseline.js';
import { brokerKinds } from '../../support/brokers/brokers.js';
import { FaultRun, ProcessNode } from '../../support/brokers/fault-run.js';

/** `FAULT_SECONDS=60` for the long run: how long a broker is away, how long connections are cut. */
const SECONDS = Number(process.env['FAULT_SECONDS'] ?? 6);

beforeAll(() => ProcessNode.build());
afterAll(() => ProcessNode.clean());

for (const kind of brokerKinds) {
  (kind.isInstalled ? describe : describe.skip)(`nodes on one log in ${kind.name}`, () => {
    // Each test has its own at hand, so that one which is given up cannot disturb the next.
    let present: FaultRun;
    const begin = async (row: string, options?: { persistent?: boolean }): Promise<FaultRun> =>
      (present = new FaultRun(`${row} (${kind.name})`, await kind.start(options)));
    afterEach(() => present.end());

    it('B1: brings what two nodes publish to the clients of both in one order, each event once', async () => {
      const run = await begin('B1', { persistent: false });
      const [a, b] = [await run.node(), await run.node()];
      run.witness(a, 't');
      const clients = [await run.follow(['t'], () => [a.url]), await run.follow(['t'], () => [b.url])];
      for (let i = 0; i < 20; i++) await Promise.all([run.publish(a.sse, 't', 500), run.publish(b.sse, 't', 500)]);
      await run.untilCaughtUp(['t']);
      expect(run.checker.size).toBe(20_000);
      expect(run.faults(['t'])).toEqual([]);
      expect(clients[0]!.messages).toEqual(clients[1]!.messages);
      expect(clients.flatMap(({ resets }) => resets)).toEqual([]);
    });

    it('B2: a client resumes on the other node when the one that it is on is killed in the middle of a broadcast', async () => {
      const run = await begin('B2');
      const survivor = await run.node();
      run.witness(survivor, 't');
      for (let round = 0; round < 2; round++) {
        const victim = await run.process();
        const urls = (): string[] => [victim.url, survivor.url];
        for (let i = 0; i < 5; i++) await run.follow(['t'], urls);
        const finish = run.publishing(survivor.sse, 't');
        const publishes = victim.do('publish', { topic: 't', from: 1_000_000 * (round + 1), count: 5_000 });
        const isOfVictim = (n: number): boolean => n >= 1_000_000 * (round + 1);
        await Promise.race([publishes, until('some are in the log', () => run.observed.some(isOfVictim))]);
        await delay(100 * round);
        victim.kill();
        // Its last answers are lost with it; the log knows what it has.
        await expect(publishes).rejects.toThrow();
        await delay(200);
        expect(await finish()).toEqual([]);
        const ofVictim = run.observed.filter(isOfVictim);
        expect(ofVictim.length).toBeGreaterThan(0);
        expect(ofVictim.length).toBeLessThan(5_000);
      }
      await run.untilCaughtUp(['t']);
      expect(run.faults(['t'])).toEqual([]);
      expect(run.followers.flatMap(({ resets }) => resets)).toEqual([]);
      expect(run.followers.every(({ connections }) => connections > 1)).toBe(true);
    });

    it('B3: nobody notices but by waiting when the broker is restarted with what it had', async () => {
      const run = await begin('B3, persistent');
      const [a, b] = [await run.node(), await run.node()];
      run.witness(a, 't');
      await run.follow(['t'], () => [a.url]);
      await run.follow(['t'], () => [b.url]);
      for (let round = 0; round < 3; round++) {
        await run.publish(a.sse, 't', 100);
        await run.broker.kill();
        run.broadcast(b.sse, 't', 100);
        await delay(300);
        await run.broker.start();
        await run.publish(b.sse, 't', 100);
      }
      await run.untilCaughtUp(['t']);
      expect(run.checker.size).toBe(900);
      expect(run.faults(['t'])).toEqual([]);
      expect(run.followers.flatMap(({ resets }) => resets)).toEqual([]);
    });

    for (const away of ['dead', 'frozen'] as const) {
      it(`B4: streams live on while the broker is ${away}, and get everything afterwards`, async () => {
        const run = await begin(`B4, ${away}`);
        const [a, b] = [await run.node({ publishTimeout: 1_000 }), await run.node()];
        run.witness(b, 't');
        const client = await run.follow(['t'], () => [a.url]);
        await run.follow(['t'], () => [b.url]);
        await run.publish(a.sse, 't', 10);
        await run.untilCaughtUp(['t']);
        const failures = a.sse.stats().publishFailures;

        await (away === 'dead' ? run.broker.kill() : run.broker.freeze());
        const since = performance.now();
        const before = client.raw.length;
        run.broadcast(a.sse, 't', 500);
        const error = await withTimeout(
          a.sse.publish('other', 'n', 1).catch((reason: unknown) => reason),
          3_000,
          'publish()',
        );
        expect(error).toBeInstanceOf(SSEError);
        expect(error).toMatchObject({
          code: 'BACKPLANE_UNAVAILABLE',
          cause: { stored: expect.stringMatching(/no|unknown/) },
        });
        await until('the node says that the broker is away', () => a.sse.stats().backplane.status === 'down');
        await delay(Math.max(0, SECONDS * 1_000 - (performance.now() - since)));
        // Comments went on, one for every heartbeat.
        expect(client.raw.slice(before).match(/^:/gm)?.length).toBeGreaterThan(SECONDS * 3);
        expect(client.connections).toBe(1);

        await (away === 'dead' ? run.broker.start() : run.broker.thaw());
        await until('the node says that the broker is back', () => a.sse.stats().backplane.status === 'up');
        await run.publish(a.sse, 't', 10);
        await run.untilCaughtUp(['t']);
        expect(run.faults(['t'])).toEqual([]);
        expect(client.resets).toEqual([]);
        expect(a.sse.stats().publishFailures).toBe(failures);
      });
    }

    it('B5: every event arrives once while connections are cut every 500 ms', async () => {
      const run = await begin('B5', { persistent: false });
      const [a, b] = [await run.node(), await run.node()];
      run.witness(a, 't');
      await run.follow(['t'], () => [a.url]);
      await run.follow(['t'], () => [b.url]);
      const before = await run.broker.connections();
      const finish = [run.publishing(a.sse, 't'), run.publishing(b.sse, 't')];
      const cuts = SECONDS * 2;
      let killed = 0;
      for (let cut = 0; cut < cuts; cut++) {
        await delay(500);
        killed += await run.broker.killConnections();
      }
      for (const stop of finish) expect(await stop()).toEqual([]);
      await run.untilCaughtUp(['t']);
      expect(run.checker.size).toBe(run.published);
      expect(run.faults(['t'])).toEqual([]);
      expect(run.followers.flatMap(({ resets }) => resets)).toEqual([]);
      // Two nodes with two connections each; on a slow machine they are not all there again when the next cut comes.
      expect(killed).toBeGreaterThanOrEqual(cuts);
      // Opened again after every cut, and not over and over; the test has its own.
      expect((await run.broker.connections()) - before).toBeLessThan(cuts * 8);
    });

    it('B8: passes over what nobody of ours wrote, counts it, and goes on', async () => {
      const run = await begin('B8', { persistent: false });
      const a = await run.node();
      run.witness(a, 't');
      const client = await run.follow(['t'], () => [a.url]);
      await run.publish(a.sse, 't', 5);
      const strangers = await run.broker.intrude(10 * 1024 * 1024);
      await run.publish(a.sse, 't', 5);
      await run.untilCaughtUp(['t']);
      expect(a.sse.stats().dropped).toBe(strangers);

      // One that reads them in its window.
      const b = await run.node();
      const late = await run.follow(['t'], () => [b.url]);
      await run.publish(b.sse, 't', 5);
      await run.untilCaughtUp(['t']);
      expect(b.sse.stats().dropped).toBe(strangers);
      expect(client.data).toHaveLength(15);
      expect(late.data).toHaveLength(5);
      expect(run.faults(['t'])).toEqual([]);
      expect(run.followers.flatMap(({ resets }) => resets)).toEqual([]);
    });
  });
}
