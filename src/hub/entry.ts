import type { EventEntry } from '../backplane/backplane.js';
import {
  type BroadcastOptions,
  eventFault,
  exceptionFault,
  show,
  type SSEEvent,
  topicFault,
} from '../protocol/event.js';
import { takeIn } from './callbacks.js';
import { SSEError } from './errors.js';
import { TopicPattern } from './topic-pattern.js';

export interface EntryRules {
  readonly maxEventSize: number;
  readonly serialize: (data: unknown, event: Readonly<SSEEvent>) => string;
  /** The application serialises strings too. */
  readonly ownSerializer: boolean;
}

/** Throws `INVALID_TOPIC` unless `topic` can be one. */
export function assertTopic(topic: unknown): asserts topic is string {
  if (topic instanceof TopicPattern) {
    throw new SSEError(
      'INVALID_TOPIC',
      `topic: topicPattern(${show(topic.pattern)}) stands for many, and this takes one.`,
    );
  }
  const fault = topicFault(topic);
  if (fault) throw new SSEError('INVALID_TOPIC', `topic: ${fault}.`);
}

/**
 * Checks an event and serialises it, so that whatever is wrong with it is the publisher's to know, at once: nothing is
 * cleaned up, and nothing of a refused event is kept. Throws `INVALID_EVENT`, `INVALID_TOPIC`, `EVENT_TOO_LARGE`.
 *
 * Serialising runs code of the application's (`serialize`, `toJSON`), and so does reading a field that is a getter. So
 * each field is read once, before anything is checked: what was checked is what leaves, whatever such code does meanwhile.
 */
export function toEntry(event: SSEEvent, rules: EntryRules, options: BroadcastOptions = {}): EventEntry {
  const fields = read('event', () => fieldsOf(event));
  const { except, exceptGroup } = read('options', () => exceptionsOf(options));
  const { topic, event: name, id, retry, comment, metadata, timestamp } = fields;
  if (topic !== undefined) assertTopic(topic);
  const fault = eventFault(fields) ?? exceptionFault(except, exceptGroup);
  if (fault) throw new SSEError('INVALID_EVENT', `${fault}.`);
  if (comment !== undefined) assertSize('comment', comment, rules.maxEventSize);
  return {
    kind: 'event',
    topic,
    event: name,
    id,
    data: serialize(fields, rules),
    text: typeof fields.data === 'string' && !rules.ownSerializer ? true : undefined,
    retry,
    comment,
    metadata: metadata === undefined ? undefined : plainJson(metadata, rules),
    timestamp,
    except,
    exceptGroup,
  };
}

function read<T>(what: string, fields: () => T): T {
  try {
    return fields();
  } catch (cause) {
    throw new SSEError('INVALID_EVENT', `The ${what} cannot be read.`, { cause });
  }
}

function fieldsOf({ data, event, id, topic, retry, comment, metadata, timestamp }: SSEEvent): Readonly<SSEEvent> {
  return Object.freeze({ data, event, id, topic, retry, comment, metadata, timestamp });
}

function exceptionsOf({ except, exceptGroup }: BroadcastOptions) {
  return { except: except === undefined ? undefined : [except].flat(), exceptGroup };
}

function serialize(event: Readonly<SSEEvent>, { serialize: toText, maxEventSize }: EntryRules): string {
  let text: unknown;
  try {
    text = toText(event.data, event);
  } catch (cause) {
    throw new SSEError('INVALID_EVENT', 'data: it cannot be serialised.', { cause });
  }
  if (typeof text !== 'string') {
    const shown = takeIn(text) ? 'a promise; it has to return a string, at once' : show(text);
    throw new SSEError('INVALID_EVENT', `data: serialize() returned ${shown}.`);
  }
  assertSize('data', text, maxEventSize);
  return text;
}

function assertSize(field: string, text: string, maxEventSize: number): void {
  const size = Buffer.byteLength(text);
  if (size <= maxEventSize) return;
  throw new SSEError(
    'EVENT_TOO_LARGE',
    `The ${field} is ${size} bytes; maxEventSize is ${maxEventSize}. Send a reference, and let clients fetch the rest.`,
  );
}

/** The same on every backplane: what does not survive JSON is not there at all. */
function plainJson(metadata: unknown, { maxEventSize }: EntryRules): Record<string, unknown> {
  const text = toJson(metadata);
  if (!text?.startsWith('{')) throw new SSEError('INVALID_EVENT', `metadata: ${show(metadata)} is not a plain object.`);
  assertSize('metadata', text, maxEventSize);
  return JSON.parse(text) as Record<string, unknown>;
}

function toJson(metadata: unknown): string | undefined {
  try {
    return JSON.stringify(metadata);
  } catch (cause) {
    throw new SSEError('INVALID_EVENT', 'metadata: it has no JSON form.', { cause });
  }
}
