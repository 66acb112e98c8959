import { formatCursor, type Position } from '../protocol/cursor.js';
import { type Block, encodedSize } from '../protocol/encode.js';
import type { EventEntry } from '../protocol/entry.js';
import type { SSEEvent } from '../protocol/event.js';
import { Frame } from '../protocol/frame.js';
import { envelopeOf } from './envelope.js';

/** An event that has its position: one frozen envelope and one encoded frame for everybody. */
export class Publication {
  readonly position: Position;
  readonly entry: EventEntry;
  /** What is kept of it in memory, about: its texts as they are, and encoded. */
  readonly bytes: number;
  #cursor: string | undefined;
  #frame: Frame | undefined;
  #cursorFrame: Frame | undefined;
  #bareCursorFrame: Frame | undefined;
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

  /**
   * What filters and observers see: `data` is read back from its serialised form, once, when first asked for. Anew at every
   * call, and not kept here: what is read back takes many times the memory of its text.
   */
  envelope(deserialize: (text: string) => unknown): Readonly<SSEEvent> {
    return envelopeOf(this.entry, this.cursor, this.position.ms, deserialize);
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

/** What a string takes beside its characters, with the pointer to it. */
const STRING_BYTES = 32;
/** The object around a frame's bytes, its blocks, and the buffer's own. Measured with a heap snapshot, like the next. */
const FRAME_BYTES = 640;
/** That an event's own id can be found, and the two frames that may follow it. */
const OWN_ID_BYTES = 1_024;

/** What an event takes in the log, about: its texts, and the frame, whether or not that has been made already. */
export function bytesOf(entry: EventEntry): number {
  const { topic, event, id, data, comment, metadata, timestamp, except, exceptGroup } = entry;
  let bytes = FRAME_BYTES + encodedSize('data', data) + (id === undefined ? 0 : OWN_ID_BYTES);
  if (comment !== undefined) bytes += encodedSize('', comment);
  // One by one: an array of them, made for every event, takes longer than all that is counted here.
  bytes += bytesOfText(topic) + bytesOfText(event) + bytesOfText(id) + bytesOfText(data) + bytesOfText(comment);
  bytes += bytesOfText(metadata) + bytesOfText(timestamp) + bytesOfText(exceptGroup);
  if (except) for (const clientId of except) bytes += bytesOfText(clientId);
  return bytes;
}

/** The most that a character of data takes: seven bytes as a line break on the wire, two in its text. */
const CHARACTER_BYTES = 9;

/** No less than `bytesOf`, from the lengths of the texts alone. */
export function bytesAtMost(entry: EventEntry): number {
  const { topic, event, id, data, comment, metadata, timestamp, except, exceptGroup } = entry;
  let length = data.length + lengthOf(topic) + lengthOf(event) + lengthOf(id) + lengthOf(comment);
  length += lengthOf(metadata) + lengthOf(timestamp) + lengthOf(exceptGroup);
  let texts = 8;
  if (except) {
    texts += except.length;
    for (const clientId of except) length += clientId.length;
  }
  return FRAME_BYTES + OWN_ID_BYTES + texts * STRING_BYTES + length * CHARACTER_BYTES;
}

function lengthOf(text: string | undefined): number {
  return text === undefined ? 0 : text.length;
}

/** V8 takes one byte for a character of a text that has none beyond U+00FF, and two for each of any other. */
function bytesOfText(text: string | undefined): number {
  if (text === undefined) return 0;
  const isShort = text.length < 128;
  const width = !isShort && Buffer.byteLength(text) === text.length ? 1 : 2;
  return STRING_BYTES + width * text.length;
}

/** A topic was closed or opened here. */
export interface TopicMark {
  readonly kind: 'close' | 'open';
  readonly topic: string;
}

export type LogItem = Publication | TopicMark;
