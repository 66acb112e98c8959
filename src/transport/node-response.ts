import type { EventEmitter } from 'node:events';
import {
  type IncomingMessage,
  OutgoingMessage,
  type OutgoingHttpHeaders,
  type ServerResponse,
  validateHeaderName,
  validateHeaderValue,
} from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';
import type { Socket } from 'node:net';

import { SSEError } from '../hub/errors.js';
import type { Entrance, Transport, TransportListener } from '../hub/transport.js';
import type { Batch, Frame } from '../protocol/frame.js';
import { streamHeaders } from '../protocol/headers.js';
import {
  alight,
  board,
  closeConnectionBehind,
  closeSession,
  destroyUnlessClosed,
  isGone,
  type Passenger,
  whenClosed,
} from './connection.js';
import { type Encoding, IDENTITY } from './encoding.js';

/** A Fastify reply, as far as it is needed here. */
export interface FastifyReplyLike {
  readonly raw: ServerResponse | Http2ServerResponse;
  getHeaders(): OutgoingHttpHeaders;
  hijack(): unknown;
}

/** What an event stream can be written to directly: Express, Fastify, `node:http` and `node:http2`. */
export type NodeResponseLike = ServerResponse | Http2ServerResponse | FastifyReplyLike;

type RawResponse = ServerResponse & { flush?: () => void };
/** A connection, with what Node keeps on it: how much its handle has not sent yet, and the response it carries. */
type Carrier = Socket & {
  readonly _handle?: { readonly writeQueueSize?: number } | null;
  readonly _httpMessage?: unknown;
};

function isFastifyReply(response: NodeResponseLike): response is FastifyReplyLike {
  return 'raw' in response && 'hijack' in response;
}

/** The response of Node's own under whatever the framework has put around it. */
export function rawResponseOf(response: NodeResponseLike): ServerResponse | Http2ServerResponse {
  return isFastifyReply(response) ? response.raw : response;
}

export function requestOf(response: NodeResponseLike): IncomingMessage | Http2ServerRequest {
  return rawResponseOf(response).req;
}

/** Why answers differ, as far as the framework has said so yet. */
export function variesOf(response: NodeResponseLike): string[] {
  const values = [rawResponseOf(response).getHeader('Vary'), isFastifyReply(response) && response.getHeaders()['vary']];
  return [...new Set(values.flatMap((value) => (value ? String(value).split(/,\s*/) : [])))];
}

/** The answer to a request for a stream, straight onto the response. */
export class NodeEntrance implements Entrance {
  constructor(
    private readonly response: NodeResponseLike,
    private readonly headers: OutgoingHttpHeaders,
    private readonly limits: { readonly highWaterMark: number; readonly slowTimeout: number },
    private readonly encoding: Encoding,
  ) {
    const raw = rawResponseOf(response);
    if (raw.headersSent || raw.writableEnded) {
      throw new SSEError(
        'INVALID_ROUTE',
        'createClient() was given a response that has been answered already. Call it once, before anything is sent.',
      );
    }
    // Now, while the framework can still answer with an error: afterwards the response is taken over.
    for (const [name, value] of Object.entries(headers)) {
      validateHeaderName(name);
      for (const one of [value].flat()) validateHeaderValue(name, String(one ?? ''));
    }
  }

  admit(): Transport {
    return new NodeResponseTransport(this.response, () => this.#begin(this.encoding), this.limits, this.encoding);
  }

  turnAway(frame: Frame, last: boolean): void {
    const raw = this.#begin(IDENTITY);
    raw.end(frame.bytes);
    if (last) closeConnectionBehind(raw);
  }

  answerNoContent(): void {
    const raw = this.#takeOver();
    raw.writeHead(204, this.headers);
    raw.end();
  }

  answerHeaders(): void {
    this.#begin(this.encoding).end();
  }

  #begin(encoding: Encoding): RawResponse {
    const raw = this.#takeOver();
    raw.removeHeader('Content-Length');
    const own = { ...streamHeaders(requestOf(this.response).httpVersion), ...encoding.headers };
    const headers = { ...without(this.headers, own), ...own };
    raw.writeHead(
      200,
      encoding.headers.Vary ? { ...headers, Vary: this.#varyWith(raw, encoding.headers.Vary) } : headers,
    );
    raw.flushHeaders();
    if (encoding.head) raw.write(encoding.head);
    return raw;
  }

  // CORS has its own reason to vary, which must stay.
  #varyWith(raw: RawResponse, reason: string): string {
    const others = [raw.getHeader('Vary'), this.headers.vary, this.headers['Vary']];
    return [...others.filter((value) => value !== undefined), reason].join(', ');
  }

  // From here on the framework leaves the response alone. What it has put on it so far (CORS above all) must stay:
  // a Fastify reply keeps its headers to itself until it sends.
  #takeOver(): RawResponse {
    const raw = rawResponseOf(this.response) as RawResponse;
    if (!isFastifyReply(this.response)) return raw;
    for (const [name, value] of Object.entries(this.response.getHeaders())) {
      if (value !== undefined) raw.setHeader(name, value);
    }
    this.response.hijack();
    return raw;
  }
}

