import { blockOf, type LogItem, Publication } from '../../log/publication.js';
import type { EventLog } from '../../log/event-log.js';
import type { SSEEvent } from '../../protocol/event.js';
import { Frame } from '../../protocol/frame.js';
import type { Merge } from '../../sse.runs.js';
import { takeIn } from '../callbacks.js';
import type { Envelopes } from '../envelopes.js';
import type { Following } from '../topics/following.js';

/** Bytes of data that are merged at a time, about: what is merged into one event should be one. */
const MAX_BYTES = 262_144;

export interface MergingContext {
  readonly log: EventLog;
  readonly envelopes: Envelopes;
  /** As data of an event is serialised. Throws what is wrong with it. */
  readonly serialize: (event: SSEEvent) => string;
  /** The application's function failed: its client gets each event instead. */
  readonly failed: (error: unknown) => void;
}

/** Whose reading it is. */
export interface MergingReader {
  readonly following: Following;
  readonly merge: Merge;
  /** It gets what everybody gets who follows the same. */
  readonly isPlain: boolean;
  /** What becomes of an event: it may be left out, and at some the reading has to stop. */
  look(publication: Publication, index: number): 'take' | 'skip' | 'stop';
  /** Calls the application's function in the asynchronous context of its client. */
  call(merge: Merge, chunks: readonly unknown[]): unknown;
}

/** What several events have become: as few frames as the application makes of them. */
export interface Merged {
  readonly frames: readonly Frame[];
  readonly events: number;
  /** The index behind the last one. */
  readonly next: number;
}

/** What was made for somebody else. */
interface Known extends Merged {
  /** What was followed. */
  readonly key: string;
  readonly merge: Merge;
  /** Up to where it was read; Infinity where it had enough before. */
  readonly end: number;
}

/** By the first event. Many who come late begin at the same one. */
const known = new WeakMap<Publication, Known>();

/**
 * What follows `index`, up to `end`, of neighbours that go together: each frame has the cursor of the last event in it, so
 * whoever is cut behind any one goes on exactly there. `undefined` where there is nothing to be put together.
 */
export function mergedFrom(
  first: LogItem,
  index: number,
  end: number,
  reader: MergingReader,
  context: MergingContext,
): Merged | undefined {
  if (index >= end || !isMergeable(first) || reader.look(first, index) !== 'take') return undefined;
  const { following, merge, isPlain } = reader;
  const { key } = following;
  const before = isPlain ? known.get(first) : undefined;
  if (before?.key === key && before.merge === merge && end >= before.next) {
    if (before.end === Infinity || before.end === end) return before;
  }
  const { publications, next, isFull } = gather(first, index, end, reader, context);
  if (publications.length === 1) return undefined;
  const merged = { frames: framesOf(publications, reader, context), events: publications.length, next };
  if (isPlain) known.set(first, { ...merged, key, merge, end: isFull ? Infinity : end });
  return merged;
}

function gather(
  first: Publication,
  index: number,
  end: number,
  reader: MergingReader,
  { log }: MergingContext,
): { publications: Publication[]; next: number; isFull: boolean } {
  const { following } = reader;
  const publications = [first];
  let bytes = first.entry.data.length;
  let next = index + 1;
  for (let i = following.nextIn(log, next); i < end; i = following.nextIn(log, i + 1)) {
    const item = log.itemAt(i);
    if (item && !following.concerns(item)) continue;
    if (bytes >= MAX_BYTES || !isMergeable(item) || !goTogether(first, item))
      return { publications, next, isFull: true };
    const step = reader.look(item, i);
    if (step === 'stop') return { publications, next, isFull: true };
    next = i + 1;
    if (step === 'skip') continue;
    publications.push(item);
    bytes += item.entry.data.length;
  }
  return { publications, next, isFull: false };
}

/** Whether the data of this event may be part of another one: it is of a run, and has nothing that would be lost. */
function isMergeable(item: LogItem | undefined): item is Publication {
  if (!(item instanceof Publication)) return false;
  const { run, ends, id, retry, comment } = item.entry;
  return run !== undefined && !ends && id === undefined && retry === undefined && comment === undefined;
}

function goTogether({ entry: a }: Publication, { entry: b }: Publication): boolean {
  return a.run === b.run && a.event === b.event && a.topic === b.topic;
}

function framesOf(publications: readonly Publication[], reader: MergingReader, context: MergingContext): Frame[] {
  try {
    return mergeAll(publications, reader, context);
  } catch (error) {
    context.failed(error);
    return publications.map(({ frame }) => frame);
  }
}

function mergeAll(publications: readonly Publication[], reader: MergingReader, context: MergingContext): Frame[] {
  const ask = (chunks: readonly unknown[]): unknown => {
    const answer = reader.call(reader.merge, chunks);
    if (takeIn(answer)) throw new TypeError('merge() answered a promise; it has to answer at once');
    return answer;
  };
  const chunks = publications.map((publication) => context.envelopes.of(publication).data);
  const all = ask(chunks);
  if (all !== undefined) return [frameOf(publications, all, context)];
  const frames: Frame[] = [];
  for (let i = 0; i < publications.length;) {
    let together = chunks[i];
    let end = i + 1;
    for (; end < publications.length; end++) {
      const more = ask([together, chunks[end]]);
      if (more === undefined) break;
      together = more;
    }
    frames.push(frameOf(publications.slice(i, end), together, context));
    i = end;
  }
  return frames;
}

function frameOf(publications: readonly Publication[], data: unknown, { serialize }: MergingContext): Frame {
  const last = publications.at(-1)!;
  if (publications.length === 1) return last.frame;
  const { topic, event } = last.entry;
  return new Frame([blockOf({ ...last.entry, data: serialize({ topic, event, data }) }, last.cursor)]);
}
