import { blockOf, cursorBlock } from '../../log/publication.js';
import { encodedSize } from '../../protocol/encode.js';
import type { EventEntry } from '../../protocol/entry.js';
import { Frame } from '../../protocol/frame.js';
import type { ControlFrames } from './control-frames.js';

/** What a frame for one client costs beside its text. */
const FRAME_BYTES = 256;

/** A frame for one client alone. It leaves after everything before index `after`, and carries the client's cursor. */
export interface PrivateFrame {
  readonly after: number;
  /** Bytes, about. */
  readonly size: number;
  /** Given the index of the first entry that the client has not passed. */
  readonly make: (index: number) => Frame;
}

/** Whose it is. */
interface Recipient {
  readonly control: ControlFrames;
  cursorAt(index: number): string;
}

/** The frames that wait for one client alone, in their order. */
export class PrivateEvents {
  #frames: readonly PrivateFrame[] = [];
  /** So many of them have been taken. */
  #taken = 0;
  #bytes = 0;

  get empty(): boolean {
    return this.#taken === this.#frames.length;
  }

  /** What waits. */
  get bytes(): number {
    return this.#bytes;
  }

  /** The index before which the next one leaves. */
  get next(): number {
    return this.#frames[this.#taken]?.after ?? Infinity;
  }

  add(...frames: readonly PrivateFrame[]): void {
    this.#replace([...this.#waiting, ...frames], frames);
  }

  /** The same, before others that wait already. */
  addFirst(frames: readonly PrivateFrame[]): void {
    this.#replace([...frames, ...this.#waiting], frames);
  }

  /** The next one, for a client that has not passed `index`. */
  take(index: number): Frame {
    const frame = this.#frames[this.#taken++]!;
    this.#bytes -= frame.size;
    return frame.make(index);
  }

  get #waiting(): readonly PrivateFrame[] {
    return this.#frames.slice(this.#taken);
  }

  #replace(frames: readonly PrivateFrame[], added: readonly PrivateFrame[]): void {
    this.#frames = frames;
    this.#taken = 0;
    for (const { size } of added) this.#bytes += size;
  }
}

/** An event that is not in the log. */
export function privateEvent(entry: EventEntry, after: number, recipient: Recipient): PrivateFrame {
  const { metadata: _, ...wire } = entry;
  const { data, comment = '', id } = wire;
  const size = FRAME_BYTES + encodedSize('data', data) + encodedSize('', comment);
  const make = (index: number): Frame => {
    const cursor = recipient.cursorAt(index);
    const block = blockOf(wire, cursor);
    return new Frame(id === undefined ? [block] : [block, cursorBlock(cursor, recipient.control.named)]);
  };
  return { after, size, make };
}

/** Several of them. `onLast` is called as the last one leaves. */
export function privateEvents(
  entries: readonly EventEntry[],
  after: number,
  recipient: Recipient,
  onLast: () => void,
): PrivateFrame[] {
  const frames = entries.map((entry) => privateEvent(entry, after, recipient));
  const last = frames.pop();
  if (!last) return frames;
  const make = (index: number): Frame => {
    onLast();
    return last.make(index);
  };
  return [...frames, { ...last, make }];
}

/** That a topic is closed, told to a client that follows it only from now on. */
export function privateClose(topic: string, after: number, recipient: Recipient): PrivateFrame {
  const make = (index: number): Frame => recipient.control.closed(recipient.cursorAt(index), topic);
  return { after, size: FRAME_BYTES, make };
}
