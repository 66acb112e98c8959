import http from 'node:http';
import type { Socket } from 'node:net';

import { createParser } from 'eventsource-parser';

import { PATIENCE } from '../patience.js';

/** An event as an EventSource would see it, with the last event ID that it would come back with. */
export interface ReceivedEvent {
  readonly event: string;
  readonly data: string;
  readonly lastEventId: string;
}

/**
 * A client of an event stream on a real socket. It speaks the standard: blocks without data move the last event ID on
 * and dispatch nothing.
 */
export class EventStream {
  readonly events: ReceivedEvent[] = [];
  /** Events of the application, without the hub's own. */
  readonly messages: ReceivedEvent[] = [];
  readonly retries: number[] = [];
  /** Everything that came, as it came. */
  raw = '';
  lastEventId = '';
  ended = false;
  #read = 0;
  readonly #waiting = new Set<() => void>();

  constructor(
    readonly response: http.IncomingMessage,
    readonly request: http.ClientRequest,
  ) {
    // The parser reports the id of blocks with data only, and browsers honour the others too.
    const parser = createParser({
      onEvent: (event) => {
        this.#keep({
          event: event.event ?? 'message',
          data: event.data,
          lastEventId: event.id ?? this.lastEventId,
        });
      },
      onRetry: (retry) => this.retries.push(retry),
      onError: (error) => {
        throw error;
      },
    });
    response.setEncoding('utf8');
    let block = '';
    response.on('data', (text: string) => {
      this.raw += text;
      block += text;
      for (let end = block.indexOf('\n\n'); end >= 0; end = block.indexOf('\n\n')) {
        const whole = block.slice(0, end + 2);
        block = block.slice(end + 2);
        const id = /^id: (.*)$/m.exec(whole)?.[1];
        if (id !== undefined) this.lastEventId = id;
        parser.feed(whole);
      }
      this.#wake();
    });
    const end = (): void => {
      this.ended = true;
      this.#wake();
    };
    response.on('end', end);
    response.on('close', end);
    response.on('error', end);
  }

  get status(): number {
    return this.response.statusCode ?? 0;
  }

  get socket(): Socket {
    return this.response.socket;
  }

  get data(): unknown[] {
    return this.messages.map(({ data }) => parse(data));
  }

  ofType(event: string): ReceivedEvent[] {
    return this.events.filter((received) => received.event === event);
  }

  /** The next event, control events included. */
  async next(): Promise<ReceivedEvent> {
    await this.until(() => this.events.length > this.#read);
    return this.events[this.#read++]!;
  }

  /** The next event that is the application's. */
  async nextMessage(): Promise<ReceivedEvent> {
    for (;;) {
      const event = await this.next();
      if (!event.event.startsWith('sse.')) return event;
    }
  }

  /** Waits until so many events of the application have come, and answers with their data. */
  async messagesUpTo(count: number): Promise<unknown[]> {
    await this.until(() => this.messages.length >= count);
    return this.data;
  }

  async untilEnd(): Promise<void> {
    await this.until(() => this.ended);
  }

  async until(condition: () => boolean): Promise<void> {
    if (condition()) return;
    await new Promise<void>((resolve, reject) => {
      const check = (): void => {
        if (!condition()) return;
        done();
        resolve();
      };
      const timer = setTimeout(() => {
        done();
        reject(
          new Error(
            `Nothing of the kind within ${PATIENCE} ms. Came so far: ${JSON.stringify(this.events.slice(-20))}`,
          ),
        );
      }, PATIENCE);
      const done = (): void => {
        clearTimeout(timer);
        this.#waiting.delete(check);
      };
      this.#waiting.add(check);
    });
  }

  close(): void {
    this.request.destroy();
  }

  #keep(event: ReceivedEvent): void {
    this.events.push(event);
    if (!event.event.startsWith('sse.')) this.messages.push(event);
  }

  #wake(): void {
    for (const check of this.#waiting) check();
  }
}

function parse(data: string): unknown {
  try {
    return JSON.parse(data);
  } catch {
    return data;
  }
}

export interface OpenOptions {
  readonly lastEventId?: string;
  readonly headers?: http.OutgoingHttpHeaders;
  readonly method?: string;
  /** Sent as JSON. */
  readonly body?: unknown;
  readonly agent?: http.Agent;
}

const streams = new Set<EventStream>();

/** All that are open leave. */
export function closeStreams(): void {
  for (const stream of streams) stream.close();
}

/** Opens an event stream. Every one has a connection of its own unless an agent is given. */
export function open(
  url: string,
  { lastEventId, headers, method, body, agent }: OpenOptions = {},
): Promise<EventStream> {
  return new Promise((resolve, reject) => {
    const request = http.request(url, {
      method: method ?? 'GET',
      agent: agent ?? false,
      headers: {
        accept: 'text/event-stream',
        ...(lastEventId !== undefined && { 'last-event-id': lastEventId }),
        ...(body !== undefined && { 'content-type': 'application/json' }),
        ...headers,
      },
    });
    request.on('error', reject);
    request.on('response', (response) => {
      const stream = new EventStream(response, request);
      streams.add(stream);
      response.on('close', () => streams.delete(stream));
      resolve(stream);
    });
    request.end(body === undefined ? undefined : JSON.stringify(body));
  });
}
