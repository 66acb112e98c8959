import { constants, type Http2ServerResponse } from 'node:http2';

import type { Batch } from '../protocol/frame.js';
import { breakOff } from './connection.js';
import { ResponseTransport } from './response-transport.js';
import type { Ending } from './transport.js';

/** Bytes that are given to HTTP/2 at a time: a frame of it holds no more, unless both sides have agreed on that. */
const PIECE = 16_384;
const NONE: readonly Buffer[] = [];

/** Writes to a response of HTTP/2, whose connection carries other streams too. */
export class Http2ResponseTransport extends ResponseTransport<Http2ServerResponse> {
  /** What is written when that which is before it has left. */
  #rest = NONE;

  get progress(): number {
    return this.#rest.reduce((left, { length }) => left - length, -this.raw.writableLength);
  }

  write(batch: Batch): void {
    if (this.raw.writableEnded) return this.over();
    for (const payload of this.encoding.payloads(batch)) {
      // Nothing waits, as a rule, and then there is nothing to keep.
      if (this.ready && this.#rest === NONE && payload.length <= PIECE) this.#writePiece(payload);
      else this.#rest = [...this.#rest, payload];
    }
    if (this.ready && this.#rest !== NONE) this.writeRest();
  }

  // HTTP/2 reports a write when all of it has left: with a large one, a slow reader would seem to take nothing for long.
  protected override writeRest(): void {
    const rest = [...this.#rest];
    while (this.ready && rest.length > 0) {
      const next = rest.shift()!;
      if (next.length > PIECE) rest.unshift(next.subarray(PIECE));
      this.#writePiece(next.subarray(0, PIECE));
    }
    this.#rest = rest.length > 0 ? rest : NONE;
  }

  #writePiece(piece: Buffer): void {
    if (!this.raw.write(piece)) this.waitForDrain(this.raw);
  }

  protected override endResponse(ending: Ending): void {
    for (const payload of this.#rest) this.raw.write(payload);
    this.#rest = NONE;
    if (ending === 'cut') return breakOff(this.raw);
    const tail = this.encoding.tail();
    if (tail) this.raw.write(tail);
    this.raw.end();
  }

  protected override get isFlushed(): boolean {
    return this.raw.writableLength === 0;
  }

  protected override destroyResponse(): void {
    const { stream } = this.raw;
    // Without a code its reader would take what is missing for an orderly end.
    stream.close(constants.NGHTTP2_INTERNAL_ERROR);
    // The code leaves when the connection takes it, and what waits must not be kept until then.
    stream.destroy();
  }
}
