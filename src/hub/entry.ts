import type { EventEntry } from '../backplane/backplane.js';
import {
  type BroadcastOptions,
  eventFault,
  exceptionFault,
  show,
  type SSEEvent,
  topicFault,
} from '../protocol/event.js';
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
 * cleaned up, and nothing of a refused event is kept. Throws `INVALID_EVENT`, `EVENT_TOO_LARGE`.
 */
export function toEntry(event: SSEEvent, rules: EntryRules, options: BroadcastOptions = {}): EventEntry {
  const fault = eventFault(event) ?? exceptionFault(options);
  if (fault) throw new SSEError('INVALID_EVENT', `${fault}.`);
  if (event.comment !== undefined) assertSize('comment', event.comment, rules.maxEventSize);
  const { except, exceptGroup } = options;
  return {
    kind: 'event',
    topic: event.topic,
    event: event.event,
    id: event.id,
    data: serialize(event, rules),
    text: typeof event.data === 'string' && !rules.ownSerializer ? true : undefined,
    retry: event.retry,
    comment: event.comment,
    metadata: event.metadata === undefined ? undefined : plainJson(event.metadata, rules),
    timestamp: event.timestamp,
    except: except === undefined ? undefined : [except].flat(),
    exceptGroup,
  };
}

function serialize(event: SSEEvent, { serialize: toText, maxEventSize }: EntryRules): string {
  let text: unknown;
  try {
    text = toText(event.data, event);
  } catch (cause) {
    throw new SSEError('INVALID_EVENT', 'data: it cannot be serialised.', { cause });
  }
  if (typeof text !== 'string') throw new SSEError('INVALID_EVENT', `data: serialize() returned ${show(text)}.`);
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
