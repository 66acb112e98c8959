import type { ServerResponse } from 'node:http';
import type { Http2ServerResponse } from 'node:http2';
import { setImmediate } from 'node:timers';

import type { Subscriber } from 'rxjs';

import type { Entrance, Transport, TransportListener } from '../hub/transport.js';
import type { Block } from '../protocol/encode.js';
import type { Batch, Frame } from '../protocol/frame.js';
import { closeConnectionBehind, destroyUnlessClosed, isGone, whenClosed } from './connection.js';
import { waitingLine } from './waiting-line.js';

/** Bytes. Nest writes all that it is given before the event loop goes on, at 18 µs for each event. */
const PORTION = 16_384;

/** The fields of Nest's `MessageEvent`. */
export interface StreamMessage {
  readonly data?: string;
  readonly id?: string;
  readonly type?: string;
  readonly retry?: number;
  readonly comment?: string;
}

export interface MessageStreamOptions {
  /**
   * Characters that may wait in the subscriber's hands. Only a subscriber that reads a message's fields when it writes
   * it, as Nest does, can be held to a limit; Infinity for any other.
   */
  readonly highWaterMark: number;
  /** Milliseconds that the last messages may take to leave. */
  readonly slowTimeout: number;
  readonly noContent: () => Error;
  /** The response that Nest writes the messages to, where it is known. */
  readonly response: ServerResponse | Http2ServerResponse | undefined;
  /** Somebody turned a whole message into JSON. */
  readonly onSerialized: () => void;
}

/** The answer to a request for a stream as an Observable of messages, for `@Sse()`. */
export class MessageEntrance implements Entrance {
  constructor(
    private readonly subscriber: Subscriber<StreamMessage>,
    private readonly options: MessageStreamOptions,
  ) {}

  admit(): Transport {
    return new MessageTransport(this.subscriber, this.options);
  }

  turnAway(frame: Frame, last: boolean): void {
    for (const block of frame.blocks) this.subscriber.next(new Message(block, undefined, this.options.onSerialized));
    this.subscriber.complete();
    if (last && this.options.response) closeConnectionBehind(this.options.response);
  }

  answerNoContent(): void {
    this.subscriber.error(this.options.noContent());
  }

  answerHeaders(): void {
    this.subscriber.complete();
  }
}

class MessageTransport implements Transport {
  readonly eager = true;
  readonly portion: number;
  #listener: TransportListener | undefined;
  #waiting = 0;
  #taken = 0;
  #full = false;
  #begun = false;
  #inLine = false;
  #limit: number;

  constructor(
    private readonly subscriber: Subscriber<StreamMessage>,
    private readonly options: MessageStreamOptions,
  ) {
    // Outside of Nest nobody is held back.
    this.portion = options.highWaterMark === Infinity ? Infinity : PORTION;
    this.#limit = Math.min(options.highWaterMark, this.portion);
  }

  get ready(): boolean {
    return !this.#full;
  }

  /** Outside of Nest whoever subscribes has an event when `broadcast` returns. */
  get #mayWait(): boolean {
    return this.#limit !== Infinity;
  }

  get progress(): number {
    // That it waits for its turn is no fault of the other side.
    return this.#inLine ? performance.now() : this.#taken;
  }

  open(listener: TransportListener): void {
    this.#listener = listener;
    this.subscriber.add(() => {
      const left = this.#listener;
      this.#listener = undefined;
      left?.disconnected();
    });
    // Nest 11 does not notice that a client has left before its stream was subscribed to.
    const { response } = this.options;
    if (response && isGone(response)) queueMicrotask(() => this.subscriber.complete());
  }

  write({ frames }: Batch): void {
    for (const { blocks } of frames) {
      for (const block of blocks) this.#emit(block);
    }
    if (!this.#begun && this.#mayWait && waitingLine.busy) this.#standInLine();
    this.#begun = true;
    if (this.#full || this.#waiting < this.#limit) return;
    this.#full = true;
    if (this.#taken === 0) setImmediate(() => this.#doubt());
  }

  // Nest has taken the first message long before. A subscriber that never does cannot be held back, only stalled.
  #doubt(): void {
    if (this.#taken > 0) return;
    this.#limit = Infinity;
    this.#full = false;
    this.#listener?.drained();
  }

  // Nest numbers every message without an id that is more than a comment: 1, 2, 3… would be the client's cursor then.
  #emit(block: Block): void {
    if (block.id === undefined && block.comment === undefined) return;
    const length = lengthOf(block);
    this.#waiting += length;
    if (this.#mayWait) waitingLine.handed(length);
    this.subscriber.next(new Message(block, this, this.options.onSerialized));
  }

  /** The subscriber is at this message now. */
  took(size: number): void {
    this.#waiting -= size;
    this.#taken += size;
    if (this.#full && this.#waiting < this.#limit) this.#standInLine();
  }

  #standInLine(): void {
    this.#full = true;
    if (this.#inLine) return;
    this.#inLine = true;
    waitingLine.join(() => {
      this.#inLine = false;
      this.#full = false;
      this.#listener?.drained();
    });
  }

  end(): void {
    const { response, slowTimeout } = this.options;
    this.#complete();
    if (!response) return;
    // Merged with others, it may have ended on a response that goes on, and is read.
    const destroyIfUnread = (): unknown => response.writableLength > 0 && response.destroy();
    destroyUnlessClosed(response, destroyIfUnread, slowTimeout);
  }

  async close(): Promise<void> {
    const { response } = this.options;
    const closed = response && whenClosed(response);
    this.#complete();
    if (response) closeConnectionBehind(response);
    await closed;
  }

  release(): void {
    this.#listener = undefined;
  }

  // Nest ends the response behind what the client has not read, and so never.
  destroy(): void {
    this.#complete();
    this.options.response?.destroy();
  }

  #complete(): void {
    this.#listener = undefined;
    this.subscriber.complete();
  }
}

function lengthOf({ data = '', comment = '' }: Pick<Block, 'data' | 'comment'>): number {
  return data.length + comment.length + 64;
}

/**
 * Nest reads `retry` exactly when it writes a message, and of all fields only this one not before: so the getter tells
 * how far Nest is, although it offers no backpressure. https://github.com/nestjs/nest, SseStream and its formatMessage
 */
class Message implements StreamMessage {
  declare readonly data?: string;
  declare readonly id?: string;
  declare readonly type?: string;
  declare readonly comment?: string;
  readonly #retry: number | undefined;
  #transport: MessageTransport | undefined;
  readonly #onSerialized: () => void;

  constructor(block: Block, transport: MessageTransport | undefined, onSerialized: () => void) {
    const { id, event, data, comment, retry } = block;
    if (id !== undefined) this.id = id;
    if (event !== undefined) this.type = event;
    if (data !== undefined) this.data = data;
    if (comment !== undefined) this.comment = comment;
    this.#retry = retry;
    this.#transport = transport;
    this.#onSerialized = onSerialized;
  }

  get retry(): number | undefined {
    this.#transport?.took(lengthOf(this));
    this.#transport = undefined;
    return this.#retry;
  }

  /** An interceptor that wraps every answer has Nest turn the whole message into JSON. */
  toJSON(): StreamMessage {
    this.#onSerialized();
    return { ...Object.fromEntries(Object.entries(this)), ...(this.#retry !== undefined && { retry: this.#retry }) };
  }
}
