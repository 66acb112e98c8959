import { type Block, encodeBlock } from '../../src/protocol/encode.js';
import type { Batch } from '../../src/protocol/frame.js';
import type { Ending, Entrance, Transport, TransportListener } from '../../src/transport/transport.js';

export interface FakeTransportOptions {
  /** How many blocks may be on their way before it is full: what is beyond waits in the process, and is lost with it. */
  readonly capacity?: number;
  readonly atOnce?: boolean;
  /** Called with every block as it is written. */
  readonly onBlock?: (block: Block) => void;
}

/** A connection in memory, which keeps the contract of `Transport`: what is written stays in flight until `read()`. */
export class FakeTransport implements Transport {
  ready = true;
  progress = 0;
  readonly atOnce: boolean;
  /** Every write throws. */
  failing = false;
  /** How it was ended, once it was: by either side. */
  ending: Ending | undefined;
  /** So was what the stream came on. */
  closed = false;
  /** Written, and not read by the other side yet. */
  inFlight: Block[] = [];
  #onOut: (() => void) | undefined;
  readonly #capacity: number;
  /** So many of the blocks in flight can still be read: what had not left the process is lost when it is destroyed. */
  #arriving = Infinity;
  readonly #onBlock: ((block: Block) => void) | undefined;
  #listener: TransportListener | undefined;

  constructor({ capacity = Infinity, atOnce = false, onBlock }: FakeTransportOptions = {}) {
    this.#capacity = capacity;
    this.atOnce = atOnce;
    this.#onBlock = onBlock;
  }

  /** What is in flight, as it goes on the wire. */
  get text(): string {
    return this.inFlight.map(encodeBlock).join('');
  }

  /** What is in flight, a line for each block: `open full`, `reset trimmed a,b`, `closed a`, `comment`, or the data of an event. */
  get lines(): string[] {
    return this.inFlight.map(lineOf);
  }

  get ended(): boolean {
    return this.ending !== undefined;
  }

  open(listener: TransportListener): void {
    if (this.ended) return queueMicrotask(() => listener.disconnected());
    this.#listener = listener;
  }

  write(batch: Batch): void {
    if (this.failing) throw new Error('this transport fails');
    if (this.ended) throw new Error('write after the end');
    for (const block of batch.frames.flatMap(({ blocks }) => blocks)) {
      this.inFlight.push(block);
      this.#onBlock?.(block);
    }
    if (this.inFlight.length >= this.#capacity) this.ready = false;
  }

  end(ending: Ending): void {
    this.#listener = undefined;
    this.ending ??= ending;
  }

  async close(ending: Ending): Promise<void> {
    this.end(ending);
    if (!this.#isOut) await new Promise<void>((resolve) => (this.#onOut = resolve));
    this.closed = true;
  }

  release(): void {
    this.#listener = undefined;
  }

  destroy(): void {
    this.end('cut');
    this.#arriving = this.#capacity;
    this.#onOut?.();
  }

  /** All that was written has left the process. */
  get #isOut(): boolean {
    return this.inFlight.length <= this.#capacity;
  }

  /** The other side reads all that is in flight. */
  read(): string[] {
    return this.take().map(lineOf);
  }

  /** How many blocks the other side can still read. */
  get arriving(): number {
    return Math.min(this.inFlight.length, this.#arriving);
  }

  /** The other side reads so many blocks of what is in flight. */
  take(count = Infinity): Block[] {
    const blocks = this.inFlight.splice(0, Math.min(count, this.#arriving));
    this.#arriving -= blocks.length;
    this.progress++;
    if (this.#isOut) this.#onOut?.();
    if (!this.ready && this.inFlight.length < this.#capacity) {
      this.ready = true;
      queueMicrotask(() => this.#listener?.drained());
    }
    return blocks;
  }

  /** The other side is gone. */
  cut(): void {
    const listener = this.#listener;
    this.destroy();
    listener?.disconnected();
  }
}

/** Lets a request in over the given transport. */
export function entranceOf(transport: Transport): Entrance {
  const unexpected = (): never => {
    throw new Error('expected to be let in');
  };
  return {
    waits: false,
    admit: () => transport,
    turnAway: unexpected,
    answerNoContent: unexpected,
    answerHeaders: unexpected,
  };
}

function lineOf({ event, data, comment }: Block): string {
  if (data === undefined) return comment === undefined ? 'without data' : 'comment';
  if (event === undefined || !event.startsWith('sse.')) return data;
  const told = JSON.parse(data) as { resumed?: string; reason?: string; topic?: string; topics?: string[] };
  const words = [event.slice('sse.'.length), told.resumed, told.reason, told.topic, told.topics?.join()];
  return words.filter((word) => word !== undefined).join(' ');
}
