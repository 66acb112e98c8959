import { setTimeout as delay } from 'node:timers/promises';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { returnToBaseline, until } from '../../support/baseline.js';
import { type Broker, type BrokerKind, brokerKinds } from '../../support/brokers/brokers.js';
import { ProcessNode } from '../../support/brokers/fault-run.js';
import { expectAll, Numbers, type RunNode, serveRuns, view } from '../../support/brokers/run-nodes.js';
import { note } from '../../support/measures/figures.js';
import type { EventStream } from '../../support/readers/event-stream.js';

const bench = returnToBaseline();
const brokers: Broker[] = [];
const processes: ProcessNode[] = [];

beforeAll(() => ProcessNode.build());
afterAll(async () => {
  for (const node of processes) node.kill();
  await Promise.all(brokers.map((broker) => broker.remove()));
  await ProcessNode.clean();
});

/** Milliseconds. */
const LEASE = 10_000;
const FROZEN = 12_000;

interface Scene {
  readonly broker: Broker;
  /** It is in a process of its own, and has runs. */
  readonly producer: ProcessNode;
  readonly watching: readonly RunNode[];
}

async function scene(kind: BrokerKind, watching: number): Promise<Scene> {
  const broker = await kind.start({ persistent: false });
  brokers.push(broker);
  const producer = await ProcessNode.start({ broker: broker.settings(), config: { heartbeatInterval: 0 } });
  processes.push(producer);
  const nodes = Array.from({ length: watching }, () => serveRuns(bench, { backplane: broker.backplane() }));
  return { broker, producer, watching: await Promise.all(nodes) };
}

/** Events of a run, up to its failure and its end, which are told once. Answers with the numbers. */
async function untilFailed(viewer: EventStream): Promise<number[]> {
  await until('the viewer has the end', () => viewer.ended);
  const names = viewer.messages.map(({ event }) => event);
  expect(names).toEqual([...names.slice(0, -1).map(() => 'n'), 'failed']);
  expect(viewer.ofType('sse.end')).toHaveLength(1);
  expect(viewer.events.at(-1)!.event).toBe('sse.end');
  const numbers = viewer.data.slice(0, -1).map((data) => (data as { n: number }).n);
  expect(numbers).toEqual(numbers.map((_, n) => (numbers[0] ?? 0) + n));
  return numbers;
}

/** Viewers on each node of a run that is busy and of one that is quiet; its node is killed. */
async function killed({ producer, watching }: Scene): Promise<number> {
  const topics = ['busy', 'quiet'];
  await Promise.all([
    producer.do('run', { topic: 'busy', every: 10 }),
    producer.do('run', { topic: 'quiet', every: 0 }),
  ]);
  const viewers = await Promise.all(
    topics.flatMap((topic) => watching.map(async (node) => ({ topic, viewer: await view(node, topic) }))),
  );
  await Promise.all(
    viewers.map(({ topic, viewer }) => viewer.until(() => viewer.messages.length >= (topic === 'busy' ? 30 : 1))),
  );
  producer.kill();
  const since = performance.now();
  let slowest = 0;
  const told = viewers.map(async ({ topic, viewer }) => {
    await viewer.until(() => viewer.ofType('failed').length > 0);
    slowest = Math.max(slowest, performance.now() - since);
    return { topic, numbers: await untilFailed(viewer) };
  });
  for (const { topic, numbers } of await Promise.all(told)) {
    expect(numbers[0]).toBe(0);
    for (const node of watching) {
      expect(node.sse.getRun(topic)).toMatchObject({ state: 'failed', reason: 'lost', events: numbers.length + 1 });
      // Who comes after that gets the same.
      expect(await untilFailed(await view(node, topic))).toEqual(numbers);
    }
  }
  return slowest;
}

/** The node of a run stands still for longer than others wait for it, and comes back. */
async function frozen({ producer, watching }: Scene): Promise<void> {
  const [a, b] = watching as [RunNode, RunNode];
  const topic = 'frozen';
  const producerAsNode = { url: `${producer.url}/all` };
  await producer.do('run', { topic, every: 10 });
  const viewers = await Promise.all([a, b, producerAsNode].map((node) => view(node, topic)));
  await Promise.all(viewers.map((viewer) => viewer.until(() => viewer.messages.length >= 30)));
  producer.freeze();
  const thaw = delay(FROZEN).then(() => producer.thaw());
  const [first, second] = await Promise.all(viewers.slice(0, 2).map(untilFailed));
  expect(second).toEqual(first);

  const source = new Numbers(10_000, 10);
  const newer = a.sse.run(topic, source.work);
  await newer.started;
  const newViewers = await Promise.all([a, b].map((node) => view(node, topic)));
  await thaw;
  const said = (name: string): Record<string, unknown> | undefined => producer.messages.find((told) => name in told);
  await until('it knows', () => said('done') !== undefined && said('aborted') !== undefined);
  expect(said('done')).toEqual({ done: topic, outcome: 'failed' });
  expect(await untilFailed(viewers[2]!)).toEqual(first);
  const then = source.given;
  // It reads one thing after the other: who came before it knew of the newer one would get all of the older one.
  await until('it knows the newer one', async () => (await producer.do('runOf', { topic })) === newer.id);
  newViewers.push(await view(producerAsNode, topic));
  // What it has said when it did not know yet is read by now.
  await until('the newer one goes on', () => source.given > then + 100);
  expect(b.sse.getRun(topic)).toMatchObject({ id: newer.id, state: 'running' });
  source.finish();
  expect(await newer.done).toBe('finished');
  const all = Array.from({ length: source.given }, (_, n) => n);
  for (const viewer of newViewers) await expectAll(viewer, all);
  expect(producer.troubles).toEqual([]);
}

/** The log is emptied, so that nobody knows any more what the run wanted to be said in the end; then its node is killed. */
async function flushedAndKilled({ broker, producer, watching }: Scene): Promise<void> {
  await producer.do('run', { topic: 'flushed', every: 10 });
  await until('it is known', () => (watching[0]!.sse.getRun('flushed')?.events ?? 0) > 10);
  const lives = (): (string | undefined)[] => watching.map(({ sse }) => sse.cursor().split('~')[1]);
  const before = lives();
  await broker.flush();
  // For each of them: whoever follows a node that has not noticed yet is told of the loss, and has what was before.
  await until('it is another life', () => lives().every((life) => !before.includes(life)));
  await until('it is known again', () => watching.every(({ sse }) => (sse.getRun('flushed')?.events ?? 0) > 0));
  const viewers = await Promise.all(watching.map((node) => view(node, 'flushed')));
  producer.kill();
  for (const viewer of viewers) await untilFailed(viewer);
}

for (const kind of brokerKinds) {
  (kind.isInstalled ? describe : describe.skip)(`nodes with runs that are killed or frozen, with ${kind.name}`, () => {
    // Together, because each of them waits for the lease.
    it(`U5, U6: viewers get \`failed\` and the end within ${LEASE} ms, once, and a node that comes back does not disturb`, async () => {
      const [two, one, victim, flushed] = await Promise.all([2, 1, 2, 2].map((count) => scene(kind, count)));
      const [withTwo, withOne] = await Promise.all([
        killed(two!),
        killed(one!),
        frozen(victim!),
        flushedAndKilled(flushed!),
      ]);
      note(
        `U5 (${kind.name}): failed after ${withTwo.toFixed()} ms with two watching nodes, ${withOne.toFixed()} ms with one`,
      );
      expect(Math.max(withTwo, withOne)).toBeLessThan(LEASE);
    });
  });
}
