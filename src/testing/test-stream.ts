import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';

import { type ControlEvents, type EventOf, isControl, listed, type ReceivedEvent } from './received-event.js';
import { afterRealTime } from './real-time.js';
import { STATES, StreamConnection } from './stream-connection.js';
import { forCaller, WaitError } from './stream-errors.js';
import type { StreamTarget } from './stream-request.js';

/** Asks for the stream, from behind this event on; of the target that it was opened on unless another is named. */
type Dial = (lastEventId: string, target?: StreamTarget) => Promise<IncomingMessage>;

/** Says of a wait that it fails, and why. */
type Fail = (why: string) => never;

/**
 * An event stream as a test reads it: event by event, each wait bounded. `openStream()` makes it.
 *
 * There is one place up to which the test has read. Every wait goes on from there, and one that fails leaves it where it
 * was. The hub's own events (`sse.open`, `sse.cursor`, …) are in nobody's way and can be asked for by name. Only
 * `sse.reset` is never passed over: it says that events are lost, so a wait that comes to one which the test has not
 * asked for fails.
 */
export class TestStream<Events extends object = Record<string, unknown>> implements AsyncIterable<EventOf<Events>> {
  readonly #connection: StreamConnection;
  /** How many of `received` and of `comments` the test has read. */
  #read = 0;
  #commentsRead = 0;
  #waits = 0;

  /** @internal */
  constructor(
    private readonly dial: Dial,
    private readonly timeout: number,
    lastEventId: string,
  ) {
    this.#connection = new StreamConnection(lastEventId);
  }

  /** Everything that has come, the hub's own events included, whether or not the test has read it. */
  get received(): readonly ReceivedEvent[] {
    return this.#connection.received;
  }

  /** The texts of the comments that have come; a heartbeat is an empty one. */
  get comments(): readonly string[] {
    return this.#connection.comments;
  }

  /** Where the reader is: what it would send as `Last-Event-ID`. */
  get lastEventId(): string {
    return this.#connection.lastEventId;
  }

  /** The `retry` that came last, in milliseconds. */
  get retry(): number | undefined {
    return this.#connection.retry;
  }

  /** Of the answer: CORS, cookies and the like. */
  get headers(): IncomingHttpHeaders {
    return this.#connection.response?.headers ?? {};
  }

  /** The data of the last `sse.open`: who this client is, and whether it got all that it missed. */
  get opened(): ControlEvents['sse.open'] | undefined {
    return this.received.findLast(({ event }) => event === 'sse.open')?.data as ControlEvents['sse.open'] | undefined;
  }

