import { type Block, encodeBlock } from './encode.js';
import { type CompressionOptions, GzipMember } from './gzip.js';

const CRLF = '\r\n';

/** Frames up to this many bytes are copied together into one write; larger ones are handed on as they are. */
const COALESCE_BELOW = 4_096;
const COALESCED_SIZE = 32_768;

// In memory of its own: a slice of what Node shares among small buffers keeps all of that, for as long as the log keeps it.
function chunkOf(text: string): Buffer {
  const size = Buffer.byteLength(text);
  const head = `${size.toString(16)}${CRLF}`;
  const chunk = Buffer.allocUnsafeSlow(head.length + size + CRLF.length);
  chunk.write(head, 'latin1');
  chunk.write(text, head.length);
  chunk.write(CRLF, head.length + size, 'latin1');
  return chunk;
}

/** What follows the size line of an HTTP/1.1 chunk, without its closing CRLF. */
function payloadOf(chunk: Buffer): Buffer {
  return chunk.subarray(chunk.indexOf('\n') + 1, -2);
}

/** Bytes that leave together, in every form that a transport may want; each form is made once, for all clients. */
abstract class Piece {
  // Weakly, because frames are kept in the log: it counts their text, not what else is made of it.
  #stored: WeakRef<GzipMember> | undefined;
  #deflated: WeakRef<GzipMember> | undefined;

  /** As one HTTP/1.1 chunk (RFC 9112, section 7.1), so a transport that may write to the socket copies nothing. */
  abstract readonly chunk: Buffer;

  get bytes(): Buffer {
    return payloadOf(this.chunk);
  }

  /** As part of a gzip stream, for so many readers. */
  gzip(readers: number, options: CompressionOptions): GzipMember {
    const { bytes } = this;
    const pays = GzipMember.pays(bytes.length, readers, options);
    const known = (pays ? this.#deflated : this.#stored)?.deref();
    if (known) return known;
    const made = pays ? GzipMember.deflate(bytes, options.level) : GzipMember.store(bytes);
    if (pays) this.#deflated = new WeakRef(made);
    else this.#stored = new WeakRef(made);
    return made;
  }
}

/** The encoded text of one publication: made once per process, and shared by every client that gets it. */
export class Frame extends Piece {
  #chunk: Buffer | undefined;

  constructor(readonly blocks: readonly Block[]) {
    super();
  }

  /** What is written: every block, in order. */
  get text(): string {
    return this.blocks.map(encodeBlock).join('');
  }

  override get chunk(): Buffer {
    return (this.#chunk ??= chunkOf(this.text));
  }
}

/** Several small frames in one. */
class JoinedFrames extends Piece {
  readonly chunk: Buffer;

  constructor(frames: readonly Frame[], size: number) {
    super();
    this.chunk = join(frames, size);
  }
}

/** A comment line without a blank line after it: some clients report an empty message for a block of comments alone. */
class HeartbeatFrame extends Frame {
  override get text(): string {
    return ':\n';
  }
}

export const HEARTBEAT: Frame = new HeartbeatFrame([{ comment: '' }]);

/** Frames that leave in one write. Clients at the same position with the same topics share one. */
export class Batch {
  #pieces: readonly Piece[] | undefined;
  #chunks: readonly Buffer[] | undefined;
  #payloads: readonly Buffer[] | undefined;
  #members: readonly GzipMember[] | undefined;
  readonly size: number;

  constructor(
    readonly frames: readonly Frame[],
    /** How many clients with compression get this batch. */
    private readonly readers = 1,
    /** How many get its frames, in this batch or in one of their own. */
    private readonly audience = readers,
  ) {
    this.size = frames.reduce((size, frame) => size + frame.chunk.length, 0);
  }

  /** HTTP/1.1 chunks: small frames joined, large ones untouched, so an event of 1 MiB exists once however many read it. */
  get chunks(): readonly Buffer[] {
    return (this.#chunks ??= this.#joined.map(({ chunk }) => chunk));
  }

  /** The same without HTTP/1.1's chunk framing. */
  get payloads(): readonly Buffer[] {
    return (this.#payloads ??= this.#joined.map(({ bytes }) => bytes));
  }

  /** The same as parts of a gzip stream. The options are those of the hub. */
  gzip(options: CompressionOptions): readonly GzipMember[] {
    return (this.#members ??= this.#joined.map((piece) =>
      piece.gzip(piece instanceof Frame ? this.audience : this.readers, options),
    ));
  }

  get #joined(): readonly Piece[] {
    return (this.#pieces ??= coalesce(this.frames));
  }
}

function coalesce(frames: readonly Frame[]): readonly Piece[] {
  if (frames.length === 1) return frames;
  const pieces: Piece[] = [];
  let small: Frame[] = [];
  let size = 0;
  const flush = (): void => {
    if (small.length === 1) pieces.push(small[0]!);
    if (small.length > 1) pieces.push(new JoinedFrames(small, size));
    small = [];
    size = 0;
  };
  for (const frame of frames) {
    const { length } = frame.chunk;
    const large = length > COALESCE_BELOW;
    if (large || size + length > COALESCED_SIZE) flush();
    if (large) {
      pieces.push(frame);
      continue;
    }
    small.push(frame);
    size += length;
  }
  flush();
  return pieces;
}

function join(frames: readonly Frame[], size: number): Buffer {
  const payloads = frames.map((frame) => frame.bytes);
  const length = payloads.reduce((sum, payload) => sum + payload.length, 0);
  const joined = Buffer.allocUnsafeSlow(size);
  let end = joined.write(`${length.toString(16)}${CRLF}`, 'latin1');
  for (const payload of payloads) end += payload.copy(joined, end);
  end += joined.write(CRLF, end, 'latin1');
  return joined.subarray(0, end);
}
