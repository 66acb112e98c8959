import type { Position } from './cursor.js';
import { eventFault, topicFault } from './event.js';

/** An event, serialised. */
export interface EventEntry {
  readonly kind: 'event';
  /** Absent for an event to everybody. */
  readonly topic?: string | undefined;
  readonly event?: string | undefined;
  readonly id?: string | undefined;
  readonly data: string;
  /** `data` is the application's own string rather than its serialised value. */
  readonly text?: boolean | undefined;
  readonly retry?: number | undefined;
  readonly comment?: string | undefined;
  /** A JSON object: its text, which takes a fraction of the memory of what can be read out of it. */
  readonly metadata?: string | undefined;
  /** The application's own; without it, the position says when. */
  readonly timestamp?: string | undefined;
  readonly except?: readonly string[] | undefined;
  readonly exceptGroup?: string | undefined;
  /**
   * What closed the topic up to this place holds no longer: the publisher's node has let go of everything up to there. A
   * close behind it does, and the event is delivered nowhere.
   */
  readonly opens?: Position | undefined;
}

/** A topic is finished, or starts over. */
export interface TopicEntry {
  readonly kind: 'close' | 'open';
  readonly topic: string;
}

/** The clients of a group are to be disconnected, on every node. */
export interface GroupEntry {
  readonly kind: 'removeGroup';
  readonly group: string;
  readonly reconnect: boolean;
}

/** The clients of a group are to follow a topic, or no longer, on every node. */
export interface GroupTopicEntry {
  readonly kind: 'subscribeGroup' | 'unsubscribeGroup';
  readonly group: string;
  readonly topic: string;
  /** `topic` is a pattern. */
  readonly pattern?: boolean | undefined;
}

/** What a hub appends to the log: plain, JSON-safe objects. */
export type Entry = EventEntry | TopicEntry | GroupEntry | GroupTopicEntry;

/** An entry as a broker keeps it. */
export function encodeEntry(entry: Entry): string {
  return JSON.stringify(entry);
}

type Fields = Readonly<Record<string, unknown>>;

/** The entry in `text`, or `undefined` when it is none. */
export function decodeEntry(text: string): Entry | undefined {
  return asEntry(parse(text));
}

/**
 * The entry that `value` is, as it comes out of JSON, or `undefined` when it is none. A kind that this version does not
 * know passes: while nodes are being replaced, the newer ones may write it already, and its place in the log counts.
 */
export function asEntry(value: unknown): Entry | undefined {
  return isObject(value) && typeof value['kind'] === 'string' && fits(value['kind'], value)
    ? (value as unknown as Entry)
    : undefined;
}

// Spelled out: a node that only reads spends its time here, and a table of fields and checks takes five times as long.
function fits(kind: string, fields: Fields): boolean {
  switch (kind) {
    case 'event':
      return fitsEvent(fields);
    case 'close':
    case 'open':
      return isTopic(fields['topic']);
    case 'removeGroup':
      return isString(fields['group']) && typeof fields['reconnect'] === 'boolean';
    case 'subscribeGroup':
    case 'unsubscribeGroup':
      return isString(fields['group']) && isString(fields['topic']) && isMaybeBoolean(fields['pattern']);
    default:
      return true;
  }
}

function fitsEvent(fields: Fields): boolean {
  const { topic, data, text, metadata, except, exceptGroup, opens } = fields;
  return (
    typeof data === 'string' &&
    (topic === undefined || isTopic(topic)) &&
    isMaybeBoolean(text) &&
    (metadata === undefined || isJsonObject(metadata)) &&
    (except === undefined || (Array.isArray(except) && except.every(isString))) &&
    (exceptGroup === undefined || isString(exceptGroup)) &&
    (opens === undefined || isPosition(opens)) &&
    // What no hub publishes, somebody else has put into the log; on the wire it would make fields or events of its own.
    eventFault(fields) === undefined
  );
}

function isString(value: unknown): value is string {
  return typeof value === 'string';
}

function isMaybeBoolean(value: unknown): boolean {
  return value === undefined || typeof value === 'boolean';
}

function isObject(value: unknown): value is Fields {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function isTopic(value: unknown): boolean {
  return topicFault(value) === undefined;
}

function isPosition(value: unknown): boolean {
  return isObject(value) && Number.isSafeInteger(value['ms']) && Number.isSafeInteger(value['seq']);
}

function isJsonObject(value: unknown): boolean {
  return typeof value === 'string' && isObject(parse(value));
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
