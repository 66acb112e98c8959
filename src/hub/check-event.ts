import { encodedSize } from '../protocol/encode.js';
import type { EventEntry } from '../protocol/entry.js';
import {
  type BroadcastOptions,
  eventFault,
  exceptionFault,
  serializeData,
  show,
  type SSEEvent,
  topicFault,
} from '../protocol/event.js';
import { SSEError } from '../sse.error.js';
import { takeIn } from './callbacks.js';
import { TopicPattern } from './topics/topic-pattern.js';

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
export function toEntry(event: SSEEvent, rules: EntryRules, options?: BroadcastOptions): EventEntry {
  const fields = fieldsOf(event);
  const { except, exceptGroup } = options === undefined ? NO_EXCEPTIONS : exceptionsOf(options);
  const { topic, event: name, id, retry, comment, metadata, timestamp } = fields;
  if (topic !== undefined) assertTopic(topic);
  const fault = eventFault(fields) ?? exceptionFault(except, exceptGroup);
  if (fault) throw new SSEError('INVALID_EVENT', `${fault}.`);
  const { maxEventSize, ownSerializer } = rules;
  const taken = comment === undefined ? 0 : assertSize('comment', comment, maxEventSize);
  const data = serialize(fields, rules);
  assertSize('data', data, maxEventSize, taken);
  const isText = typeof fields.data === 'string' && !ownSerializer;
  return {
    kind: 'event',
    topic: own(topic),
    event: own(name),
    id: own(id),
    data: isText || ownSerializer ? own(data) : data,
    text: isText || undefined,
    retry,
    comment: own(comment),
    metadata: metadata === undefined ? undefined : plainJson(metadata, rules),
    timestamp: own(timestamp),
    except: except?.map(own),
    exceptGroup: own(exceptGroup),
  };
}

/** What is shorter V8 copies. */
const MIN_SLICE = 13;

/** Small texts are copied by way of this: to make a buffer for each takes a third more time. */
const scratch = Buffer.allocUnsafeSlow(8_192);

/** The same text in memory of its own: a part of another one keeps all of that, for as long as the log keeps the part. */
export function own<T extends string | undefined>(text: T): T {
  if (text === undefined || text.length < MIN_SLICE) return text;
  const encoding = Buffer.byteLength(text) === text.length ? 'latin1' : 'utf16le';
  if (text.length * 2 > scratch.length) return Buffer.from(text, encoding).toString(encoding) as T;
  return scratch.toString(encoding, 0, scratch.write(text, encoding)) as T;
}

function fieldsOf(source: SSEEvent): Readonly<SSEEvent> {
  try {
    const { data, event, id, topic, retry, comment, metadata, timestamp } = source;
    return { data, event, id, topic, retry, comment, metadata, timestamp };
  } catch (cause) {
    throw unreadable('event', cause);
  }
}

interface Exceptions {
  readonly except: readonly string[] | undefined;
  readonly exceptGroup: string | undefined;
}

const NO_EXCEPTIONS: Exceptions = Object.freeze({ except: undefined, exceptGroup: undefined });

function exceptionsOf(options: BroadcastOptions): Exceptions {
  try {
    const { except, exceptGroup } = options;
    return { except: except === undefined ? undefined : [except].flat(), exceptGroup };
  } catch (cause) {
    throw unreadable('options', cause);
  }
}

function unreadable(what: string, cause: unknown): SSEError {
  return new SSEError('INVALID_EVENT', `The ${what} cannot be read.`, { cause });
}

function serialize(event: Readonly<SSEEvent>, { serialize: toText }: EntryRules): string {
  if (event.data === undefined && toText === serializeData) {
    throw new SSEError(
      'INVALID_EVENT',
      'data: it is undefined. An event has data; null says that there is nothing to say.',
    );
  }
  let text: unknown;
  try {
    // Only the application's own sees the event, and could change what has been checked.
    text = toText(event.data, toText === serializeData ? event : Object.freeze(event));
  } catch (cause) {
    throw new SSEError('INVALID_EVENT', 'data: it cannot be serialised.', { cause });
  }
  if (typeof text !== 'string') {
    const shown = takeIn(text) ? 'a promise; it has to return a string, at once' : show(text);
    throw new SSEError('INVALID_EVENT', `data: serialize() returned ${shown}.`);
  }
  return text;
}

/** Answers the bytes that it takes on the wire, where `taken` are taken already. */
function assertSize(field: 'data' | 'comment', text: string, maxEventSize: number, taken = 0): number {
  const name = field === 'data' ? field : '';
  const size = encodedSize(name, text, maxEventSize);
  if (size + taken <= maxEventSize) return size;
  const bytes = Buffer.byteLength(text);
  const encoded =
    size === bytes ? '' : `, and ${encodedSize(name, text)} on the wire, where each of its lines is a field`;
  const beside = taken === 0 ? '' : `, of which the comment takes ${taken}`;
  throw tooLarge(`The ${field} is ${bytes} bytes${encoded}; maxEventSize is ${maxEventSize}${beside}.`);
}

function tooLarge(message: string): SSEError {
  return new SSEError('EVENT_TOO_LARGE', `${message} Send a reference, and let clients fetch the rest.`);
}

/** The same on every backplane: what does not survive JSON is not there at all. */
function plainJson(metadata: unknown, { maxEventSize }: EntryRules): string {
  const text = toJson(metadata);
  if (!text?.startsWith('{')) throw new SSEError('INVALID_EVENT', `metadata: ${show(metadata)} is not a plain object.`);
  const bytes = Buffer.byteLength(text);
  if (bytes > maxEventSize) throw tooLarge(`The metadata is ${bytes} bytes; maxEventSize is ${maxEventSize}.`);
  return text;
}

function toJson(metadata: unknown): string | undefined {
  try {
    return JSON.stringify(metadata);
  } catch (cause) {
    throw new SSEError('INVALID_EVENT', 'metadata: it has no JSON form.', { cause });
  }
}