class NodeResponseTransport implements Transport, Passenger {
  readonly eager = false;
  readonly #raw: RawResponse;
  readonly #isHttp2: boolean;
  /** The connection; on HTTP/2 it is shared, and the stream's own events say when it closes. */
  readonly #socket: Carrier | undefined;
  #listener: TransportListener | undefined;
  /** How the response is begun; not kept any longer than that. */
  #begin: (() => RawResponse) | undefined;
  /** The response is chunked, and nobody had corked it or put a `write` of their own on it when it got its connection. */
  #plain = false;
  #full = false;
  #waitingFor: { readonly emitter: EventEmitter; readonly listener: () => void } | undefined;

  constructor(
    readonly response: NodeResponseLike,
    begin: () => RawResponse,
    private readonly limits: { readonly highWaterMark: number; readonly slowTimeout: number },
    private readonly encoding: Encoding,
  ) {
    this.#begin = begin;
    this.#raw = rawResponseOf(response) as RawResponse;
    this.#isHttp2 = requestOf(response).httpVersionMajor > 1;
    this.#socket = this.#isHttp2 ? undefined : (requestOf(response) as IncomingMessage).socket;
  }

  get ready(): boolean {
    return !this.#full;
  }

  get compressed(): boolean {
    return this.encoding.head !== undefined;
  }

  get deaf(): boolean {
    return this.#socket?.isPaused() ?? false;
  }

  // A large write shrinks in the kernel's queue long before Node reports it as done.
  get progress(): number {
    const socket = this.#socket;
    if (!socket) return -this.#raw.writableLength;
    return socket.bytesWritten - socket.writableLength - (socket._handle?.writeQueueSize ?? 0);
  }

  open(listener: TransportListener): void {
    this.#listener = listener;
    this.#raw.on('close', this.#onClose);
    // Writing to a connection that has just been reset reports it here; 'close' follows.
    this.#raw.on('error', ignore);
    // What has closed already tells nobody any more.
    if (isGone(this.#raw)) queueMicrotask(this.#onClose);
    else if (this.#socket) this.#openSocket(this.#socket);
    this.#begin?.();
    this.#begin = undefined;
    if (this.#isHttp2) return;
    // Emitted within `end()`, whoever calls that: nothing may follow what it writes.
    this.#raw.on('prefinish', this.#onClose);
    if (this.#raw.socket) this.#lookAtResponse();
    else this.#waitForTurn();
  }

  #lookAtResponse(): void {
    const raw = this.#raw;
    this.#plain = raw.chunkedEncoding && raw.writableCorked === 0 && raw.write === OutgoingMessage.prototype.write;
  }

  #openSocket(socket: Socket): void {
    socket.setTimeout(0);
    socket.setNoDelay(true);
    socket.setKeepAlive(true);
    board(socket, this);
  }

  // A pipelined request: the responses before it on its connection come first, and until then nothing is to pile up.
  #waitForTurn(): void {
    this.#full = true;
    this.#raw.once('socket', () => {
      this.#lookAtResponse();
      this.#drained();
    });
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
    let accepted = true;
    for (const payload of payloads) accepted = this.#raw.write(payload);
    // A compressing middleware gathers what is written until it is flushed.
    this.#raw.flush?.();
    // `false` asks to wait; it is not a failure. [node] stream.Writable, 'drain'
    if (!accepted) this.#waitForDrain(this.#raw);
  }

  end(): void {
    this.#detach();
    if (this.#raw.writableEnded) return;
    this.#raw.end(this.encoding.tail());
    if (!this.#isFlushed()) destroyUnlessClosed(this.#raw, () => this.destroy(), this.limits.slowTimeout);
  }

  async close(): Promise<void> {
    this.#detach();
    const closed = whenClosed(this.#raw);
    if (!this.#raw.writableEnded) this.#raw.end(this.encoding.tail() ?? '', () => this.#closeConnection());
    await closed;
  }

  release(): void {
    this.#detach();
  }

  destroy(): void {
    this.#detach();
    // A response that still waits for its turn must not take the one before it on the connection with it.
    if (this.#socket && this.#raw.socket === this.#socket) this.#socket.destroy();
    else this.#raw.destroy();
  }

  /** The connection is done with too: a server that closes would wait for it. On HTTP/2 its other streams may finish. */
  #closeConnection(): void {
    if (this.#isHttp2) closeSession(this.#raw);
    else this.#socket?.destroySoon();
  }

  #isFlushed(): boolean {
    return (this.#socket?.writableLength ?? this.#raw.writableLength) === 0;
  }

  #detach(): void {
    this.#listener = undefined;
    this.#raw.off('close', this.#onClose);
    this.#raw.off('prefinish', this.#onClose);
    if (this.#socket) alight(this.#socket, this);
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

  connectionPaused(): void {
    this.#listener?.deafened();
  }

  #drained(): void {
    this.#full = false;
    this.#listener?.drained();
  }

  readonly #onClose = (): void => {
    const listener = this.#listener;
    this.#detach();
    listener?.disconnected();
  };
}

function ignore(): void {}

/** Names of headers differ in case only by accident: two of them would both be sent. */
function without(headers: OutgoingHttpHeaders, names: object): OutgoingHttpHeaders {
  const taken = new Set(Object.keys(names).map((name) => name.toLowerCase()));
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !taken.has(name.toLowerCase())));
}
