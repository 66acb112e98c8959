import type { AsyncResource } from 'node:async_hooks';

import { blockOf, type LogItem, Publication } from '../../log/publication.js';
import type { SSEEvent } from '../../protocol/event.js';
import { Frame } from '../../protocol/frame.js';
import type { Merge } from '../../sse.runs.js';
import { takeIn } from '../callbacks.js';
import type { Envelopes } from '../envelopes.js';

/** Bytes of data that are merged at a time, about: what is merged into one event should be one. */
const MAX_BYTES = 262_144;

export interface MergingContext {
  readonly envelopes: Envelopes;
  /** As data of an event is serialised. Throws what is wrong with it. */
  readonly serialize: (event: SSEEvent) => string;
  /** The application's function failed: its client gets each event instead. */
  readonly failed: (error: unknown) => void;
}

/** Neighbours of one run that may become one, and where a client is behind them. */
export interface Stretch {
  readonly publications: readonly Publication[];
  readonly next: number;
  /** All that the log has between the first and the last of them. */
  readonly isWhole: boolean;
}

/** A frame for several publications. */
interface Merged {
  readonly frame: Frame;
  readonly events: number;
}

/** What was made of the same stretch for somebody else. */
interface Known {
  readonly merge: Merge;
  readonly merged: readonly Merged[];
}

/** By the first one and the last of a stretch that is whole. */
const known = new WeakMap<Publication, WeakMap<Publication, Known>>();

/** Whether the data of this event may be part of another one: it is of a run, and has nothing that would be lost. */
export function isMergeable(item: LogItem | undefined): item is Publication {
  if (!(item instanceof Publication)) return false;
  const { run, ends, id, retry, comment } = item.entry;
  return run !== undefined && !ends && id === undefined && retry === undefined && comment === undefined;
}

/** Whether both may be parts of one. */
export function goTogether({ entry: a }: Publication, { entry: b }: Publication): boolean {
  return a.run === b.run && a.event === b.event && a.topic === b.topic;
}

/** Whether so much is enough to be merged at a time. */
export function isLongEnough(bytes: number): boolean {
  return bytes >= MAX_BYTES;
}

/**
 * What these neighbours are together: as few frames as the application's function makes of them, each with the cursor of
 * the last event in it, so that whoever is cut behind any one goes on exactly there.
 */
export function merged(
  { publications, isWhole }: Stretch,
  merge: Merge,
  origin: AsyncResource,
  context: MergingContext,
): readonly Merged[] {
  const [first, last] = [publications[0]!, publications.at(-1)!];
  const before = isWhole ? known.get(first)?.get(last) : undefined;
  if (before?.merge === merge) return before.merged;
  let made: readonly Merged[];
  try {
    made = origin.runInAsyncScope(() => mergeAll(publications, merge, context));
  } catch (error) {
    context.failed(error);
    return publications.map(({ frame }) => ({ frame, events: 1 }));
  }
  // A filter may have left something out for one client and not for the other.
  if (!isWhole) return made;
  const ofFirst = known.get(first) ?? new WeakMap<Publication, Known>();
  ofFirst.set(last, { merge, merged: made });
  known.set(first, ofFirst);
  return made;
}

function mergeAll(publications: readonly Publication[], merge: Merge, context: MergingContext): Merged[] {
  const { envelopes } = context;
  const ask = (chunks: readonly unknown[]): unknown => {
    const answer = merge(chunks);
    if (takeIn(answer)) throw new TypeError('merge() answered a promise; it has to answer at once');
    return answer;
  };
  const chunks = publications.map((publication) => envelopes.of(publication).data);
  const all = publications.length > 1 ? ask(chunks) : undefined;
  if (all !== undefined) return [frameOf(publications, all, context)];
  const made: Merged[] = [];
  for (let i = 0; i < publications.length;) {
    let together = chunks[i];
    let end = i + 1;
    for (; end < publications.length; end++) {
      const more = ask([together, chunks[end]]);
      if (more === undefined) break;
      together = more;
    }
    made.push(frameOf(publications.slice(i, end), together, context));
    i = end;
  }
  return made;
}

function frameOf(publications: readonly Publication[], data: unknown, { serialize }: MergingContext): Merged {
  const last = publications.at(-1)!;
  const events = publications.length;
  if (events === 1) return { frame: last.frame, events };
  const { topic, event } = last.entry;
  const text = serialize({ topic, event, data });
  return { frame: new Frame([blockOf({ ...last.entry, data: text }, last.cursor)]), events };
}
