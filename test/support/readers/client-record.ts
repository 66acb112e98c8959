import { EventSource, type EventSourceError, type EventSourceOptions, type Fresh } from 'nestjs-sse-hub/client';

import { until } from '../baseline.js';

export interface RecordedEvent {
  readonly type: string;
  readonly data: string;
  readonly lastEventId: string;
}

/** An `EventSource` of the package, and all that it has dispatched. */
export class RecordedClient {
  readonly source: EventSource;
  readonly events: RecordedEvent[] = [];
  readonly errors: {
    readonly code: number | undefined;
    readonly message: string | undefined;
    readonly state: number;
  }[] = [];
  opened = 0;

  constructor(url: Fresh<string | URL>, options?: EventSourceOptions) {
    this.source = new EventSource(url, options);
    const dispatch = this.source.dispatchEvent.bind(this.source);
    this.source.dispatchEvent = (event) => {
      const { type, data, lastEventId } = event as unknown as RecordedEvent;
      if (typeof data === 'string') this.events.push({ type, data, lastEventId });
      return dispatch(event);
    };
    this.source.addEventListener('open', () => this.opened++);
    this.source.addEventListener('error', ({ code, message }: EventSourceError) => {
      this.errors.push({ code, message, state: this.source.readyState });
    });
  }

  /** Events of the application. */
  get data(): string[] {
    return this.events.filter(({ type }) => !type.startsWith('sse.')).map(({ data }) => data);
  }

  count(type: string): number {
    return this.events.filter((event) => event.type === type).length;
  }

  async untilCount(type: string, count: number): Promise<void> {
    await until(`${count} of ${type}, came: ${JSON.stringify([this.events, this.errors])}`, () => {
      return this.count(type) >= count;
    });
  }

  async untilClosed(): Promise<void> {
    await until(`it closes, came: ${JSON.stringify([this.events, this.errors])}`, () => this.source.readyState === 2);
  }
}
