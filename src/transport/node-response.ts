import type { EventEmitter } from 'node:events';
import {
  type IncomingMessage,
  type OutgoingHttpHeaders,
  OutgoingMessage,
  validateHeaderName,
  validateHeaderValue,
} from 'node:http';
import { constants, type Http2ServerRequest, type Http2ServerResponse } from 'node:http2';
import { Socket } from 'node:net';

import type { Batch, Frame } from '../protocol/frame.js';
import { NO_CONTENT_HEADERS, STREAM_HEADERS } from '../protocol/headers.js';
import {
  breakOff,
  bytesLeft,
  type Carrier,
  closeConnectionBehind,
  type Connection,
  connectionOf,
  destroyUnlessClosed,
  discardBody,
  isBehindStream,
  isGone,
  listen,
  type Passenger,
  unlisten,
  whenClosed,
} from './connection.js';
import { type Encoding, IDENTITY } from './encoding.js';
import { type OwnHeaders, ownHeaders, putHeader } from './headers.js';
import { type NodeResponseLike, type RawResponse, rawResponseOf, requestOf, takeOver } from './raw-response.js';
import type { Ending, Entrance, Transport, TransportListener } from './transport.js';

/** Bytes that HTTP/2 is given at a time: a frame of it holds no more, unless both sides have agreed on that. */
const PIECE = 16_384;
const NONE: readonly Buffer[] = [];

/** The answer to a request for a stream, straight onto the response. */
export class NodeEntrance implements Entrance {
  readonly #headers: OwnHeaders;

  constructor(
    private readonly response: NodeResponseLike,
    headers: OutgoingHttpHeaders,
    private readonly limits: { readonly highWaterMark: number; readonly slowTimeout: number },
    private readonly encoding: Encoding,
  ) {
    // Now, while the framework can still answer with an error: afterwards the response is taken over.
    this.#headers = ownHeaders(headers);
    for (const [name, value] of this.#headers) {
      validateHeaderName(name);
      for (const one of [value].flat()) validateHeaderValue(name, one);
    }
  }

  get waits(): boolean {
    return isBehindStream(requestOf(this.response));
  }

  admit(): Transport {
    return new NodeResponseTransport(this.response, () => this.#begin(this.encoding), this.limits, this.encoding);
  }

  turnAway(frame: Frame, ending: Ending, last: boolean): void {
    if (last) closeConnectionBehind(rawResponseOf(this.response));
    const raw = this.#begin(IDENTITY);
    if (ending === 'end') {
      raw.end(frame.bytes);
      return;
    }
    raw.write(frame.bytes);
    breakOff(raw);
  }

  answerNoContent(): void {
    const raw = this.#takeOver();
    raw.writeHead(204, NO_CONTENT_HEADERS);
    raw.end();
  }

  answerHeaders(): void {
    this.#begin(this.encoding).end();
  }

  #begin(encoding: Encoding): RawResponse {
    const raw = this.#takeOver();
    raw.removeHeader('Content-Length');
    const { Vary: reason, ...coding } = encoding.headers;
    if (reason) putHeader(raw, 'Vary', reason);
    raw.writeHead(200, { ...STREAM_HEADERS, ...coding });
    raw.flushHeaders();
    return raw;
  }

  #takeOver(): RawResponse {
    const raw = takeOver(this.response);
    for (const [name, value] of this.#headers) putHeader(raw, name, value);
    return raw;
  }
}

class NodeResponseTransport implements Transport, Passenger {
  readonly atOnce = false;
  readonly #raw: RawResponse;
  readonly #isHttp2: boolean;
  readonly #connection: Connection | undefined;
  /** The same, where all of it is for this response. On HTTP/2 it is shared. */
  readonly #socket: Carrier | undefined;
  #listener: TransportListener | undefined;
  /** How the response is begun; not kept any longer than that. */
  #begin: (() => unknown) | undefined;
  /** The response is chunked, and nobody had corked it or put a `write` of their own on it. */
  #plain = false;
  #full = false;
  /** What HTTP/2 is given when what is before it has left. */
  #rest = NONE;
  #waitingFor: { readonly emitter: EventEmitter; readonly listener: () => void } | undefined;

  constructor(
    readonly response: NodeResponseLike,
    begin: () => unknown,
    private readonly limits: { readonly highWaterMark: number; readonly slowTimeout: number },
    private readonly encoding: Encoding,
  ) {
    this.#begin = begin;
    this.#raw = rawResponseOf(response) as RawResponse;
    this.#isHttp2 = this.request.httpVersionMajor > 1;
    this.#connection = connectionOf(this.request);
    this.#socket = this.#connection instanceof Socket ? this.#connection : undefined;
  }

  get request(): IncomingMessage | Http2ServerRequest {
    return this.#raw.req;
  }

  get ready(): boolean {
    return !this.#full;
  }

  get compressed(): boolean {
    return this.encoding.head !== undefined;
  }

