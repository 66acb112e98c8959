import type { EventEntry } from '../protocol/entry.js';
import type { SSEEvent } from '../protocol/event.js';

/** Keeps what an envelope reads its lazy fields from. Not enumerable: copies and JSON don't have it. */
const SOURCE = Symbol('source');

interface Source {
  readonly entry: EventEntry;
  readonly deserialize: (text: string) => unknown;
  data?: { readonly value: unknown };
  metadata?: Record<string, unknown>;
}

interface Sourced {
  readonly [SOURCE]: Source;
}

/**
 * Getters that all envelopes share. Closures of each envelope's own would give each a shape of its own, and making one
 * would take four times as long. By way of a property and not of a private field, so that proxies have them too.
 */
const DATA: PropertyDescriptor & ThisType<Sourced> = {
  get() {
    const source = this[SOURCE];
    const { entry, deserialize } = source;
    return (source.data ??= { value: entry.text ? entry.data : deserialize(entry.data) }).value;
  },
  enumerable: true,
};
const METADATA: PropertyDescriptor & ThisType<Sourced> = {
  get() {
    const source = this[SOURCE];
    return (source.metadata ??= JSON.parse(source.entry.metadata!) as Record<string, unknown>);
  },
  enumerable: true,
};

/**
 * What filters and observers see of an event: frozen, with `data` and `metadata` read back from their serialised form,
 * once, when first asked for.
 */
export function envelopeOf(
  entry: EventEntry,
  cursor: string,
  ms: number,
  deserialize: (text: string) => unknown,
): Readonly<SSEEvent> {
  const { event, topic, id = cursor, retry, comment, metadata, timestamp = isoTime(ms) } = entry;
  const source: Source = { entry, deserialize };
  const envelope = Object.defineProperty({ id, timestamp } as SSEEvent, SOURCE, { value: source });
  Object.defineProperty(envelope, 'data', DATA);
  // One by one: spreading what there may be takes longer than all the rest.
  if (event !== undefined) envelope.event = event;
  if (topic !== undefined) envelope.topic = topic;
  if (retry !== undefined) envelope.retry = retry;
  if (comment !== undefined) envelope.comment = comment;
  if (metadata !== undefined) Object.defineProperty(envelope, 'metadata', METADATA);
  return Object.freeze(envelope);
}

let latest = { ms: 0, iso: new Date(0).toISOString() };

/** What comes in one batch, or in one turn, is of the same time as a rule. */
function isoTime(ms: number): string {
  if (ms !== latest.ms) latest = { ms, iso: new Date(ms).toISOString() };
  return latest.iso;
}
