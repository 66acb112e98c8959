import type { EventEntry } from '../backplane/backplane.js';
import { formatCursor, type Position } from '../protocol/cursor.js';
import type { Block } from '../protocol/encode.js';
import type { SSEEvent } from '../protocol/event.js';
import { Frame } from '../protocol/frame.js';

/** An event that has its position: one frozen envelope and one encoded frame for everybody. */
export class Publication {
  readonly position: Position;
  readonly entry: EventEntry;
  /** What its texts cost in memory: once as they are, once encoded. */
  readonly bytes: number;
  #cursor: string | undefined;
  #frame: Frame | undefined;
  #cursorFrame: Frame | undefined;
  #bareCursorFrame: Frame | undefined;
  #envelope: Readonly<SSEEvent> | undefined;
  readonly #epoch: string;

  constructor(entry: EventEntry, position: Position, epoch: string) {
    this.entry = entry;
    this.position = position;
    this.#epoch = epoch;
    this.bytes = bytesOf(entry);
  }

  // Made when somebody asks, like all below: most of what is published to a topic that nobody follows is never read.
  get cursor(): string {
    return (this.#cursor ??= formatCursor(this.#epoch, this.position));
  }

  get topic(): string | undefined {
    return this.entry.topic;
  }

  /** Whether everyone who follows its topic gets it. */
  get unrestricted(): boolean {
    return this.entry.except === undefined && this.entry.exceptGroup === undefined;
  }

  excludes(clientId: string, group: string | undefined): boolean {
    const { except, exceptGroup } = this.entry;
    return (exceptGroup !== undefined && exceptGroup === group) || (except?.includes(clientId) ?? false);
  }

  get frame(): Frame {
    return (this.#frame ??= new Frame([blockOf(this.entry, this.cursor)]));
  }

  /**
   * What leaves behind the frame, in the same write, where the event has an id of its own: the cursor to come back with.
   * It has two forms, with and without control events; what is large is in neither.
   */
  cursorFrame(named: boolean): Frame | undefined {
    if (this.entry.id === undefined) return undefined;
    if (named) return (this.#cursorFrame ??= new Frame([cursorBlock(this.cursor, true)]));
    return (this.#bareCursorFrame ??= new Frame([cursorBlock(this.cursor, false)]));
  }

  /** What filters and observers see: `data` is read back from its serialised form, once, when first asked for. */
  envelope(deserialize: (text: string) => unknown): Readonly<SSEEvent> {
    return (this.#envelope ??= envelopeOf(this, deserialize));
  }
}

/** An event on the wire. An id of its own is what readers show. */
export function blockOf(entry: Omit<EventEntry, 'kind'>, cursor: string): Block {
  const { comment, event, id = cursor, retry, data } = entry;
  return {
    data,
    id,
    ...(comment !== undefined && { comment }),
    ...(event !== undefined && { event }),
    ...(retry !== undefined && { retry }),
  };
}

/**
 * Moves a reader's last event ID on. [spec] 9.2.6: a block without data does that too and dispatches nothing, but Firefox,
 * WebKit and every reader on eventsource-parser before npm eventsource 5 pass over it: so it has data, unless the
 * application has asked for none of the hub's own events.
 */
export function cursorBlock(cursor: string, named: boolean): Block {
  return named ? { event: 'sse.cursor', id: cursor, data: '{}' } : { id: cursor };
}

function envelopeOf(
  { entry, position, cursor }: Publication,
  deserialize: (text: string) => unknown,
): Readonly<SSEEvent> {
  const { event, topic, retry, comment, metadata, timestamp = new Date(position.ms).toISOString() } = entry;
  let read = false;
  let data: unknown;
  const envelope = {
    get data(): unknown {
      if (!read) data = entry.text ? entry.data : deserialize(entry.data);
      read = true;
      return data;
    },
    id: entry.id ?? cursor,
    timestamp,
    ...(event !== undefined && { event }),
    ...(topic !== undefined && { topic }),
    ...(retry !== undefined && { retry }),
    ...(comment !== undefined && { comment }),
    ...(metadata !== undefined && { metadata }),
  };
  return Object.freeze(envelope);
}

/** What an event takes in the log, about: its data as text and as a frame. */
export function bytesOf({ data, comment = '', metadata, except = [] }: EventEntry): number {
  const encoded = 2 * (Buffer.byteLength(data) + Buffer.byteLength(comment));
  return encoded + (metadata ? JSON.stringify(metadata).length : 0) + except.reduce((sum, id) => sum + id.length, 0);
}
