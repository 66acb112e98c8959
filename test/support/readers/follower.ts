import { setTimeout as delay } from 'node:timers/promises';

import { type EventStream, open, type ReceivedEvent } from './event-stream.js';

/** A client that comes back like an EventSource, to one node after the other. */
export class Follower {
  /** What came over connections that are over. */
  readonly #received: ReceivedEvent[] = [];
  #stream: EventStream | undefined;
  #lastEventId = '';
  #stopped = false;
  #running: Promise<void>;
  connections = 0;
  /** When it was told to come back, in milliseconds, as the last word of connections that are over. */
  readonly retries: number[] = [];

  /** `urls` is asked for every connection anew, because nodes come and go. */
  constructor(
    private readonly topics: readonly string[],
    private readonly urls: () => readonly string[],
    first = 0,
  ) {
    this.#running = this.#run(first);
  }

  get received(): readonly ReceivedEvent[] {
    return [...this.#received, ...(this.#stream?.events ?? [])];
  }

  /** Events of the application. */
  get messages(): readonly ReceivedEvent[] {
    return this.received.filter(({ event }) => !event.startsWith('sse.'));
  }

  get data(): unknown[] {
    return this.messages.map(({ data }) => JSON.parse(data) as unknown);
  }

  get opened(): boolean {
    return this.received.some(({ event }) => event === 'sse.open');
  }

  get resets(): { reason: string; topics: string[] }[] {
    const resets = this.received.filter(({ event }) => event === 'sse.reset');
    return resets.map(({ data }) => JSON.parse(data) as { reason: string; topics: string[] });
  }

  get lastEventId(): string {
    return this.#stream?.lastEventId || this.#lastEventId;
  }

  /** Bytes of the present connection. */
  get raw(): string {
    return this.#stream?.raw ?? '';
  }

  /** Leaves the present connection, and comes back elsewhere. */
  moveOn(): void {
    this.#stream?.close();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.moveOn();
    await this.#running;
  }

  async #run(first: number): Promise<void> {
    for (let attempt = first; !this.#stopped; attempt++) {
      const urls = this.urls();
      const url = urls[attempt % urls.length];
      if (url === undefined || !(await this.#follow(url))) await delay(20);
    }
  }

  async #follow(url: string): Promise<boolean> {
    const path = `${url}/events/${this.topics.join(',')}`;
    const stream = await open(path, { lastEventId: this.lastEventId }).catch(() => undefined);
    if (!stream) return false;
    stream.request.on('error', () => {});
    this.#stream = stream;
    this.connections++;
    if (this.#stopped) stream.close();
    await untilEnd(stream);
    this.#received.push(...stream.events);
    // The first one is what every connection begins with.
    this.retries.push(...stream.retries.slice(1).slice(-1));
    this.#lastEventId = stream.lastEventId || this.#lastEventId;
    this.#stream = undefined;
    return stream.events.length > 0;
  }
}

async function untilEnd(stream: EventStream): Promise<void> {
  if (stream.ended) return;
  await new Promise<void>((resolve) => {
    for (const end of ['end', 'close', 'error']) stream.response.once(end, () => resolve());
  });
}
