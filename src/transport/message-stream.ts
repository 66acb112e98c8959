import { AsyncResource } from 'node:async_hooks';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import { setImmediate } from 'node:timers';

import type { Subscriber } from 'rxjs';

import type { Block } from '../protocol/encode.js';
import type { Batch, Frame } from '../protocol/frame.js';
import { NO_CONTENT_HEADERS } from '../protocol/headers.js';
import {
  breakOffAtEnd,
  closeConnectionBehind,
  connectionOf,
  destroyUnlessRead,
  discardBody,
  isBackedUp,
  isBehindStream,
  isGone,
  leaveConnectionHeader,
  listen,
  onceDrained,
  progressOf,
  unlisten,
  whenClosed,
} from './connection.js';
import type { EndedStreams } from './ended-streams.js';
import { lengthOf, Message, type MessageListener, type StreamMessage } from './message.js';
import type { Ending, Entrance, Transport, TransportListener } from './transport.js';
import { waitingLine } from './waiting-line.js';

/** Bytes that Nest is given at a time: it writes all of them before the event loop goes on, at 18 µs for each event. */
const PORTION = 16_384;

export interface MessageStreamOptions {
  /**
   * Characters that may wait in the subscriber's hands. Only a subscriber that reads a message's fields when it writes
   * it, as Nest does, can be held to a limit; Infinity for any other.
   */
  readonly highWaterMark: number;
  readonly ended: EndedStreams;
  /** What Nest answers 204 for. */
  readonly noContent: () => Error;
  /** The response that Nest writes the messages to, where it is known. */
  readonly response: ServerResponse | Http2ServerResponse | undefined;
  /** Whom the messages are for, to compare with whom they come to; `undefined` when nobody would know. */
  readonly recipient: object | undefined;
  /** Hands over the first messages. */
  readonly onFirst: ((emit: () => void) => void) | undefined;
  /** Nothing more is to come, of whatever it was merged with neither: the server closes. */
  readonly onClose: () => void;
}

/** The answer to a request for a stream as an Observable of messages, for `@Sse()`. */
export class MessageEntrance implements Entrance {
  constructor(
    private readonly subscriber: Subscriber<StreamMessage>,
    private readonly options: MessageStreamOptions,
  ) {
    if (options.response) leaveConnectionHeader(options.response);
  }

  get waits(): boolean {
    return this.options.response !== undefined && isBehindStream(this.options.response.req);
  }

  admit(): Transport {
    return new MessageTransport(this.subscriber, this.options);
  }

  turnAway(frame: Frame, ending: Ending, last: boolean): void {
    const { response } = this.options;
    if (last && response) closeConnectionBehind(response);
    if (ending === 'cut' && response) breakOffAtEnd(response);
    for (const block of frame.blocks) this.subscriber.next(new Message(block, undefined, this.options.recipient));
    this.subscriber.complete();
  }

  answerNoContent(): void {
    const { response } = this.options;
    // Nest keeps what is on the response when it answers with the error, on either platform.
    if (response && !response.headersSent) {
      for (const [name, value] of Object.entries(NO_CONTENT_HEADERS)) response.setHeader(name, value);
    }
    this.subscriber.error(this.options.noContent());
  }

  answerHeaders(): void {
    this.subscriber.complete();
  }
}

class MessageTransport implements Transport, MessageListener {
  readonly atOnce = true;
  readonly portion: number;
  #listener: TransportListener | undefined;
  /** Characters in Nest's hands, and those that it has written. */
  #waiting = 0;
  #taken = 0;
  /** Characters handed over since the response was last seen to keep up. */
  #unchecked = 0;
  /** Why it takes no more now: Nest has enough, it is the turn of others, or the response is not read. */
  #waitsFor: 'nest' | 'turn' | 'drain' | undefined;
  #begun = false;
  readonly #limit: number;
  /** The asynchronous context of the subscription. */
  readonly #origin = new AsyncResource('SSEStream');

  constructor(
    private readonly subscriber: Subscriber<StreamMessage>,
    private readonly options: MessageStreamOptions,
  ) {
    // Outside of Nest nobody is held back.
    this.portion = options.highWaterMark === Infinity ? Infinity : PORTION;
    this.#limit = Math.min(options.highWaterMark, this.portion);
  }

  get ready(): boolean {
    return this.#waitsFor === undefined;
  }

