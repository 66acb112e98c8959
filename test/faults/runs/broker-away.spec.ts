import { setTimeout as delay } from 'node:timers/promises';

import { afterAll, describe, expect, it } from '@jest/globals';

import { returnToBaseline, until } from '../../support/baseline.js';
import { type Broker, type BrokerKind, brokerKinds } from '../../support/brokers/brokers.js';
import { expectAll, logKinds, Numbers, type RunNode, serveRuns, view } from '../../support/brokers/run-nodes.js';
import { note } from '../../support/measures/figures.js';
import type { EventStream } from '../../support/readers/event-stream.js';

const bench = returnToBaseline();
const removals: (() => Promise<void>)[] = [];

// Behind the nodes of the last test.
afterAll(() => Promise.all(removals.map((remove) => remove())));

/** Milliseconds. A node that is silent for so long while the log can be read is dead. */
const AWAY = 8_000;
/** Whoever was asked for a sign meanwhile has answered by then, or is dead. */
const AFTERWARDS = 4_000;
const DRAIN_TIMEOUT = 500;

type Nodes = readonly [producer: RunNode, second: RunNode, third: RunNode];

async function threeNodes(kind: BrokerKind, persistent = false): Promise<[Broker, Nodes]> {
  const broker = await kind.start({ persistent });
  removals.push(() => broker.remove());
  const nodes = await Promise.all([1, 2, 3].map(() => serveRuns(bench, { backplane: broker.backplane() })));
  return [broker, nodes as unknown as Nodes];
}

/** A run that gives something all the time, one that says nothing for long, and a viewer of each on each node. */
async function startRuns(nodes: Nodes) {
  const sources = { busy: new Numbers(100_000, 3), quiet: new Numbers(1) };
  const runs = [];
  for (const [topic, source] of Object.entries(sources)) {
    const run = nodes[0].sse.run(topic, source.work);
    await run.started;
    const viewers = await Promise.all(nodes.map((node) => view(node, topic)));
    await Promise.all(
      viewers.map((viewer) => viewer.until(() => viewer.messages.length >= (topic === 'busy' ? 50 : 1))),
    );
    runs.push({ topic, source, run, viewers });
  }
  return runs;
}

async function goesOn(
  kind: BrokerKind,
  away: (broker: Broker) => unknown,
  back: (broker: Broker) => unknown,
): Promise<void> {
  const [broker, nodes] = await threeNodes(kind, true);
  const runs = await startRuns(nodes);
  const areRunning = (): void => {
    for (const { topic, run } of runs) {
      for (const { sse } of nodes) expect(sse.getRun(topic)).toMatchObject({ id: run.id, state: 'running' });
    }
  };
  await away(broker);
  await delay(AWAY);
  areRunning();
  await back(broker);
  const given = runs[0]!.source.given;
  await until('it goes on', () => runs[0]!.viewers.every(({ messages }) => messages.length > given + 50));
  await delay(AFTERWARDS);
  areRunning();
  for (const { source, run, viewers } of runs) {
    expect(source.signal!.aborted).toBe(false);
    source.finish();
    expect(await run.done).toBe('finished');
    for (const viewer of viewers)
      await expectAll(
        viewer,
        Array.from({ length: source.given }, (_, n) => n),
      );
  }
}

/** What came is what was given, but for what is gone where a reset tells of it. */
async function expectRest(viewer: EventStream, given: number, givenByThen: number): Promise<void> {
  await until('the stream has ended', () => viewer.ended);
  const resets = viewer.ofType('sse.reset');
  expect(resets.map(({ data }) => (JSON.parse(data) as { reason: string }).reason)).toEqual(['epoch']);
  const behind = viewer.events.indexOf(resets[0]!);
  const numbersIn = (from: number, to?: number): number[] =>
    viewer.events
      .slice(from, to)
      .filter(({ event }) => event === 'message')
      .map(({ data }) => JSON.parse(data) as number);
  const before = numbersIn(0, behind);
  const after = numbersIn(behind);
  expect(before).toEqual(before.map((_, n) => n));
  expect(after).toEqual(after.map((_, i) => given - after.length + i));
  expect(before.length + after.length).toBeLessThanOrEqual(given);
  // What was given behind that is in the next life.
  if (given > givenByThen) expect(after[0]).toBeLessThanOrEqual(givenByThen);
  expect(viewer.ofType('sse.end')).toHaveLength(1);
}

