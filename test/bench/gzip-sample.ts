import { createGunzip } from 'node:zlib';

import { MARKER } from './payload.js';

const MARKER_BYTE = MARKER.charCodeAt(0);
const LF = 10;
const CR = 13;

/** Strips the framing of HTTP/1.1 (head and chunks) from the bytes of one response. */
class Dechunker {
  #state: 'head' | 'size' | 'data' | 'end' = 'head';
  #line = '';
  #left = 0;

  constructor(private readonly onData: (data: Buffer) => void) {}

  read(bytes: Buffer): void {
    for (let i = 0; i < bytes.length;) {
      if (this.#state === 'data') {
        const part = bytes.subarray(i, i + this.#left);
        this.onData(part);
        this.#left -= part.length;
        i += part.length;
        if (this.#left === 0) this.#state = 'end';
      } else {
        const byte = bytes[i++]!;
        if (byte === LF) this.#endLine();
        else if (byte !== CR) this.#line += String.fromCharCode(byte);
      }
    }
  }

  #endLine(): void {
    const line = this.#line;
    this.#line = '';
    if (this.#state === 'end' || (this.#state === 'head' && line === '')) {
      this.#state = 'size';
    } else if (this.#state === 'size') {
      this.#left = Number.parseInt(line, 16);
      this.#state = 'data';
    }
  }
}

/**
 * Inflates what one client got, and counts its events. Only a few clients can be looked at in this way: inflating for
 * all would cost the generator more than the server has spent.
 */
export class GzipSample {
  events = 0;
  readonly #gunzip = createGunzip();
  readonly #dechunker = new Dechunker((data) => this.#gunzip.write(Buffer.from(data)));

  constructor(onProgress: () => void) {
    this.#gunzip.on('data', (data: Buffer) => {
      for (let at = data.indexOf(MARKER_BYTE); at >= 0; at = data.indexOf(MARKER_BYTE, at + 1)) this.events++;
      onProgress();
    });
    this.#gunzip.on('error', () => {});
  }

  read(bytes: Buffer): void {
    this.#dechunker.read(bytes);
  }
}
