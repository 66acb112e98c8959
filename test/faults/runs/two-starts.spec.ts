import { setTimeout as delay } from 'node:timers/promises';

import { afterAll, describe, expect, it } from '@jest/globals';
import { type Backplane, type SSERun, SSEService } from 'nestjs-sse-hub';
import { TestNode } from 'nestjs-sse-hub/testing';

import { returnToBaseline, until } from '../../support/baseline.js';
import { logKinds } from '../../support/brokers/run-nodes.js';
import { note } from '../../support/measures/figures.js';
import { integer, pick, seededRandom } from '../../support/seed.js';

const bench = returnToBaseline();
const removals: (() => Promise<void>)[] = [];

afterAll(() => Promise.all(removals.map((remove) => remove())));

const TRIALS = 200;
const AT_A_TIME = 10;
const WAYS = ['join', 'reject', 'replace'] as const;

type Way = (typeof WAYS)[number];

/** One of the two who start, and what became of it. */
class Start {
  /** Runs once, until it is told to finish or is aborted; writes down that it does. */
  readonly ran: { label: string; signal: AbortSignal }[] = [];
  run: SSERun | undefined;
  /** What was thrown at once. */
  refused: unknown;
  #finish = (): void => {};
  readonly #finished = new Promise<void>((resolve) => (this.#finish = resolve));

  constructor(
    readonly label: string,
    readonly way: Way,
  ) {}

  begin(sse: SSEService, topic: string): void {
    try {
      this.run = sse.run(topic, (signal) => this.#work(signal), { onRunning: this.way });
    } catch (error) {
      this.refused = error;
    }
  }

  finish(): void {
    this.#finish();
  }

  async settled(): Promise<PromiseSettledResult<unknown>[]> {
    if (!this.run) return [];
    return Promise.allSettled([this.run.started, this.run.done]);
  }

  async *#work(signal: AbortSignal): AsyncGenerator<string> {
    this.ran.push({ label: this.label, signal });
    yield `${this.label}:first`;
    await this.#finished;
    yield `${this.label}:last`;
  }
}

/** What three nodes are behind by, each as it happens. */
function lag(views: readonly TestNode[], random: () => number): () => void {
  for (const view of views) if (random() < 0.4) view.hold();
  return () => {
    for (const view of views) {
      if (random() < 0.5) view.readSome(integer(random, 0, 4));
      view.release();
    }
  };
}

for (const kind of logKinds) {
  (kind.isInstalled ? describe : describe.skip)(`two starts at once on two nodes, with ${kind.name}`, () => {
    it(`U4: one runs, ${TRIALS} times, and the other one joins, is refused or replaces it, as asked`, async () => {
      const random = seededRandom(4);
      const log = await kind.start();
      removals.push(() => log.remove());
      const outcomes = { joined: 0, refused: 0, replaced: 0 };

      const tryOnce = async (topic: string, nodes: readonly SSEService[], catchUp: () => void): Promise<void> => {
        const seen: string[][] = nodes.map(() => []);
        const observing = nodes.map((sse, i) =>
          sse.observe<string>(topic).subscribe(({ data }) => seen[i]!.push(data)),
        );
        const starts = ['a', 'b'].map((label) => new Start(label, pick(random, WAYS)));
        const order = random() < 0.5 ? [0, 1] : [1, 0];
        const apart = pick(random, [undefined, 0, 1, 3]);
        for (const i of order) {
          starts[i]!.begin(nodes[i]!, topic);
          if (i === order[0] && apart !== undefined) await delay(apart);
        }
        await delay(integer(random, 0, 5));
        catchUp();
        for (const { run } of starts) await run?.started.catch(() => {});
        // Everybody has read who it is.
        const sources = (): Start[] => starts.filter(({ ran }) => ran.some(({ signal }) => !signal.aborted));
        await until('one source runs', () => sources().length === 1);
        const [current] = sources() as [Start];
        const other = starts.find((start) => start !== current)!;
        const { run } = current;
        await until('all nodes agree', () => nodes.every((sse) => sse.getRun(topic)?.id === run!.id));
        for (const sse of nodes) expect(sse.getRun(topic)).toMatchObject({ state: 'running' });

        for (const start of starts) start.finish();
        const story = JSON.stringify({ topic, ways: starts.map(({ way }) => way), current: current.label, apart });
        expect([story, await run!.done]).toEqual([story, 'finished']);
        const [started, done] = await other.settled();
        if (done?.status === 'fulfilled' && done.value === 'cancelled') {
          // It was first, though it need not have run: its node may have read of its end together with its beginning.
          outcomes.replaced++;
          expect([story, current.way]).toEqual([story, 'replace']);
          expect(other.run!.id).not.toBe(run!.id);
        } else if (other.way === 'reject') {
          outcomes.refused++;
          const refused = { code: 'RUN_EXISTS' };
          if (other.run) expect([started, done]).toMatchObject([{ reason: refused }, { reason: refused }]);
          else expect(other.refused).toMatchObject(refused);
        } else {
          outcomes.joined++;
          expect([story, other.way, done]).toEqual([story, 'join', { status: 'fulfilled', value: 'finished' }]);
          expect(other.run!.id).toBe(run!.id);
        }
        expect(current.ran).toHaveLength(1);
        expect(other.ran.length).toBeLessThanOrEqual(
          done?.status === 'fulfilled' && done.value === 'cancelled' ? 1 : 0,
        );
        await until('all nodes know', () => nodes.every((sse) => sse.getRun(topic)?.state === 'finished'));
        for (const sse of nodes) expect(sse.getRun(topic)).toEqual(nodes[0]!.getRun(topic));
        // What the first one has said before it was replaced may be there, and nothing of it beside or behind the other.
        const mine = [`${current.label}:first`, `${current.label}:last`];
        for (const got of seen) {
          expect([story, got]).toEqual([story, seen[0]]);
          expect([story, got.slice(-2)]).toEqual([story, mine]);
          expect([[], [`${other.label}:first`]]).toContainEqual(got.slice(0, -2));
        }
        for (const subscription of observing) subscription.unsubscribe();
      };

      // Held nodes hold back all of their topics, so each trial at a time has nodes of its own.
      const trial = async (lane: number): Promise<void> => {
        const views = [1, 2, 3].map(() => new TestNode(log.node()));
        const nodes = views.map((backplane: Backplane) =>
          bench.watch(new SSEService({ backplane, drainTimeout: 100, heartbeatInterval: 0 })),
        );
        await Promise.all(nodes.map((sse) => sse.start()));
        for (let i = 0; i < TRIALS / AT_A_TIME; i++) await tryOnce(`t:${lane}:${i}`, nodes, lag(views, random));
      };
      await Promise.all(Array.from({ length: AT_A_TIME }, (_, lane) => trial(lane)));
      note(`U4 (${kind.name}): of ${TRIALS} starts at a time ${JSON.stringify(outcomes)}`);
      expect(outcomes.joined + outcomes.refused + outcomes.replaced).toBe(TRIALS);
      for (const count of Object.values(outcomes)) expect(count).toBeGreaterThan(TRIALS / 20);
    });
  });
}
