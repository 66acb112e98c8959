import { type Block, encodeBlock } from '../../src/protocol/encode.js';
import type { Batch } from '../../src/protocol/frame.js';
import type { Entrance, Transport, TransportListener } from '../../src/transport/transport.js';

export interface FakeTransportOptions {
  /** How many blocks it holds before it is full. */
  readonly capacity?: number;
  readonly atOnce?: boolean;
  /** Called with every block as it is written. */
  readonly onBlock?: (block: Block) => void;
}

/** A connection in memory: what is written stays in flight until `read()`. */
export class FakeTransport implements Transport {
  ready = true;
  progress = 0;
  readonly atOnce: boolean;
  /** Every write throws. */
  failing = false;
  ended = false;
  /** Written, and not read by the other side yet. */
  inFlight: Block[] = [];
  readonly #capacity: number;
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

  open(listener: TransportListener): void {
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

  end(): void {
    this.ended = true;
    this.#listener = undefined;
  }

  close(): Promise<void> {
    this.end();
    return Promise.resolve();
  }

  release(): void {
    this.end();
  }

  destroy(): void {
    this.end();
  }

  /** The other side reads all that is in flight. */
  read(): string[] {
    return this.take().map(lineOf);
  }

  /** The other side reads so many blocks of what is in flight. */
  take(count = Infinity): Block[] {
    const blocks = this.inFlight.splice(0, count);
    this.progress++;
    if (!this.ready && this.inFlight.length < this.#capacity) {
      this.ready = true;
      queueMicrotask(() => this.#listener?.drained());
    }
    return blocks;
  }

  /** The other side is gone. */
  cut(): void {
    const listener = this.#listener;
    this.end();
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
