import type { OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { Http2ServerResponse } from 'node:http2';

import { Batch, type Frame } from '../protocol/frame.js';
import { NO_CONTENT_HEADERS, STREAM_HEADERS } from '../protocol/headers.js';
import {
  breakOffAtEnd,
  closeConnectionBehind,
  destroyUnlessClosed,
  discardBody,
  isBehindStream,
  whenClosed,
} from './connection.js';
import { type Encoding, IDENTITY } from './encoding.js';
import type { EndedStreams } from './ended-streams.js';
import { ownHeaders } from './headers.js';
import { type RequestLike, whenGone } from './request.js';
import type { Ending, Entrance, Transport, TransportListener } from './transport.js';

/** The answer to a request for a stream as a web-standard `Response`. */
export class WebEntrance implements Entrance {
  readonly #headers: Headers;
  #response: Response | undefined;

  constructor(
    headers: OutgoingHttpHeaders,
    private readonly request: RequestLike | undefined,
    private readonly encoding: Encoding,
    private readonly varies: readonly string[],
    private readonly ended: EndedStreams,
    /** Where the framework writes the body to, if that is known. */
    private readonly raw: ServerResponse | Http2ServerResponse | undefined,
  ) {
    // Throws for what cannot be a header, before anybody has to make room.
    this.#headers = toHeaders(headers);
  }

  get response(): Response {
    return this.#response!;
  }

  get waits(): boolean {
    return this.request !== undefined && !(this.request instanceof Request) && isBehindStream(this.request);
  }

  admit(): Transport {
    const transport = new WebResponseTransport(this.request, this.encoding, this.ended, this.raw);
    this.#answer(transport.body, this.encoding);
    return transport;
  }

  turnAway(frame: Frame, ending: Ending, last: boolean): void {
    if (last && this.raw) closeConnectionBehind(this.raw);
    const transport = new WebResponseTransport(this.request, IDENTITY, this.ended, this.raw);
    this.#answer(transport.body);
    transport.write(new Batch([frame]));
    transport.end(ending);
  }

  answerNoContent(): void {
    const headers = this.#headers;
    for (const [name, value] of Object.entries(NO_CONTENT_HEADERS)) headers.set(name, value);
    this.#response = new Response(null, { status: 204, headers });
  }

  answerHeaders(): void {
    this.#answer(null, this.encoding);
  }

  #answer(body: ReadableStream<Uint8Array> | null, encoding: Encoding = IDENTITY): void {
    const headers = this.#headers;
    for (const [name, value] of Object.entries(STREAM_HEADERS)) headers.set(name, value);
    for (const [name, value] of Object.entries(encoding.headers)) headers.append(name, value);
    // A framework that copies these headers onto its own response replaces what is there: CORS has its reason to vary.
    if (headers.has('Vary')) for (const reason of this.varies) headers.append('Vary', reason);
    this.#response = new Response(body, { headers });
  }
}

function toHeaders(from: OutgoingHttpHeaders): Headers {
  const headers = new Headers();
  for (const [name, value] of ownHeaders(from)) {
    for (const one of [value].flat()) headers.append(name, one);
  }
  return headers;
}

/** Bytes that are copied for a reader at a time, however large an event is. */
const PIECE = 65_536;

class WebResponseTransport implements Transport {
  readonly atOnce = false;
  readonly body: ReadableStream<Uint8Array>;
  #controller!: ReadableStreamDefaultController<Uint8Array>;
  #listener: TransportListener | undefined;
  #stopWatching: (() => void) | undefined;
  /** Bytes that wait for the reader to ask. They belong to all clients. */
  #waiting: Buffer[] = [];
  /** The reader has asked for more than it was given. */
  #wanted = false;
  #taken = 0;
  #ending: Ending | undefined;
  #over = false;
  /** Gives up what nobody reads, where no response says whether it is read. */
  #patience: NodeJS.Timeout | undefined;
  #onOver: (() => void) | undefined;

  constructor(
    private readonly request: RequestLike | undefined,
    private readonly encoding: Encoding,
    private readonly ended: EndedStreams,
    private readonly raw: ServerResponse | Http2ServerResponse | undefined,
  ) {
    if (encoding.head) this.#waiting.push(encoding.head);
    this.body = new ReadableStream(
      {
        start: (controller) => {
          this.#controller = controller;
        },
        pull: () => {
          this.#wanted = true;
          this.#feed();
          this.#endIfEmpty();
          if (this.ready) this.#listener?.drained();
        },
        cancel: () => {
          this.#settle();
          this.#gone();
        },
      },
      // Nothing is asked for before somebody reads, so an unread body costs nothing.
      { highWaterMark: 0 },
    );
  }

