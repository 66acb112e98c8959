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
type Check = (value: unknown) => boolean;

const aString: Check = (value) => typeof value === 'string';
const aBoolean: Check = (value) => typeof value === 'boolean';
const aNumber: Check = (value) => typeof value === 'number';
const anObject: Check = (value) => typeof value === 'object' && value !== null && !Array.isArray(value);
const aPosition: Check = (value) => {
  const { ms, seq } = (value ?? {}) as Fields;
  return anObject(value) && Number.isSafeInteger(ms) && Number.isSafeInteger(seq);
};
const aTopic: Check = (value) => topicFault(value) === undefined;
const strings: Check = (value) => Array.isArray(value) && value.every(aString);
const maybe =
  (check: Check): Check =>
  (value) =>
    value === undefined || check(value);

const SHAPES: Readonly<Record<string, Readonly<Record<string, Check>>>> = {
  event: {
    topic: maybe(aTopic),
    event: maybe(aString),
    id: maybe(aString),
    data: aString,
    text: maybe(aBoolean),
    retry: maybe(aNumber),
    comment: maybe(aString),
    metadata: maybe((value) => aString(value) && parse(value as string) !== undefined),
    timestamp: maybe(aString),
    except: maybe(strings),
    exceptGroup: maybe(aString),
    opens: maybe(aPosition),
  },
  close: { topic: aTopic },
  open: { topic: aTopic },
  removeGroup: { group: aString, reconnect: aBoolean },
  subscribeGroup: { group: aString, topic: aString, pattern: maybe(aBoolean) },
  unsubscribeGroup: { group: aString, topic: aString, pattern: maybe(aBoolean) },
};

/**
 * The entry in `text`, or `undefined` when it is none. A kind that this version does not know passes: while nodes are
 * being replaced, the newer ones may write it already, and its place in the log counts.
 */
export function decodeEntry(text: string): Entry | undefined {
  const fields = parse(text);
  if (!fields || typeof fields['kind'] !== 'string') return undefined;
  const shape = Object.hasOwn(SHAPES, fields['kind']) ? SHAPES[fields['kind']]! : {};
  const fits = Object.entries(shape).every(([field, check]) => check(fields[field]));
  return fits && !isForged(fields) ? (fields as unknown as Entry) : undefined;
}

/** No hub publishes it, so somebody else has put it into the log; on the wire it would make fields or events of its own. */
function isForged(fields: Fields): boolean {
  return fields['kind'] === 'event' && eventFault(fields) !== undefined;
}

function parse(text: string): Fields | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return anObject(value) ? (value as Fields) : undefined;
  } catch {
    return undefined;
  }
}
