import type { IncomingMessage } from 'node:http';
import { TLSSocket } from 'node:tls';

import { EventParser } from './event-parser.js';
import { parseData, type ReceivedEvent } from './received-event.js';

/** How a connection is, in words for a failure. */
export const STATES = {
  open: 'the stream is open',
  ended: 'the server has ended the stream',
  broken: 'the connection broke',
  left: 'the test has left the stream',
};

/** The connections of one stream, one after the other, and everything that has come through them. */
export class StreamConnection {
  readonly received: ReceivedEvent[] = [];
  readonly comments: string[] = [];
  retry: number | undefined;
  state: keyof typeof STATES = 'left';
  /** Whether this connection has got a block: with the first one, a stream of the hub is open. */
  isBegun = false;
  #response: IncomingMessage | undefined;
  readonly #waiting = new Set<() => void>();

  constructor(public lastEventId: string) {}

  get response(): IncomingMessage | undefined {
    return this.#response;
  }

  /** When something has come, or the state has changed. */
  changed(): Promise<void> {
    return new Promise((resolve) => this.#waiting.add(resolve));
  }

  /** Has those look who wait. */
  wake(): void {
    for (const resolve of this.#waiting) resolve();
    this.#waiting.clear();
  }

  /** Goes on with this answer. */
  attach(response: IncomingMessage): void {
    const parser = new EventParser(
      {
        event: (event, text, lastEventId) => {
          this.received.push({ event, data: parseData(text), text, lastEventId });
        },
        block: (lastEventId) => {
          this.lastEventId = lastEventId;
          this.isBegun = true;
        },
        retry: (ms) => (this.retry = ms),
        comment: (text) => this.comments.push(text),
      },
      this.lastEventId,
    );
    this.#response = response;
    this.state = 'open';
    this.isBegun = false;
    const whileOpen =
      <Args extends unknown[]>(act: (...args: Args) => void) =>
      (...args: Args): void => {
        if (this.#response !== response || this.state !== 'open') return;
        act(...args);
        this.wake();
      };
    response.on(
      'data',
      whileOpen((bytes: Buffer) => parser.feed(bytes)),
    );
    response.on(
      'end',
      whileOpen(() => (this.state = 'ended')),
    );
    // Followed by `close`.
    response.on('error', () => {});
    response.on(
      'close',
      whileOpen(() => (this.state = 'broken')),
    );
    this.hold(false);
  }

  /** Whether it keeps the process alive: only while somebody waits for it. */
  hold(isAwaited: boolean): void {
    if (isAwaited) this.#response?.socket.ref();
    else this.#response?.socket.unref();
  }

  cut(): void {
    const socket = this.#response?.socket;
    this.#leave();
    // TLS has no reset of its own.
    if (socket instanceof TLSSocket) socket.destroy();
    else socket?.resetAndDestroy();
  }

  close(): void {
    this.#leave();
    this.#response?.destroy();
  }

  #leave(): void {
    if (this.state === 'open') this.state = 'left';
    this.wake();
  }
}
