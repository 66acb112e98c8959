import { EventSource } from 'eventsource';
import { Agent, fetch } from 'undici';

import { type Bench, until } from '../baseline.js';

const CONTROL_EVENTS = ['sse.open', 'sse.reset', 'sse.end', 'sse.closed', 'sse.busy', 'sse.cursor', 'sse.expired'];

/** One request that an EventSource made. */
export interface Attempt {
  readonly status: number;
  readonly lastEventId: string | undefined;
}

/** A real EventSource, with a record of what it asked for and what it was told. */
export class RecordedEventSource {
  readonly source: EventSource;
  readonly attempts: Attempt[] = [];
  // Its own, because undici opens a new connection for one that was aborted, and a server waits for that one as well.
  readonly #agent = new Agent();
  /** That of the last event which came. */
  lastEventId = '';
  readonly events: { readonly event: string; readonly data: string }[] = [];

  /** `route` stands for a load balancer: where a request for the URL goes by now. */
  constructor(url: string, eventNames: readonly string[] = ['message'], route = (target: string | URL) => target) {
    this.source = new EventSource(url, {
      fetch: async (target, init) => {
        const response = await fetch(route(target), { ...init, dispatcher: this.#agent });
        this.attempts.push({
          status: response.status,
          lastEventId: new Headers(init.headers).get('last-event-id') ?? undefined,
        });
        return response;
      },
    });
    for (const event of [...CONTROL_EVENTS, ...eventNames]) {
      this.source.addEventListener(event, ({ data, lastEventId }: { data: string; lastEventId: string }) => {
        this.events.push({ event, data });
        this.lastEventId = lastEventId;
      });
    }
  }

  /** One that goes when the test is over. */
  static open(bench: Bench, url: string, eventNames?: readonly string[]): RecordedEventSource {
    const recorded = new RecordedEventSource(url, eventNames);
    bench.onEnd(() => recorded.close());
    return recorded;
  }

  /** Events of the application. */
  get data(): unknown[] {
    return this.events.filter(({ event }) => !event.startsWith('sse.')).map(({ data }) => JSON.parse(data) as unknown);
  }

  count(event: string): number {
    return this.events.filter((received) => received.event === event).length;
  }

  /** It has given up, and will not come back. */
  get stopped(): boolean {
    return this.source.readyState === EventSource.CLOSED;
  }

  async untilCount(event: string, count: number): Promise<void> {
    await until(`${count} of ${event}, came: ${JSON.stringify(this.events)}`, () => this.count(event) >= count);
  }

  async untilStopped(): Promise<void> {
    await until('the EventSource stops', () => this.stopped);
  }

  close(): void {
    this.source.close();
    void this.#agent.destroy();
  }
}
