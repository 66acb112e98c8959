import { OutgoingMessage } from 'node:http';
import { Socket } from 'node:net';

import type { Batch } from '../protocol/frame.js';
import { breakOff, bytesLeft, type Carrier } from './connection.js';
import type { RawResponse } from './raw-response.js';
import { ResponseTransport } from './response-transport.js';
import type { Ending, TransportListener } from './transport.js';

/** Writes to a response of HTTP/1, and past it to its socket where that is the same. */
export class Http1ResponseTransport extends ResponseTransport<RawResponse> {
  /** Undefined where something stands in for a connection. */
  readonly #socket: Carrier | undefined = this.connection instanceof Socket ? this.connection : undefined;
  /** The response is chunked, and nobody had corked it or put a `write` of their own on it. */
  #plain = false;
  /** The headers have left: they wait for what is written first, so that a stream begins with one packet instead of two. */
  #begun = false;

  get progress(): number {
    return this.#socket ? bytesLeft(this.#socket) : -this.raw.writableLength;
  }

  override open(listener: TransportListener): void {
    super.open(listener);
    const { raw } = this;
    // Emitted within `end()`, whoever calls that: nothing may follow what it writes.
    raw.on('prefinish', this.over);
    this.#plain = raw.chunkedEncoding && raw.writableCorked === 0 && raw.write === OutgoingMessage.prototype.write;
  }

  write(batch: Batch): void {
    const socket = this.#socket;
    if (socket && this.#mayWriteTo(socket)) return this.#writeChunks(socket, this.encoding.chunks(batch));
    if (this.raw.writableEnded || this.raw.destroyed) return this.over();
    this.#writePayloads(this.encoding.payloads(batch));
  }

  /**
   * Whether the chunks, made once for all clients, may go to the socket past the response. Anything unusual (a wrapped
   * `write`, a response that is corked, over, or not on the socket now) must not: the bytes would end up in the wrong
   * place, at worst in the next response on the connection.
   *
   * Nothing of the response is read for it. Express gives each response a hidden class of its own, and reading three
   * fields of a thousand of them in turn took 4 µs each, a quarter of a delivery. The socket says the same, and all sockets
   * are alike: its cork goes up and down with that of the response that it carries. A response that is over has said so
   * with 'prefinish', and from then on is not `#plain` any more.
   */
  #mayWriteTo(socket: Carrier): boolean {
    return (
      this.#plain && this.#begun && socket._httpMessage === this.raw && !socket.destroyed && socket.writableCorked === 0
    );
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
    if (socket.writableLength >= limit) this.waitForDrain(socket);
  }

  #writePayloads(payloads: readonly Buffer[]): void {
    let accepted = true;
    for (const payload of payloads) accepted = this.raw.write(payload);
    if (!this.#begun) joinHeader(this.raw);
    this.#begun = true;
    // A compressing middleware gathers what is written until it is flushed.
    this.raw.flush?.();
    // `false` asks to wait; it is not a failure. [node] stream.Writable, 'drain'
    if (!accepted) this.waitForDrain(this.raw);
  }

  protected override writeRest(): void {
    // Nothing waits here: the response keeps it.
  }

  protected override endResponse(ending: Ending): void {
    if (ending === 'cut') return breakOff(this.raw);
    // Without a callback: a session or compressing middleware that wraps `end()` does other things with it.
    this.raw.end(this.encoding.tail());
  }

  protected override get isFlushed(): boolean {
    return (this.#socket?.writableLength ?? this.raw.writableLength) === 0;
  }

  protected override destroyResponse(): void {
    // A response that still waits for its turn must not take the one before it on the connection with it.
    if (this.#socket && this.raw.socket === this.#socket) this.#socket.destroy();
    else this.raw.destroy();
  }

  protected override detach(): void {
    super.detach();
    // Until the end of the turn the socket still carries a response that has ended: nothing may follow that.
    this.#plain = false;
    this.raw.off('prefinish', this.over);
  }
}

/**
 * Node keeps the text of the headers as long as the response, in the two dozen pieces that it put together. V8 makes one
 * of them when somebody reads it, and that takes a third of the memory.
 */
function joinHeader({ _header }: RawResponse): void {
  Buffer.byteLength(_header ?? '');
}
