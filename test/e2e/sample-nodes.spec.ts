import { mkdir, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';

import { answerTo } from '../../sample-app/chat/stream-answer.js';
import type { Tick } from '../../sample-app/survival/flow.service.js';
import { until } from '../support/baseline.js';
import { findSampleBrokers, runSample, SampleNode, SampleNodes } from '../support/processes/sample-nodes.js';
import { buildSample, type Program } from '../support/processes/standalone.js';
import type { RecordedEventSource } from '../support/readers/event-source.js';

const EXECUTION_EVENTS = ['task-start', 'task-complete', 'execution-complete', 'execution-failed', 'execution-stopped'];

type Data = Readonly<Record<string, unknown>>;

const brokers = await findSampleBrokers();

/** A folder of the project that takes longer to hash than any test. */
const ENDLESS = 'endless';

/** Milliseconds in which every node has looked who is there. */
const UNTIL_GONE = 7_500;

let built: Awaited<ReturnType<typeof buildSample>>;

beforeAll(async () => {
  built = await buildSample();
  const file = join(built.folder, ENDLESS, 'zeros');
  await mkdir(join(built.folder, ENDLESS));
  await writeFile(file, '');
  await truncate(file, 2 ** 38);
});

afterAll(async () => {
  await built.remove();
  for (const broker of brokers) await broker.stop();
});

function dataOf(source: RecordedEventSource, event: string): Data[] {
  return source.events.filter((one) => one.event === event).map(({ data }) => JSON.parse(data) as Data);
}

function textsOf(source: RecordedEventSource): string[] {
  return dataOf(source, 'notification').map(({ notification }) => (notification as { text: string }).text);
}

/** The numbers of each node, in the order in which they came. */
function lanesOf(source: RecordedEventSource): Map<string, number[]> {
  const lanes = new Map<string, number[]>();
  for (const { lane, n } of dataOf(source, 'tick') as unknown as Tick[]) {
    lanes.set(lane, [...(lanes.get(lane) ?? []), n]);
  }
  return lanes;
}

for (const broker of brokers) {
  (broker.url === undefined ? describe.skip : describe)(`two nodes of the sample application on ${broker.name}`, () => {
    let nodes: SampleNodes;
    let one: SampleNode;
    let other: SampleNode;

    // The last tests end the nodes, in the order in which they stand.
    beforeAll(async () => {
      nodes = new SampleNodes(built.folder, broker);
      [one, other] = await Promise.all([nodes.start(), nodes.start()]);
    });

    afterEach(() => nodes.leave());
    afterAll(() => nodes.end());

    it('show everybody what is done on either of them', async () => {
      const inbox = await nodes.follow({ node: other }, '/notifications/events', 'inbox', 'notification');
      const document = await nodes.follow({ node: other }, '/documents/handbook/events?user=7', 'edit', 'joined');
      const dashboard = await nodes.follow({ node: other }, '/dashboard/events', 'order', 'process');
      // What is counted on other nodes may be a second old.
      await until('Grace is known to be there', async () => {
        return (await one.get<Data>('/documents/handbook/viewers'))['streams'] === 1;
      });
      await nodes.follow({ node: one }, '/documents/handbook/events');
      const figures = await nodes.follow({ node: one }, '/dashboard/events', 'process');

      await one.post('/notifications', { text: 'from the other side' });
      await one.post('/documents/handbook/edits', { text: 'edited elsewhere' });
      await one.post('/dashboard/orders', { item: 'Tea', quantity: 2 });
      await inbox.untilCount('notification', 1);
      await document.untilCount('edit', 1);
      await dashboard.untilCount('order', 1);
      expect(textsOf(inbox)).toEqual(['from the other side']);
      expect(dataOf(document, 'edit')).toMatchObject([{ text: 'edited elsewhere', version: 2, author: 'Ada' }]);
      expect(await other.get('/notifications/unread')).toEqual({ unread: 1 });
      expect(await one.get('/notifications/unread')).toEqual({ unread: 1 });
      await document.untilCount('joined', 2);
      expect(dataOf(document, 'joined')).toContainEqual({ user: 'Ada', viewers: ['Ada', 'Grace'] });
      const late = await nodes.follow({ node: other }, '/documents/handbook/events', 'document');
      await late.untilCount('document', 1);
      expect(dataOf(late, 'document')).toMatchObject([{ text: 'edited elsewhere', version: 2 }]);

      await dashboard.untilCount('process', 1);
      await figures.untilCount('process', 1);
      const nodesOf = (source: RecordedEventSource): Set<unknown> =>
        new Set(dataOf(source, 'process').map(({ node }) => node));
      const own = await Promise.all([one, other].map((node) => node.get<Data>('/admin/connections')));
      expect(own.map(({ open }) => open)).toEqual([2, 4]);
      expect([figures, dashboard].map(nodesOf)).toEqual(own.map(({ node }) => new Set([node])));
    });

    it('end the streams of an execution of one on the other', async () => {
      const { id } = await one.post<{ id: string }>('/executions', { folder: 'sample-app' });
      const viewer = await nodes.follow({ node: other }, `/executions/${id}/events`, ...EXECUTION_EVENTS);
      await viewer.untilCount('sse.end', 1);
      expect(viewer.count('task-complete')).toBeGreaterThan(10);
      expect(viewer.events.slice(-2).map(({ event }) => event)).toEqual(['execution-complete', 'sse.end']);
      const back = { headers: { 'last-event-id': viewer.lastEventId } };
      expect((await fetch(`${one.url}/executions/${id}/events`, back)).status).toBe(204);
      expect(await other.get('/executions')).toEqual([{ id, folder: 'sample-app', state: 'finished' }]);
    });

    it('let viewers of an execution come back to a node that has started since', async () => {
      const { id } = await one.post<{ id: string }>('/executions', { folder: ENDLESS });
      const at = { node: one };
      const viewer = await nodes.follow(at, `/executions/${id}/events`, ...EXECUTION_EVENTS);
      await viewer.untilCount('task-start', 1);
      const { lastEventId } = viewer;
      const later = await nodes.start();
      const path = `/executions/${id}/events?lastEventId=${lastEventId}`;
      const again = await nodes.follow({ node: later }, path, ...EXECUTION_EVENTS);
      expect(dataOf(again, 'sse.open')).toMatchObject([{ resumed: 'full' }]);
      expect(await later.get('/executions')).toContainEqual({ id, folder: ENDLESS, state: 'running' });
      expect((await fetch(`${later.url}/executions/nothing/events?lastEventId=${lastEventId}`)).status).toBe(404);
      // Whichever node is asked to stop it.
      await fetch(`${other.url}/executions/${id}`, { method: 'DELETE' });
      await again.untilCount('execution-stopped', 1);
      await again.untilStopped();
      expect(await later.get('/executions')).toContainEqual({ id, folder: ENDLESS, state: 'cancelled' });
    });

    it('have the last text of a document on a node that has started since', async () => {
      await one.post('/documents/roadmap/edits', { text: 'many nodes by now' });
      const later = await nodes.start();
      const late = await nodes.follow({ node: later }, '/documents/roadmap/events', 'document');
      await late.untilCount('document', 1);
      expect(dataOf(late, 'document')).toMatchObject([{ text: 'many nodes by now', version: 2, viewers: ['Ada'] }]);
    });

    it('show nobody as gone whose node was killed and who is back, and whoever is not', async () => {
      // Whoever was there in other tests is gone by then.
      const [dying] = await Promise.all([nodes.start(), delay(UNTIL_GONE)]);
      const ada = await nodes.follow({ node: one }, '/documents/handbook/events', 'joined', 'left');
      const at = { node: dying };
      const grace = await nodes.follow(at, '/documents/handbook/events?user=7', 'joined', 'left');
      await ada.untilCount('joined', 2);
      at.node = other;
      dying.program.kill();
      await until('she has come back', () => grace.count('sse.open') === 2);
      await delay(UNTIL_GONE);
      expect([ada.count('joined'), ada.count('left')]).toEqual([2, 0]);
      grace.close();
      await ada.untilCount('left', 1);
      expect(dataOf(ada, 'left')).toEqual([{ user: 'Grace', viewers: ['Ada'] }]);
    });

    it('go on with every lane for a tab whose node is killed, whichever node is asked to do it', async () => {
      const dying = await nodes.start();
      const names = ['flow', 'tick'];
      const witness = await nodes.follow({ node: one }, '/events?document=handbook&tab=witness', ...names);
      const at = { node: dying };
      const tab = await nodes.follow(at, '/events?document=handbook&tab=survivor', ...names);
      const { lane } = (await one.get<{ flow: Tick }>('/survive/state')).flow;
      expect(await dying.get('/survive/state')).toMatchObject({
        nodes: true,
        log: broker.variable.slice(0, -4).toLowerCase(),
      });
      await until('both lanes come', () => lanesOf(tab).size === 2);

      at.node = one;
      const killed = await fetch(`${one.url}/survive/kill?tab=survivor`, { method: 'POST' });
      expect([killed.status, await dying.program.ended()]).toEqual([202, { code: null, signal: 'SIGKILL' }]);
      await tab.untilCount('sse.open', 2);
      const { length } = lanesOf(tab).get(lane)!;
      await until('its lane goes on', () => lanesOf(tab).get(lane)!.length > length + 2);
      expect(dataOf(tab, 'sse.open').map(({ resumed }) => resumed)).toEqual(['none', 'full']);
      expect([tab.count('sse.reset'), tab.count('flow')]).toEqual([0, 1]);
      for (const [name, numbers] of lanesOf(tab)) {
        expect(numbers).toEqual(numbers.map((_, i) => numbers[0]! + i));
        const all = lanesOf(witness).get(name)!;
        // What both have: from where the tab began to where the slower of the two is.
        const shared = all.slice(all.indexOf(numbers[0]!)).slice(0, numbers.length);
        expect(shared).toEqual(numbers.slice(0, shared.length));
        if (name !== lane) expect(shared).toEqual(numbers);
      }
    });

    it('cut a tab whichever of them is asked to', async () => {
      const tab = await nodes.follow({ node: other }, '/events?document=handbook&tab=cut', 'tick');
      await tab.untilCount('tick', 1);
      await fetch(`${one.url}/survive/cut?tab=cut`, { method: 'POST' });
      await tab.untilCount('sse.open', 2);
      expect(dataOf(tab, 'sse.open').map(({ resumed }) => resumed)).toEqual(['none', 'full']);
    });

    it('lose and repeat nothing when one is killed while events are published', async () => {
      const at = { node: other };
      const source = await nodes.follow(at, '/notifications/events', 'inbox', 'notification');
      await source.untilCount('inbox', 1);
      const sent: string[] = [];
      const publishUpTo = async (count: number): Promise<void> => {
        while (sent.length < count) {
          sent.push(String(sent.length));
          await one.post('/notifications', { text: sent.at(-1) });
        }
      };
      await publishUpTo(50);
      await source.untilCount('notification', 20);
      const publishing = publishUpTo(150);
      at.node = one;
      other.program.kill();
      await publishing;
      // It waits for `retry`, 3 to 4.5 s.
      await until('it has come back', () => source.attempts.length === 2);
      await publishUpTo(200);
      await source.untilCount('notification', 200);

      expect(textsOf(source)).toEqual(sent);
      expect(source.attempts).toEqual([
        { status: 200, lastEventId: undefined },
        { status: 200, lastEventId: expect.stringMatching(/^1~\w+~\w+-\w+$/) },
      ]);
      expect(dataOf(source, 'sse.open').map(({ resumed }) => resumed)).toEqual(['none', 'full']);
      expect([source.count('sse.reset'), source.count('inbox')]).toEqual([0, 1]);
    });

    it('tell within ten seconds that an answer ends with its node, and keep what there is of it', async () => {
      const dying = await nodes.start();
      const headers = { 'content-type': 'application/json' };
      const body = JSON.stringify({ text: 'Still there?' });
      const asked = await fetch(`${dying.url}/chat/tea`, { method: 'POST', headers, body });
      await asked.body?.cancel();
      const viewer = await nodes.follow({ node: one }, '/chat/tea', 'question', 'word', 'answer-failed');
      await viewer.untilCount('word', 5);
      dying.program.kill();
      const killed = performance.now();
      await viewer.untilCount('sse.end', 1);
      expect(performance.now() - killed).toBeLessThan(10_000);
      expect(dataOf(viewer, 'answer-failed')).toEqual([{ message: 'The answer failed, or its node is gone.' }]);
      const textOf = (source: RecordedEventSource): string =>
        dataOf(source, 'word')
          .map(({ text }) => text)
          .join('');
      expect(answerTo('Still there?').startsWith(textOf(viewer))).toBe(true);
      const late = await nodes.follow({ node: one }, '/chat/tea', 'word', 'answer-failed');
      await late.untilStopped();
      expect([textOf(late), late.count('answer-failed')]).toEqual([textOf(viewer), 1]);
    });

    it('tell within ten seconds that an execution is over whose node was killed', async () => {
      const dying = await nodes.start();
      const { id } = await dying.post<{ id: string }>('/executions', { folder: ENDLESS });
      const viewer = await nodes.follow({ node: one }, `/executions/${id}/events`, ...EXECUTION_EVENTS);
      await viewer.untilCount('task-start', 1);
      dying.program.kill();
      const killed = performance.now();
      await viewer.untilCount('sse.end', 1);
      expect(performance.now() - killed).toBeLessThan(10_000);
      expect(dataOf(viewer, 'execution-failed')).toEqual([{ message: 'It failed, or its node is gone.' }]);
      expect(await one.get('/executions')).toContainEqual({ id, folder: ENDLESS, state: 'failed' });
    });

    it('tell on the others that an execution has ended with its node', async () => {
      const third = await nodes.start();
      const { id } = await one.post<{ id: string }>('/executions', { folder: ENDLESS });
      const viewer = await nodes.follow({ node: third }, `/executions/${id}/events`, ...EXECUTION_EVENTS);
      await viewer.untilCount('task-start', 1);
      one.program.signal('SIGTERM');
      await viewer.untilCount('sse.end', 1);
      expect(dataOf(viewer, 'execution-failed')).toEqual([{ message: 'It failed, or its node is gone.' }]);
      expect(await one.program.ended()).toEqual({ code: null, signal: 'SIGTERM' });
      expect([one.program.stderr, third.program.stderr]).toEqual(['', '']);
    });
  });
}

describe('the log of the sample application', () => {
  const programs: Program[] = [];

  afterEach(() => {
    for (const program of programs.splice(0)) program.kill();
  });

  function run(env: Record<string, string>): Program {
    const program = runSample(built.folder, env);
    programs.push(program);
    return program;
  }

  it('is in memory without a broker, whose client library is then not loaded', async () => {
    const hook = join(built.folder, 'no-brokers.mjs');
    const resolve = `export async function resolve(name, context, next) {
      if (/^(ioredis|@nats-io)/.test(name)) throw new Error('loaded ' + name);
      return next(name, context);
    }`;
    const url = JSON.stringify(`data:text/javascript,${encodeURIComponent(resolve)}`);
    await writeFile(hook, `import { register } from 'node:module';\nregister(${url});\n`);
    const watched = { NODE_OPTIONS: `--import=file://${hook}` };

    const program = run(watched);
    const { url: address } = await SampleNode.start(program);
    expect(program.output).toContain('log: memory');
    expect((await fetch(address)).status).toBe(200);

    const redis = run({ ...watched, REDIS_URL: 'redis://127.0.0.1:1' });
    const nats = run({ ...watched, NATS_URL: 'nats://127.0.0.1:1' });
    expect([(await redis.ended()).code, (await nats.ended()).code]).toEqual([1, 1]);
    expect(redis.stderr).toContain('loaded ioredis');
    expect(nats.stderr).toContain('loaded @nats-io');
  });

  it('is not chosen when two are asked for', async () => {
    const program = run({ REDIS_URL: 'redis://127.0.0.1', NATS_URL: 'nats://127.0.0.1' });
    expect((await program.ended()).code).toBe(1);
    expect(program.stderr).toContain('Both REDIS_URL and NATS_URL are set: set one of them');
  });
});