for (const kind of brokerKinds) {
  (kind.isInstalled ? describe : describe.skip)(`runs in the middle of which ${kind.name} is away`, () => {
    // Together, because each of them waits.
    it(`U7: go on in order after ${AWAY} ms, whether it was killed or frozen, and nobody says that they are dead`, async () => {
      await Promise.all([
        goesOn(
          kind,
          (broker) => broker.kill(),
          (broker) => broker.start(),
        ),
        goesOn(
          kind,
          (broker) => broker.freeze(),
          (broker) => broker.thaw(),
        ),
      ]);
    });

    it('U7: go on in its next life when it is emptied, which viewers are told', async () => {
      const [broker, nodes] = await threeNodes(kind);
      const runs = await startRuns(nodes);
      await broker.flush();
      const givenByThen = runs.map(({ source }) => source.given);
      const [busy, quiet] = runs;
      await until('the viewers are told', () => busy!.viewers.every((viewer) => viewer.ofType('sse.reset').length > 0));
      const given = busy!.source.given;
      await until('it goes on', () =>
        busy!.viewers.every(({ messages }) => Number(messages.at(-1)?.data) > given + 50),
      );
      // The quiet one says only now and then that it is there.
      await until('all nodes know', () => nodes.every(({ sse }) => sse.getRun('quiet')?.id === quiet!.run.id));
      for (const [i, { topic, source, run, viewers }] of runs.entries()) {
        for (const { sse } of nodes) expect(sse.getRun(topic)).toMatchObject({ id: run.id, state: 'running' });
        source.finish();
        expect(await run.done).toBe('finished');
        for (const viewer of viewers) await expectRest(viewer, source.given, givenByThen[i]!);
        for (const { sse } of nodes) {
          await until('all nodes know', () => sse.getRun(topic)?.state === 'finished');
        }
      }
    });
  });
}

for (const kind of logKinds) {
  (kind.isInstalled ? describe : describe.skip)(`runs of a node that shuts down, with ${kind.name}`, () => {
    it(`U7: are told as failed on other nodes within drainTimeout and a second`, async () => {
      const log = await kind.start();
      removals.push(() => log.remove());
      const config = { drainTimeout: DRAIN_TIMEOUT };
      const nodes = await Promise.all([1, 2, 3].map(() => serveRuns(bench, { ...config, backplane: log.node() })));
      const runs = await startRuns(nodes as unknown as Nodes);
      const since = performance.now();
      const shutdown = nodes[0]!.sse.shutdown();
      const others = runs.flatMap(({ viewers }) => viewers.slice(1));
      await Promise.all(others.map((viewer) => viewer.until(() => viewer.ofType('failed').length > 0)));
      const took = performance.now() - since;
      note(`U7 (${kind.name}): told as failed ${took.toFixed()} ms after a shutdown with ${DRAIN_TIMEOUT} ms`);
      expect(took).toBeLessThan(DRAIN_TIMEOUT + 1_000);
      await shutdown;
      for (const { topic, source, run, viewers } of runs) {
        expect(await run.done).toBe('failed');
        expect(source.signal!.aborted).toBe(true);
        for (const viewer of viewers.slice(1)) {
          const numbers = viewer.messages.length - 1;
          await expectAll(viewer, [
            ...Array.from({ length: numbers }, (_, n) => n),
            { message: 'The source of these events failed.' },
          ]);
        }
        for (const { sse } of nodes.slice(1)) {
          expect(sse.getRun(topic)).toMatchObject({ state: 'failed', reason: 'shutdown' });
        }
      }
    });
  });
}
