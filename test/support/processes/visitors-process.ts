// Clients that disconnect at random, in a process of their own: their reading costs the server's event loop nothing.
import { setTimeout as delay } from 'node:timers/promises';

import { type EventStream, open } from '../readers/event-stream.js';
import { Sequence, type Tally } from '../readers/sequence.js';
import { pick, seededRandom } from '../seed.js';
import type { Published, VisitorsAnswer, VisitorsRequest, VisitorsTask } from './visitors.js';

/** Milliseconds. */
const LONGEST_STAY = 1_500;
const LONGEST_ABSENCE = 150;
/** Of all topics, that each client follows. */
const SHARE = 0.015;

/** Ways to leave: in order, with a reset, and without having read what has come. */
const PARTINGS: readonly ((stream: EventStream) => void | Promise<void>)[] = [
  (stream) => stream.close(),
  (stream) => void stream.socket.resetAndDestroy(),
  async (stream) => {
    stream.response.pause();
    await delay(30);
    stream.close();
  },
];

let published: Published | undefined;
let end = (): void => {};
const publishingEnds = new Promise<void>((resolve) => (end = resolve));
let reconnects = 0;

class Visitor {
  readonly #topics: readonly string[];
  readonly #sequence: Sequence;
  #lastEventId = '';

  constructor(
    private readonly url: string,
    topics: readonly string[],
    private readonly random: () => number,
  ) {
    const some = topics.filter(() => random() < SHARE);
    this.#topics = some.length > 0 ? some : [pick(random, topics)];
    this.#sequence = new Sequence(this.#topics);
  }

  /** Comes and goes while events are published, and then stays until it has everything. */
  async follow(arrived: () => void): Promise<Tally> {
    let stream = await this.#come();
    arrived();
    for (;;) {
      await Promise.race([delay(this.random() * LONGEST_STAY), publishingEnds]);
      if (published) return this.#stayUntilComplete(stream, published);
      await pick(this.random, PARTINGS)(stream);
      this.#take(stream);
      await delay(this.random() * LONGEST_ABSENCE);
      reconnects++;
      stream = await this.#come();
    }
  }

  async #come(): Promise<EventStream> {
    const stream = await open(`${this.url}/${this.#topics.join(',')}`, { lastEventId: this.#lastEventId });
    stream.request.on('error', () => {});
    await stream.until(() => stream.events.length > 0);
    return stream;
  }

  #take(stream: EventStream): void {
    for (const event of stream.events.splice(0)) this.#sequence.accept(event);
    this.#lastEventId = stream.lastEventId;
  }

  async #stayUntilComplete(stream: EventStream, published: Published): Promise<Tally> {
    const isComplete = (): boolean => {
      this.#take(stream);
      return this.#sequence.isComplete(published);
    };
    // What never comes is counted.
    await stream.until(isComplete).catch(() => {});
    stream.close();
    return this.#sequence.tally(published);
  }
}

async function follow({ url, topics, clients, salt }: VisitorsTask): Promise<void> {
  let absent = clients;
  const arrived = (): void => {
    if (--absent === 0) answer({ arrived: clients });
  };
  const visitors = Array.from({ length: clients }, (_, i) => new Visitor(url, topics, seededRandom(salt + i)));
  const tallies = await Promise.all(visitors.map((visitor) => visitor.follow(arrived)));
  answer({ tallies, reconnects });
}

function answer(message: VisitorsAnswer): void {
  process.send!(message);
}

process.on('message', (request: VisitorsRequest) => {
  if ('published' in request) {
    ({ published } = request);
    end();
  } else {
    follow(request).catch((error: unknown) => answer({ failure: String(error) }));
  }
});
