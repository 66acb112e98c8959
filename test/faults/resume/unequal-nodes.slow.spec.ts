import { describe, expect, it } from '@jest/globals';
import { Controller, Get, Inject, Res, Sse, type Type } from '@nestjs/common';
import { type Backplane, MemoryBackplane, type NodeResponseLike, SSEService, topicPattern } from 'nestjs-sse-hub';

import { returnToBaseline } from '../../support/baseline.js';
import { brokerKinds } from '../../support/brokers/brokers.js';
import { Checker } from '../../support/checker.js';
import { closeAll, type Platform, platforms, startApp } from '../../support/platforms.js';
import { open, type ReceivedEvent } from '../../support/readers/event-stream.js';
import { integer, seededRandom } from '../../support/seed.js';

returnToBaseline();

const FOLLOWED = ['busy', 'quiet', 'done', topicPattern('p:*')];
const EVERYBODY = 'everybody';
const TOPICS = ['busy', 'quiet', 'done', 'p:1', 'p:2', EVERYBODY];

@Controller()
class DirectController {
  constructor(@Inject(SSEService) private readonly sse: SSEService) {}

  @Get('events')
  events(@Res() response: NodeResponseLike): void {
    this.sse.createClient(response, { topics: FOLLOWED });
  }
}

@Controller()
class StreamController {
  constructor(@Inject(SSEService) private readonly sse: SSEService) {}

  @Sse('events')
  events() {
    return this.sse.stream(FOLLOWED);
  }
}

@Controller()
class WebController {
  constructor(@Inject(SSEService) private readonly sse: SSEService) {}

  @Get('events')
  events(): Response {
    return this.sse.addClient({ topics: FOLLOWED }).response;
  }
}

/** As the checker knows it, which has no patterns: a reset that names everything speaks for events to everybody, too. */
function inTopics(event: ReceivedEvent): ReceivedEvent {
  if (event.event !== 'sse.reset') return event;
  const { topics, ...rest } = JSON.parse(event.data) as { topics: string[] };
  const named = topics.flatMap((name) => (name === 'p:*' ? ['p:1', 'p:2'] : [name]));
  const all = topics.length === FOLLOWED.length ? [EVERYBODY] : [];
  return { ...event, data: JSON.stringify({ ...rest, topics: [...named, ...all] }) };
}

/** Two nodes on one log of which one keeps little, and what was published on them. */
class Nodes {
  readonly checker = new Checker();
  #count = 0;

  private constructor(
    readonly small: { readonly sse: SSEService; readonly url: string },
    readonly large: { readonly sse: SSEService; readonly url: string },
  ) {}

  static async start(platform: Platform, controller: Type<unknown>, backplane: () => Backplane): Promise<Nodes> {
    const start = (maxHistorySize: number) =>
      startApp(platform, { config: { backplane: backplane(), maxHistorySize }, controllers: [controller] });
    return new Nodes(await start(4), await start(1_000));
  }

  async publish(topic: string): Promise<void> {
    const n = ++this.#count;
    const data = { topic, n };
    let cursor = '';
    if (topic === EVERYBODY) {
      // Where it is only those know who get it.
      cursor = (await this.#received(JSON.stringify(data), () => this.small.sse.broadcastAll('n', data))).lastEventId;
    } else {
      cursor = await this.small.sse.publish(topic, 'n', data);
    }
    this.checker.recordPublished(cursor, topic, n);
  }

  async #received(data: string, publish: () => void): Promise<ReceivedEvent> {
    const stream = await open(`${this.large.url}/events`);
    await stream.next();
    publish();
    await stream.until(() => stream.messages.some((event) => event.data === data));
    stream.close();
    return stream.messages.find((event) => event.data === data)!;
  }

  /** Everything that a client gets that comes with this cursor. */
  async read({ url }: { readonly url: string }, lastEventId: string): Promise<readonly ReceivedEvent[]> {
    const stream = await open(`${url}/events`, { lastEventId });
    await stream.until(() => (stream.messages.at(-1)?.data ?? '').includes(`"n":${this.#count}}`));
    stream.close();
    return stream.events.filter(({ event }) => event !== 'sse.closed').map(inTopics);
  }
}

/** A client that is cut behind every frame of what it gets from one node, and comes back to the other one. */
async function cutEverywhere(nodes: Nodes, salt: number): Promise<void> {
  const random = seededRandom(salt);
  const stream = await open(`${nodes.large.url}/events`);
  const begin = await stream.next();
  stream.close();
  for (let i = 0; i < 40; i++) {
    const topic = i % 2 === 0 ? 'busy' : TOPICS[integer(random, 0, TOPICS.length - 1)]!;
    if (topic !== 'done' || i < 20) await nodes.publish(topic);
    if (i === 20) nodes.small.sse.closeTopic('done');
  }
  await nodes.publish('quiet');

  for (const [first, second] of [
    [nodes.small, nodes.large],
    [nodes.large, nodes.small],
  ] as const) {
    const replay = await nodes.read(first, begin.lastEventId);
    const stories = replay.map(async ({ lastEventId }, at) => {
      const received = [begin, ...replay.slice(0, at + 1)];
      // Whoever has it all would wait for more.
      if (at < replay.length - 1) received.push(...(await nodes.read(second, lastEventId)));
      return nodes.checker.faultsOf(TOPICS, received).map((fault) => `cut behind ${at}: ${fault}`);
    });
    expect((await Promise.all(stories)).flat()).toEqual([]);
  }
}

const oneLog = (): (() => Backplane) => {
  const backplane = new MemoryBackplane();
  return () => backplane;
};

describe('R19, R20: whoever is cut in a replay and comes back to a node that keeps more, or less, lacks nothing untold', () => {
  for (const platform of platforms) {
    for (const [i, controller] of [DirectController, StreamController, WebController].entries()) {
      it(`${controller.name} on ${platform.name}`, async () => {
        await cutEverywhere(await Nodes.start(platform, controller, oneLog()), i);
      });
    }
  }

  for (const kind of brokerKinds) {
    (kind.isInstalled ? it : it.skip)(`through ${kind.name}`, async () => {
      const broker = await kind.start({ persistent: false });
      const [platform] = platforms;
      try {
        await cutEverywhere(await Nodes.start(platform!, DirectController, () => broker.backplane()), 9);
      } finally {
        await closeAll();
        await broker.remove();
      }
    });
  }
});

describe('the two nodes', () => {
  it('R19: differ in what they can still give, so that something is told', async () => {
    const nodes = await Nodes.start(platforms[0]!, DirectController, oneLog());
    const stream = await open(`${nodes.large.url}/events`);
    const { lastEventId } = await stream.next();
    stream.close();
    for (let i = 0; i < 10; i++) await nodes.publish('busy');
    const told = (events: readonly ReceivedEvent[]) => events.filter(({ event }) => event === 'sse.reset').length;
    expect(told(await nodes.read(nodes.small, lastEventId))).toBe(1);
    expect(told(await nodes.read(nodes.large, lastEventId))).toBe(0);
  });
});