  /**
   * The next event; with a name, the next of that name, and what comes before it is passed over. The hub's own have to
   * be named.
   *
   * @throws WaitError when it does not come in time, or cannot come any more. It says what came instead.
   *
   * @example
   * const { data } = await stream.next('created');
   * await stream.next('sse.end');
   */
  next(): Promise<EventOf<Events>>;
  next<Name extends keyof (Events & ControlEvents) & string>(
    name: Name,
  ): Promise<ReceivedEvent<Name, (Events & ControlEvents)[Name]>>;
  next(name?: string): Promise<ReceivedEvent> {
    const wanted = name === undefined ? 'an event' : `'${name}'`;
    return forCaller(() => this.#look(wanted, (fail) => this.#shift(fail, name)));
  }

  /**
   * The next events, so many.
   *
   * @throws WaitError like `next()`.
   *
   * @example
   * const events = await stream.take(3);
   */
  take(count: number): Promise<EventOf<Events>[]> {
    const events: EventOf<Events>[] = [];
    const wanted = `${count} ${count === 1 ? 'event' : 'events'}`;
    return forCaller(() =>
      this.#look(wanted, (fail) => {
        while (events.length < count) {
          const event = this.#shift(fail);
          if (!event) return undefined;
          events.push(event as EventOf<Events>);
        }
        return events;
      }),
    );
  }

  /**
   * The next events, up to the first of which the predicate holds, and with it.
   *
   * @throws WaitError like `next()`.
   *
   * @example
   * const tokens = await stream.until(({ event }) => event === 'done');
   */
  until(predicate: (event: EventOf<Events>) => boolean): Promise<EventOf<Events>[]> {
    const events: EventOf<Events>[] = [];
    return forCaller(() =>
      this.#look('an event of which the predicate holds', (fail) => {
        for (let event = this.#shift(fail); event; event = this.#shift(fail)) {
          events.push(event as EventOf<Events>);
          if (predicate(event as EventOf<Events>)) return events;
        }
        return undefined;
      }),
    );
  }

  /**
   * The events as they come, until the server ends the stream. To leave the loop does not close the stream.
   *
   * @throws WaitError like `next()`, also when the connection breaks.
   *
   * @example
   * for await (const { event, data } of stream) console.log(event, data);
   */
  async *[Symbol.asyncIterator](): AsyncGenerator<EventOf<Events>, void> {
    for (;;) {
      const event = await forCaller(() =>
        this.#look('an event, or the end', (fail) => {
          return this.#shift(fail) ?? (this.#connection.state === 'ended' ? 'end' : undefined);
        }),
      );
      if (event === 'end') return;
      yield event as EventOf<Events>;
    }
  }

  /**
   * The next comment, such as a heartbeat, whose text is empty.
   *
   * @throws WaitError like `next()`.
   *
   * @example
   * await stream.comment();
   */
  comment(): Promise<string> {
    return forCaller(() =>
      this.#look('a comment', () => {
        return this.#commentsRead < this.comments.length ? this.comments[this.#commentsRead++] : undefined;
      }),
    );
  }

  /**
   * Waits until the stream is over, and says how: `end` when the server has ended it in order, `cut` when the connection
   * was cut, by whomever.
   *
   * @throws WaitError when it goes on, or an `sse.reset` came that the test has not asked for.
   *
   * @example
   * await stream.next('sse.end');
   * await stream.ended(); // 'end'
   */
  ended(): Promise<'end' | 'cut'> {
    return forCaller(() =>
      this.#look('the end of the stream', (fail) => {
        if (this.#connection.state === 'open') return undefined;
        for (const event of this.received.slice(this.#read)) if (event.event === 'sse.reset') refuse(event, fail);
        return this.#connection.state === 'ended' ? 'end' : 'cut';
      }),
    );
  }

  /**
   * Cuts the connection as a failing network does: with a reset, and without a word. What has come can still be read.
   *
   * @example
   * stream.cut();
   * sse.broadcast('order:7', 'created', { id: 7 });
   * await stream.resume();
   * await stream.next('created');
   */
  cut(): void {
    this.#connection.cut();
  }

  /** Leaves as a reader that closes its page. What has come can still be read. */
  close(): void {
    this.#connection.close();
  }

  /**
   * Comes back with the last event ID, as an EventSource does whose stream has ended or broken, and waits until the
   * stream is open. The test reads on where it was. On another node when that is named.
   *
   * @throws StreamRefusedError when the answer is no stream: 204 to one that is over for good.
   * @throws WaitError when the stream does not open in time.
   *
   * @example
   * await stream.resume();
   * stream.opened?.resumed; // 'full': nothing was missed
   */
  resume(target?: StreamTarget): Promise<void> {
    const connection = this.#connection;
    return forCaller(async () => {
      if (connection.state === 'open') throw new Error('The stream is open: cut() it, or wait until it has ended().');
      connection.attach(await this.dial(this.lastEventId, target));
      try {
        await this.#look('its first event', () => connection.isBegun || connection.state !== 'open' || undefined);
      } catch (error) {
        this.close();
        throw error;
      }
    });
  }

  /** The next that was received, of this name or of the application. */
  #shift(fail: Fail, name?: string): ReceivedEvent | undefined {
    while (this.#read < this.received.length) {
      const event = this.received[this.#read]!;
      if (event.event === 'sse.reset' && name !== 'sse.reset') refuse(event, fail);
      this.#read++;
      if (name === undefined ? !isControl(event) : event.event === name) return event;
    }
    return undefined;
  }

  /** Looks until there is an answer, whenever something has happened. */
  async #look<T>(wanted: string, look: (fail: Fail) => T | undefined): Promise<T> {
    const [read, comments] = [this.#read, this.comments.length];
    const fail: Fail = (why) => {
      this.#read = read;
      const came = listed(this.received.slice(read), this.comments.length - comments);
      throw new WaitError(`${why}; what came: ${came}; ${STATES[this.#connection.state]}`);
    };
    let isLate = false;
    const stop = afterRealTime(this.timeout, () => {
      isLate = true;
      this.#connection.wake();
    });
    if (this.#waits++ === 0) this.#connection.hold(true);
    try {
      for (;;) {
        const found = look(fail);
        if (found !== undefined) return found;
        if (this.#connection.state !== 'open') fail(`${wanted} has not come`);
        if (isLate) fail(`waited ${this.timeout} ms for ${wanted}`);
        await this.#connection.changed();
      }
    } finally {
      stop();
      if (--this.#waits === 0) this.#connection.hold(false);
    }
  }
}

function refuse({ text }: ReceivedEvent, fail: Fail): never {
  return fail(`events are lost: 'sse.reset' ${text} came; a test that expects it asks for next('sse.reset')`);
}
