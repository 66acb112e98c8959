import { eventFault, topicFault } from './event.js';
import type { Entry } from '../backplane/backplane.js';

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
