import { isPlainObject } from '../../option-checks.js';
import type { EventEntry, RunOutcome } from '../../protocol/entry.js';
import { show, type SSEEvent } from '../../protocol/event.js';
import { SSEError } from '../../sse.error.js';

/** What makes an event one of a run. */
export type MarkOfRun = Required<Pick<EventEntry, 'run' | 'n'>> & { readonly ends?: RunOutcome };

const FIELDS = new Set(['event', 'data', 'id', 'topic', 'retry', 'comment', 'metadata', 'timestamp']);

/** The event that a source means by a value. Throws `INVALID_EVENT` for one of another topic. */
export function eventOf(value: unknown, topic: string, name: string | undefined): SSEEvent & { topic: string } {
  if (name !== undefined) return { topic, event: name, data: value };
  if (!isWholeEvent(value)) return { topic, data: value };
  if (value.topic === undefined || value.topic === topic) return { ...value, topic };
  throw new SSEError(
    'INVALID_EVENT',
    `topic: ${show(value.topic)} in an event of the run on ${show(topic)}. Events of a run have its topic: leave it out.`,
  );
}

/** Both fields have to be there, and nothing that an event has not: data has often one of them. */
function isWholeEvent(value: unknown): value is SSEEvent {
  if (!isPlainObject(value) || !('event' in value) || !('data' in value)) return false;
  return Object.keys(value).every((field) => FIELDS.has(field));
}