  get ready(): boolean {
    return this.#wanted && this.#waiting.length === 0;
  }

  get compressed(): boolean {
    return this.encoding.head !== undefined;
  }

  get progress(): number {
    return this.#taken;
  }

  open(listener: TransportListener): void {
    this.#listener = listener;
    if (this.#over) return queueMicrotask(() => this.#gone());
    if (this.request && !(this.request instanceof Request)) discardBody(this.request);
    this.#stopWatching = whenGone(this.request, () => {
      this.#gone();
      this.#close();
    });
  }

  write(batch: Batch): void {
    if (this.#ending) return;
    this.#waiting.push(...this.encoding.payloads(batch));
    this.#feed();
  }

  end(ending: Ending): void {
    this.#detach();
    if (this.#ending) return;
    this.#ending = ending;
    if (ending === 'cut' && this.raw) breakOffAtEnd(this.raw);
    const tail = this.encoding.tail();
    if (tail) this.#waiting.push(tail);
    this.#feed();
    this.#endIfEmpty();
    // The framework may not have written yet what it has read.
    if (this.raw) destroyUnlessClosed(this.raw, () => this.destroy(), this.ended);
    else if (!this.#over) this.#patience = setTimeout(() => this.destroy(), this.ended.slowTimeout).unref();
  }

  async close(ending: Ending): Promise<void> {
    this.end(ending);
    if (!this.raw) return this.#whenOver();
    closeConnectionBehind(this.raw);
    await whenClosed(this.raw);
  }

  release(): void {
    this.#detach();
  }

  destroy(): void {
    this.#detach();
    this.#waiting = [];
    // Before its headers are out the framework can still answer with an error.
    if (!this.raw?.headersSent) return this.#fail();
    this.raw.destroy();
    this.#close();
  }

  #fail(): void {
    if (this.#over) return;
    this.#settle();
    this.#controller.error(new DOMException('The event stream was not read.', 'AbortError'));
  }

  // Nobody is there to be told: whoever carries the body would only log the error, once for every client that leaves.
  #close(): void {
    this.#waiting = [];
    if (this.#over) return;
    this.#settle();
    this.#controller.close();
  }

  #feed(): void {
    if (!this.#wanted || this.#over || this.#waiting.length === 0) return;
    this.#wanted = false;
    const piece = this.#takePiece();
    this.#taken += piece.length;
    this.#controller.enqueue(piece);
    this.#endIfEmpty();
  }

  // A copy, because a reader may transfer the buffer that it is given, and these belong to all clients.
  #takePiece(): Uint8Array<ArrayBuffer> {
    const piece = new Uint8Array(
      Math.min(
        PIECE,
        this.#waiting.reduce((size, { length }) => size + length, 0),
      ),
    );
    let filled = 0;
    while (filled < piece.length) {
      const next = this.#waiting[0]!;
      const part = next.subarray(0, piece.length - filled);
      piece.set(part, filled);
      filled += part.length;
      if (part.length === next.length) this.#waiting.shift();
      else this.#waiting[0] = next.subarray(part.length);
    }
    return piece;
  }

  #endIfEmpty(): void {
    if (!this.#ending || this.#over || this.#waiting.length > 0) return;
    if (this.#ending === 'end' || this.raw) return this.#close();
    // An error takes with it what has not been read: whoever asks for more has read all.
    if (!this.#wanted) return;
    this.#settle();
    this.#controller.error(new DOMException('The event stream is to be continued.', 'AbortError'));
  }

  #settle(): void {
    this.#over = true;
    clearTimeout(this.#patience);
    this.#onOver?.();
  }

  async #whenOver(): Promise<void> {
    if (!this.#over) await new Promise<void>((resolve) => (this.#onOver = resolve));
  }

  #gone(): void {
    const listener = this.#listener;
    this.#detach();
    listener?.disconnected();
  }

  #detach(): void {
    this.#listener = undefined;
    this.#stopWatching?.();
    this.#stopWatching = undefined;
  }
}
