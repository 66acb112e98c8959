import { setTimeout as delay } from 'node:timers/promises';

import { afterAll, describe, expect, it } from '@jest/globals';

import { returnToBaseline, until } from '../../support/baseline.js';
import { logKinds, type RunNode, serveRuns, view } from '../../support/brokers/run-nodes.js';
import { note } from '../../support/measures/figures.js';
import type { EventStream } from '../../support/readers/event-stream.js';
import { integer, pick, seededRandom } from '../../support/seed.js';

const bench = returnToBaseline();
const removals: (() => Promise<void>)[] = [];

// Behind the nodes of the last test.
afterAll(() => Promise.all(removals.map((remove) => remove())));

const CHUNKS = 10_000;
const FRAMES = 20;
/** Who come at any time, and are cut at any place, some times over. */
const COMERS = 40;
const CUTS = 4;

type Chunk = string | { readonly tool: number };

/** Gives all of them, some at a time, and stands still where it is told to. */
class Chunks {
  given = 0;
  #letGo = (): void => {};

  constructor(
    private readonly chunks: readonly Chunk[],
    private readonly stops: readonly number[],
  ) {}

  async *give(): AsyncGenerator<Chunk> {
    for (const chunk of this.chunks) {
      if (this.stops.includes(this.given)) await new Promise<void>((resolve) => (this.#letGo = resolve));
      if (this.given % 10 === 0) await delay(1);
      this.given++;
      yield chunk;
    }
    await new Promise<void>((resolve) => (this.#letGo = resolve));
  }

  goOn(): void {
    this.#letGo();
  }
}

/** Somebody who comes back with what they have until they have seen the end. */
class Comer {
  readonly received: string[] = [];
  #lastEventId: string | undefined;
  stream: EventStream | undefined;

  constructor(
    private readonly nodes: readonly RunNode[],
    private readonly topic: string,
  ) {}

  get text(): string {
    return [...this.received, ...(this.stream?.messages.map(({ data }) => data) ?? [])].join('');
  }

  async come(random: () => number): Promise<void> {
    this.stream = await view(pick(random, this.nodes), this.topic, this.#lastEventId);
  }

  /** Is cut off after so many more events, or where there are no more. */
  async cutAfter(count: number): Promise<void> {
    const stream = this.stream!;
    await Promise.race([stream.until(() => stream.messages.length >= count || stream.ended), delay(200)]);
    stream.socket.resetAndDestroy();
    await stream.untilEnd();
    this.received.push(...stream.messages.map(({ data }) => data));
    expect(stream.ofType('sse.reset')).toEqual([]);
    this.#lastEventId = stream.lastEventId;
    this.stream = undefined;
  }
}

/** What the text of neighbours is together, with everything else in its place. */
function inOrder(chunks: readonly Chunk[]): Chunk[] {
  const merged: Chunk[] = [];
  for (const chunk of chunks) {
    const last = merged.at(-1);
    if (typeof chunk === 'string' && typeof last === 'string') merged[merged.length - 1] = last + chunk;
    else merged.push(chunk);
  }
  return merged;
}

/** What came to this one, as it was published. */
function chunksIn({ messages }: EventStream): Chunk[] {
  return messages.map(({ data }) => (data.startsWith('{') ? (JSON.parse(data) as Chunk) : data));
}

for (const kind of logKinds) {
  (kind.isInstalled ? describe : describe.skip)(`what is merged for those who are behind, with ${kind.name}`, () => {
    async function threeNodes(): Promise<RunNode[]> {
      const log = await kind.start();
      removals.push(() => log.remove());
      return Promise.all([1, 2, 3].map(() => serveRuns(bench, { backplane: log.node() })));
    }

    it(`U8: ${CHUNKS} small chunks make the same text for everybody, in at most ${FRAMES} frames for who comes late`, async () => {
      const random = seededRandom(8);
      const nodes = await threeNodes();
      const letters = ['a', 'é', '漢', '😀', ' ', '\n', '"', '\\', ':', '7', '{', ''];
      const chunks = Array.from({ length: CHUNKS }, () =>
        Array.from({ length: integer(random, 0, 6) }, () => pick(random, letters)).join(''),
      );
      const text = chunks.join('');
      const source = new Chunks(chunks, [0, CHUNKS / 2]);
      const run = nodes[0]!.sse.run('answer', () => source.give());
      await run.started;
      const there = await Promise.all(nodes.flatMap((node) => [view(node, 'answer?merge'), view(node, 'answer')]));
      const comers = Array.from(
        { length: COMERS },
        (_, i) => new Comer(nodes, i % 2 === 0 ? 'answer?merge' : 'answer'),
      );
      const coming = comers.map(async (comer) => {
        await delay(integer(random, 0, 2_000));
        for (let cut = 0; cut < CUTS; cut++) {
          await comer.come(random);
          await comer.cutAfter(pick(random, [0, 1, 2, 10, 100, 1_000]));
        }
        await comer.come(random);
      });
      const frames: number[] = [];
      const comeLate = async (count: number): Promise<void> => {
        const sofar = chunks.slice(0, count).join('');
        await until('all is given', () => source.given === count);
        await until('all nodes know', () => nodes.every(({ sse }) => sse.getRun('answer')?.events === count));
        for (const node of nodes) {
          const late = await view(node, 'answer?merge');
          const sum = (): string => late.messages.map(({ data }) => data).join('');
          await late.until(() => sum().length >= sofar.length);
          expect(sum() === sofar).toBe(true);
          frames.push(late.messages.length);
          late.close();
        }
      };
      source.goOn();
      await comeLate(CHUNKS / 2);
      source.goOn();
      await comeLate(CHUNKS);
      await Promise.all(coming);
      source.goOn();
      expect(await run.done).toBe('finished');

      for (const viewer of there) {
        await viewer.untilEnd();
        // Each of them, as it came, whether they would have them merged or not.
        expect(viewer.messages.length).toBe(CHUNKS);
        expect(viewer.messages.every(({ data }, n) => data === chunks[n])).toBe(true);
      }
      for (const comer of comers) {
        await comer.stream!.untilEnd();
        expect(comer.stream!.ofType('sse.end')).toHaveLength(1);
        expect(comer.text === text).toBe(true);
      }
      note(
        `U8 (${kind.name}): ${Math.max(...frames)} frames at most of ${CHUNKS} chunks, for ${frames.length} who came late`,
      );
      expect(Math.max(...frames)).toBeLessThanOrEqual(FRAMES);
    });

    it('U8: what does not go together keeps its order', async () => {
      const random = seededRandom(88);
      const nodes = await threeNodes();
      const chunks = Array.from({ length: 2_000 }, (_, n): Chunk => (random() < 0.2 ? { tool: n } : `${n},`));
      const source = new Chunks(chunks, [0, 1_000]);
      const run = nodes[0]!.sse.run('answer', () => source.give());
      await run.started;
      const there = await Promise.all(nodes.map((node) => view(node, 'answer?merge')));
      source.goOn();
      await until('half of it is known', () => nodes.every(({ sse }) => sse.getRun('answer')?.events === 1_000));
      const half = inOrder(chunks.slice(0, 1_000));
      const late = await Promise.all(nodes.map((node) => view(node, 'answer?merge')));
      for (const viewer of late) {
        await viewer.messagesUpTo(half.length);
        expect(chunksIn(viewer)).toEqual(half);
      }
      source.goOn();
      await until('all is known', () => nodes.every(({ sse }) => sse.getRun('answer')?.events === chunks.length));
      source.goOn();
      expect(await run.done).toBe('finished');
      for (const viewer of [...there, ...late]) await viewer.untilEnd();
      for (const viewer of there) expect(chunksIn(viewer)).toEqual(chunks);
      for (const viewer of late) expect(chunksIn(viewer)).toEqual([...half, ...chunks.slice(1_000)]);
      for (const node of nodes) {
        const behind = await view(node, 'answer?merge');
        await behind.untilEnd();
        expect(chunksIn(behind)).toEqual(inOrder(chunks));
      }
    });
  });
}