  get progress(): number {
    if (this.#socket) return bytesLeft(this.#socket);
    return this.#rest.reduce((left, { length }) => left - length, -this.#raw.writableLength);
  }

  open(listener: TransportListener): void {
    this.#listener = listener;
    this.#raw.on('close', this.#onClose);
    // Writing to a connection that has just been reset reports it here; 'close' follows.
    this.#raw.on('error', ignore);
    // What has closed already tells nobody any more.
    if (isGone(this.#raw)) queueMicrotask(this.#onClose);
    else if (this.#connection) listen(this.#connection, this);
    discardBody(this.request);
    this.#begin?.();
    this.#begin = undefined;
    if (this.encoding.head) this.#raw.write(this.encoding.head);
    if (this.#isHttp2) return;
    // Emitted within `end()`, whoever calls that: nothing may follow what it writes.
    this.#raw.on('prefinish', this.#onClose);
    const raw = this.#raw;
    this.#plain = raw.chunkedEncoding && raw.writableCorked === 0 && raw.write === OutgoingMessage.prototype.write;
  }

  write(batch: Batch): void {
    const socket = this.#socket;
    if (socket && this.#mayWriteTo(socket)) return this.#writeChunks(socket, this.encoding.chunks(batch));
    if (this.#raw.writableEnded || this.#raw.destroyed) return this.#onClose();
    this.#writePayloads(this.encoding.payloads(batch));
  }

  /**
   * Whether the chunks, made once for all clients, may go to the socket past the response. Anything unusual (a wrapped
   * `write`, a response that is corked, over, or not on the socket now) must not: the bytes would end up in the wrong
   * place, at worst in the next response on the connection.
   *
   * Nothing of the response is read for it. Express gives each response a hidden class of its own, and reading three
   * fields of a thousand of them in turn took 4 µs each, a quarter of a delivery. The socket says the same, and all sockets
   * are alike: its cork goes up and down with that of the response that it carries, and a response that is over has told
   * so with 'prefinish', and this transport let go of it.
   */
  #mayWriteTo(socket: Carrier): boolean {
    return this.#plain && socket._httpMessage === this.#raw && !socket.destroyed && socket.writableCorked === 0;
  }

  #writeChunks(socket: Socket, chunks: readonly Buffer[]): void {
    if (chunks.length === 1) {
      if (socket.write(chunks[0]!)) return;
    } else {
      socket.cork();
      for (const chunk of chunks) socket.write(chunk);
      socket.uncork();
    }
    const limit = Math.max(this.limits.highWaterMark, socket.writableHighWaterMark);
    if (socket.writableLength >= limit) this.#waitForDrain(socket);
  }

  #writePayloads(payloads: readonly Buffer[]): void {
    if (this.#isHttp2) {
      this.#rest = [...this.#rest, ...payloads];
      if (!this.#full) this.#writeRest();
      return;
    }
    let accepted = true;
    for (const payload of payloads) accepted = this.#raw.write(payload);
    // A compressing middleware gathers what is written until it is flushed.
    this.#raw.flush?.();
    // `false` asks to wait; it is not a failure. [node] stream.Writable, 'drain'
    if (!accepted) this.#waitForDrain(this.#raw);
  }

  // HTTP/2 reports a write when all of it has left: with a large one, a slow reader would seem to take nothing for long.
  #writeRest(): void {
    const rest = [...this.#rest];
    let accepted = true;
    while (accepted && rest.length > 0) {
      const next = rest.shift()!;
      accepted = this.#raw.write(next.subarray(0, PIECE));
      if (next.length > PIECE) rest.unshift(next.subarray(PIECE));
    }
    this.#rest = rest;
    if (!accepted) this.#waitForDrain(this.#raw);
  }

  #endResponse(ending: Ending): void {
    for (const payload of this.#rest) this.#raw.write(payload);
    this.#rest = NONE;
    if (ending === 'cut') return breakOff(this.#raw);
    // Without a callback: a session or compressing middleware that wraps `end()` does other things with it.
    this.#raw.end(this.encoding.tail());
  }

  end(ending: Ending): void {
    this.#detach();
    if (this.#raw.writableEnded) return;
    this.#endResponse(ending);
    if (!this.#isFlushed()) destroyUnlessClosed(this.#raw, () => this.destroy(), this.limits.slowTimeout);
  }

  async close(ending: Ending): Promise<void> {
    this.#detach();
    const closed = whenClosed(this.#raw);
    if (!this.#raw.writableEnded) this.#endResponse(ending);
    closeConnectionBehind(this.#raw);
    await closed;
  }

  release(): void {
    this.#detach();
  }

  destroy(): void {
    this.#detach();
    // A response that still waits for its turn must not take the one before it on the connection with it.
    if (this.#socket && this.#raw.socket === this.#socket) this.#socket.destroy();
    else if (this.#isHttp2) this.#resetStream();
    else this.#raw.destroy();
  }

  // Without a code the reader would take what is missing for an orderly end.
  #resetStream(): void {
    const { stream } = this.#raw as unknown as Http2ServerResponse;
    stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    // Its code leaves only when the connection takes it, and what waits must not be kept until then.
    stream.destroy();
  }

  #isFlushed(): boolean {
    return (this.#socket?.writableLength ?? this.#raw.writableLength) === 0;
  }

  #detach(): void {
    this.#listener = undefined;
    // The socket may carry what ends the response until the end of the turn: nothing may follow that.
    this.#plain = false;
    this.#raw.off('close', this.#onClose);
    this.#raw.off('prefinish', this.#onClose);
    if (this.#connection) unlisten(this.#connection, this);
    if (!this.#waitingFor) return;
    this.#waitingFor.emitter.off('drain', this.#waitingFor.listener);
    this.#waitingFor = undefined;
  }

  #waitForDrain(emitter: EventEmitter): void {
    if (this.#full) return;
    this.#full = true;
    const listener = (): void => {
      this.#waitingFor = undefined;
      this.#drained();
    };
    this.#waitingFor = { emitter, listener };
    emitter.once('drain', listener);
  }

  connectionClosed(): void {
    this.#onClose();
  }

  #drained(): void {
    this.#full = false;
    // Somebody else may have ended it meanwhile; on HTTP/2 nothing else says so before it is closed.
    if (this.#raw.writableEnded) return this.#onClose();
    this.#writeRest();
    if (!this.#full) this.#listener?.drained();
  }

  readonly #onClose = (): void => {
    const listener = this.#listener;
    this.#detach();
    listener?.disconnected();
  };
}

function ignore(): void {}