  /** Outside of Nest whoever subscribes has an event when `broadcast` returns. */
  get #mayWait(): boolean {
    return this.#limit !== Infinity;
  }

  get progress(): number {
    // That it waits for its turn is no fault of the other side.
    if (this.#waitsFor === 'turn') return performance.now();
    // Nest takes nothing while its own stream is full, which large messages can make last very long.
    const { response } = this.options;
    return this.#taken + (response ? progressOf(response) : 0);
  }

  open(listener: TransportListener): void {
    this.#listener = listener;
    this.subscriber.add(() => {
      const left = this.#listener;
      this.#listener = undefined;
      left?.disconnected();
    });
    const { response } = this.options;
    if (!response) return;
    // What Nest does not notice by itself: version 11, that a client has left before its stream was subscribed to; and
    // each version, that somebody else has ended the response on a connection that stays.
    if (isGone(response)) return queueMicrotask(() => this.subscriber.complete());
    const onClose = (): void => this.subscriber.complete();
    response.on('close', onClose);
    this.subscriber.add(() => response.off('close', onClose));
    discardBody(response.req);
    this.#listen(response.req, onClose);
  }

  #listen(request: IncomingMessage | Http2ServerRequest, connectionClosed: () => void): void {
    const connection = connectionOf(request);
    if (!connection) return;
    const listener = { request, connectionClosed };
    listen(connection, listener);
    this.subscriber.add(() => unlisten(connection, listener));
  }

  write(batch: Batch): void {
    // What stands between here and Nest (operators, interceptors) is the request's, whoever has published.
    this.#origin.runInAsyncScope(() => this.#write(batch));
  }

  #write({ frames }: Batch): void {
    // Nest would write behind the end, which is an error of the response.
    if (this.options.response?.writableEnded) return this.subscriber.complete();
    const { onFirst } = this.options;
    if (this.#begun || !onFirst) this.#emitAll(frames);
    else onFirst(() => this.#emitAll(frames));
    if (!this.#begun && this.#mayWait && waitingLine.busy) this.#standInLine();
    this.#begun = true;
    if (!this.ready) return;
    if (this.#waiting >= this.#limit) {
      this.#waitsFor = 'nest';
      this.#doubt();
    } else if (this.#unchecked >= this.options.highWaterMark) {
      this.#standInLine();
    }
  }

  // While Nest is at it, it takes some in every turn. When it took none, somebody makes others out of all of them, or of
  // those that are left: then the response alone tells.
  #doubt(): void {
    const taken = this.#taken;
    setImmediate(() => {
      if (this.#waitsFor !== 'nest') return;
      if (this.#taken > taken) return this.#doubt();
      this.#waiting = 0;
      this.#standInLine();
    });
  }

  #emitAll(frames: Batch['frames']): void {
    for (const { blocks } of frames) {
      for (const block of blocks) this.#emit(block);
    }
  }

  // Nest numbers every message without an id that is more than a comment: 1, 2, 3… would be the client's cursor then.
  #emit(block: Block): void {
    if (block.id === undefined && block.comment === undefined) return;
    const length = lengthOf(block);
    const tells = block.retry === undefined;
    if (tells) this.#waiting += length;
    this.#unchecked += length;
    if (this.#mayWait) waitingLine.handed(length);
    this.subscriber.next(new Message(block, tells ? this : undefined, this.options.recipient));
  }

  took(length: number): void {
    this.#waiting -= length;
    this.#taken += length;
    if (this.#waitsFor === 'nest' && this.#waiting < this.#limit) this.#standInLine();
  }

  #standInLine(): void {
    this.#waitsFor = 'turn';
    waitingLine.join(() => {
      this.#goOn();
      if (this.ready) this.#listener?.drained();
    });
  }

  // Nest's own stream takes 32 messages, whatever their size, before it lets Nest wait: the response says it earlier.
  #goOn(): void {
    const { response } = this.options;
    if (response && isBackedUp(response)) {
      this.#waitsFor = 'drain';
      return onceDrained(response, () => this.#standInLine());
    }
    this.#waitsFor = undefined;
    this.#unchecked = 0;
  }

  end(ending: Ending): void {
    const { response, ended } = this.options;
    this.#complete(ending);
    // Merged with others, it may have ended on a response that goes on, and is read.
    if (response) destroyUnlessRead(response, ended);
  }

  async close(ending: Ending): Promise<void> {
    const { response } = this.options;
    const closed = response && whenClosed(response);
    this.#complete(ending);
    this.options.onClose();
    if (response) closeConnectionBehind(response);
    await closed;
  }

  release(): void {
    this.#listener = undefined;
  }

  // Nest ends the response behind what its client has not read: for one that does not read, never.
  destroy(): void {
    this.#complete();
    this.options.response?.destroy();
  }

  // Nest ends the response when it has written all that it was given. Outside of Nest there is nothing to cut.
  #complete(ending: Ending = 'end'): void {
    this.#listener = undefined;
    const { response } = this.options;
    if (ending === 'cut' && response && !this.subscriber.closed) breakOffAtEnd(response);
    this.#origin.runInAsyncScope(() => this.subscriber.complete());
  }
}
