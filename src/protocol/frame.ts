import { type Block, encodeBlock } from './encode.js';

const CRLF = '\r\n';

/** Frames up to this many bytes are copied together into one write; larger ones are handed on as they are. */
const COALESCE_BELOW = 4_096;
const COALESCED_SIZE = 32_768;

function chunkOf(text: string): Buffer {
  return Buffer.from(`${Buffer.byteLength(text).toString(16)}${CRLF}${text}${CRLF}`);
}

/** What follows the size line of an HTTP/1.1 chunk, without its closing CRLF. */
function payloadOf(chunk: Buffer): Buffer {
  return chunk.subarray(chunk.indexOf('\n') + 1, -2);
}

/**
 * The encoded text of one publication: made once per process, and shared by every client that gets it. The HTTP/1.1
 * chunk around it is part of the same buffer, so a transport that may write to the socket copies nothing.
 */
export class Frame {
  #chunk: Buffer | undefined;

  constructor(readonly blocks: readonly Block[]) {}

  /** What is written: every block, in order. */
  get text(): string {
    return this.blocks.map(encodeBlock).join('');
  }

  /** The frame as one HTTP/1.1 chunk (RFC 9112, section 7.1). */
  get chunk(): Buffer {
    return (this.#chunk ??= chunkOf(this.text));
  }

  get bytes(): Buffer {
    return payloadOf(this.chunk);
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
  #chunks: Buffer[] | undefined;
  readonly size: number;

  constructor(readonly frames: readonly Frame[]) {
    this.size = frames.reduce((size, frame) => size + frame.chunk.length, 0);
  }

  /** HTTP/1.1 chunks: small frames joined, large ones untouched, so an event of 1 MiB exists once however many read it. */
  get chunks(): readonly Buffer[] {
    return (this.#chunks ??= coalesce(this.frames));
  }

  /** The same without HTTP/1.1's chunk framing. */
  get payloads(): Buffer[] {
    return this.chunks.map(payloadOf);
  }
}

function coalesce(frames: readonly Frame[]): Buffer[] {
  if (frames.length === 1) return [frames[0]!.chunk];
  const chunks: Buffer[] = [];
  let small: Frame[] = [];
  let size = 0;
  const flush = (): void => {
    if (small.length === 1) chunks.push(small[0]!.chunk);
    if (small.length > 1) chunks.push(join(small, size));
    small = [];
    size = 0;
  };
  for (const frame of frames) {
    const { length } = frame.chunk;
    const large = length > COALESCE_BELOW;
    if (large || size + length > COALESCED_SIZE) flush();
    if (large) {
      chunks.push(frame.chunk);
      continue;
    }
    small.push(frame);
    size += length;
  }
  flush();
  return chunks;
}

function join(frames: readonly Frame[], size: number): Buffer {
  const payloads = frames.map((frame) => frame.bytes);
  const length = payloads.reduce((sum, payload) => sum + payload.length, 0);
  const joined = Buffer.allocUnsafe(size);
  let end = joined.write(`${length.toString(16)}${CRLF}`, 'latin1');
  for (const payload of payloads) end += payload.copy(joined, end);
  end += joined.write(CRLF, end, 'latin1');
  return joined.subarray(0, end);
}
