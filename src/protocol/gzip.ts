import { constants, crc32, deflateRawSync } from 'node:zlib';

/** How events are compressed. */
export interface CompressionOptions {
  /** Bytes below which a batch is not worth compressing. Default: 256. */
  readonly threshold: number;
  /** zlib's level, 1 to 9. Default: 6. */
  readonly level: number;
}

/** Below this many readers compressing costs more than the bytes that it saves: a deflate takes 24 to 120 µs. */
const MIN_READERS = 10;
const MAX_STORED = 65_535;

/** RFC 1952, section 2.3: deflate, no name, no time, unknown system. */
export const GZIP_HEADER: Buffer = Buffer.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 0xff]);
/** RFC 1951, section 3.2.6: a final block without data. */
const FINAL_BLOCK = [0x03, 0x00];

/**
 * A stretch of text as deflate blocks that are flushed to a byte boundary and refer to nothing before them, so they can
 * stand in any stream at any place: made once, for every client that takes gzip.
 */
export class GzipMember {
  /** As one HTTP/1.1 chunk. */
  readonly chunk: Buffer;
  readonly bytes: Buffer;
  readonly #crc: number;
  readonly #length: number;
  #shift: number | undefined;

  private constructor(data: Buffer, bytes: readonly Buffer[]) {
    this.#crc = crc32(data);
    this.#length = data.length;
    const size = bytes.reduce((sum, { length }) => sum + length, 0);
    const head = `${size.toString(16)}\r\n`;
    // A copy: what zlib hands out is a part of a larger buffer, all of which it would keep.
    this.chunk = Buffer.allocUnsafeSlow(head.length + size + 2);
    let end = this.chunk.write(head, 'latin1');
    for (const part of bytes) end += part.copy(this.chunk, end);
    this.chunk.write('\r\n', end, 'latin1');
    this.bytes = this.chunk.subarray(head.length, end);
  }

  static pays(length: number, readers: number, { threshold }: CompressionOptions): boolean {
    return readers >= MIN_READERS && length >= threshold;
  }

  static deflate(data: Buffer, level: number): GzipMember {
    return new GzipMember(data, [deflateRawSync(data, { level, finishFlush: constants.Z_SYNC_FLUSH })]);
  }

  static store(data: Buffer): GzipMember {
    return new GzipMember(data, stored(data));
  }

  /** The checksum of a stream that had `sum` before this. */
  addTo(sum: Checksum): Checksum {
    this.#shift ??= shiftBy(this.#length);
    return { crc: (multiply(this.#shift, sum.crc) ^ this.#crc) >>> 0, length: sum.length + this.#length };
  }
}

/** Of what one client has received, as the end of its gzip stream tells it. */
export interface Checksum {
  readonly crc: number;
  readonly length: number;
}

export const NOTHING: Checksum = Object.freeze({ crc: 0, length: 0 });

/** The end of a gzip stream. RFC 1952, section 2.3.1: CRC-32, then the length modulo 2^32. */
export function gzipTrailer({ crc, length }: Checksum): Buffer {
  const trailer = Buffer.alloc(10);
  trailer.set(FINAL_BLOCK);
  trailer.writeUInt32LE(crc, 2);
  trailer.writeUInt32LE(length % 2 ** 32, 6);
  return trailer;
}

/** RFC 1951, section 3.2.4: as it is, with a header of five bytes for at most 65,535 of them. */
function stored(data: Buffer): Buffer[] {
  const blocks: Buffer[] = [];
  for (let at = 0; at < data.length; at += MAX_STORED) {
    const part = data.subarray(at, at + MAX_STORED);
    const header = Buffer.alloc(5);
    header.writeUInt16LE(part.length, 1);
    header.writeUInt16LE(part.length ^ 0xffff, 3);
    blocks.push(header, part);
  }
  return blocks;
}

// CRC-32 arithmetic is that of polynomials over GF(2) modulo this one, with the bits reflected: appending n bytes
// multiplies what came before by x^(8n). The same as crc32_combine() of zlib, which Node does not offer.
const POLYNOMIAL = 0xedb88320;

function multiply(a: number, b: number): number {
  let product = 0;
  let factor = b;
  for (let bit = 0x80000000; bit !== 0; bit >>>= 1) {
    if ((a & bit) !== 0) product ^= factor;
    factor = (factor & 1) === 0 ? factor >>> 1 : (factor >>> 1) ^ POLYNOMIAL;
  }
  return product >>> 0;
}

/** x^(8 × bytes). */
function shiftBy(bytes: number): number {
  let result = 0x80000000; // x^0
  let power = 0x00800000; // x^8
  for (let n = bytes; n > 0; n = Math.floor(n / 2)) {
    if (n % 2 === 1) result = multiply(power, result);
    power = multiply(power, power);
  }
  return result;
}

/** Whether a request takes gzip. RFC 9110, section 12.5.3. */
export function acceptsGzip(acceptEncoding: string | undefined): boolean {
  for (const part of acceptEncoding?.split(',') ?? []) {
    const [coding = '', ...parameters] = part.split(';').map((text) => text.trim().toLowerCase());
    if (coding !== 'gzip' && coding !== 'x-gzip') continue;
    return !parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter));
  }
  return false;
}
