import { types } from 'node:util';

/**
 * An event as the application writes it. Only `event`, `id`, `data`, `retry` and `comment` go on the wire; `topic`,
 * `metadata` and `timestamp` stay on the servers.
 */
export interface SSEEvent<T = unknown> {
  /** A string goes as it is, anything else as JSON. `undefined`, functions, symbols and BigInt are refused: use `null`. */
  data: T;
  /** The name browsers listen for with `addEventListener`; `message` when absent. */
  event?: string | undefined;
  /** The application's own id, 1 to 256 bytes. Without one, browsers see the cursor. */
  id?: string | undefined;
  /** The topic the event belongs to. */
  topic?: string | undefined;
  /** Reconnection time in milliseconds for the browsers that receive this event: an integer from 0 to 2^31-1. */
  retry?: number | undefined;
  /** Comment lines before the event; browsers ignore them. */
  comment?: string | undefined;
  /** JSON that stays on the servers: filters and observers see it. */
  metadata?: Record<string, unknown> | undefined;
  /** ISO 8601; the time of publishing when absent. */
  timestamp?: string | undefined;
}

/** Who does not get a broadcast. It is kept with the event, so it holds in replay and on other nodes. */
export interface BroadcastOptions {
  /** Client ids. */
  except?: string | readonly string[] | undefined;
  /** The group whose clients are passed over, e.g. the author's. */
  exceptGroup?: string | undefined;
}

export const MAX_ID_BYTES = 256;
export const MAX_RETRY = 2 ** 31 - 1;
export const MAX_TOPIC_BYTES = 512;

/** Starts every cursor of ours, so an id of the application's must not. */
export const CURSOR_PREFIX = '1~';

// Browsers dispatch these two themselves: an event of that name could not be told from the connection's own.
const BROWSER_EVENTS = new Set(['open', 'error']);

/** What events without a name are called, by pages, in typed topics and by schemas. */
export const UNNAMED = 'message';

/** Prefix of the event names that the hub itself sends. */
export const CONTROL_PREFIX = 'sse.';

// oxlint-disable-next-line no-control-regex -- control characters are exactly what must be found
const CONTROL_CHARACTER = /[\u0000-\u001f\u007f-\u009f]/;

const CONTROL_CHARACTERS = new RegExp(CONTROL_CHARACTER, 'g');

function escapeCharacter(char: string): string {
  return `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`;
}

/** Text for an error message: shortened, strings quoted, with every control character escaped. */
export function show(value: unknown): string {
  return oneLine(typeof value === 'string' ? JSON.stringify(value) : textOf(value));
}

/** The same for text that is shown without quotes. */
export function oneLine(text: string, maxLength = 80): string {
  const short = text.length > maxLength ? `${text.slice(0, maxLength - 3)}...` : text;
  return short.replace(CONTROL_CHARACTERS, escapeCharacter);
}

// A body such as {"toString":1} makes an object that has no text; its sender must not turn a 400 into a 500. Of objects
// the keys are shown only: what they hold is nobody's business where the message arrives.
function textOf(value: unknown): string {
  try {
    if (typeof value === 'function') return `function ${value.name}`;
    if (Array.isArray(value)) return `[${String(value)}]`;
    if (Object.prototype.toString.call(value) === '[object Object]') return objectOf(Object.keys(value as object));
    return String(value);
  } catch {
    // Nor is a proxy asked a second time.
    return '[object Object]';
  }
}

function objectOf(keys: readonly string[]): string {
  return keys.length === 0 ? '{}' : `{ ${keys.join(', ')} }`;
}

/** Why `value` cannot stand in a single-line field, or `undefined`. [spec] 9.2.6: a line break would end the field. */
export function singleLineFault(value: unknown, maxBytes: number): string | undefined {
  if (typeof value !== 'string') return `${show(value)} is not a string`;
  if (value === '') return 'it is empty';
  if (CONTROL_CHARACTER.test(value)) return `${show(value)} holds a line break or another control character`;
  if (!value.isWellFormed()) return `${show(value)} holds a lone surrogate, which UTF-8 cannot carry`;
  // A character takes three bytes at the most, so most texts need not be measured.
  if (value.length * 3 > maxBytes && Buffer.byteLength(value) > maxBytes)
    return `${show(value)} is longer than ${maxBytes} bytes`;
  return undefined;
}

function eventNameFault(name: string): string | undefined {
  const fault = singleLineFault(name, MAX_ID_BYTES);
  if (fault) return fault;
  if (BROWSER_EVENTS.has(name)) return `${show(name)} is what browsers call their own events`;
  if (name.startsWith(CONTROL_PREFIX))
    return `${show(name)} begins with "${CONTROL_PREFIX}", as the hub's own events do`;
  return undefined;
}

function idFault(id: string): string | undefined {
  const fault = singleLineFault(id, MAX_ID_BYTES);
  if (fault) return fault;
  return id.startsWith(CURSOR_PREFIX) ? `${show(id)} begins with "${CURSOR_PREFIX}", as cursors do` : undefined;
}

/** Why `value` cannot be sent as `retry`, or `undefined`. */
export function retryFault(value: unknown): string | undefined {
  const valid = typeof value === 'number' && Number.isInteger(value) && value >= 0 && value <= MAX_RETRY;
  return valid ? undefined : `${show(value)} is not an integer from 0 to ${MAX_RETRY} (milliseconds)`;
}

// Date.parse() alone finds a time in "room 5" too.
const ISO_DATE = /^(\d{4}|[+-]\d{6})-\d\d/;

function isTime(value: unknown): boolean {
  return typeof value === 'string' && ISO_DATE.test(value) && !Number.isNaN(Date.parse(value));
}

/** Why an event cannot be sent, naming the field, or `undefined`. The data is checked where it is serialised. */
export function eventFault(event: Omit<SSEEvent, 'data'>): string | undefined {
  const name = event.event === undefined ? undefined : eventNameFault(event.event);
  if (name) return `event: ${name}`;
  const id = event.id === undefined ? undefined : idFault(event.id);
  if (id) return `id: ${id}`;
  const retry = event.retry === undefined ? undefined : retryFault(event.retry);
  if (retry) return `retry: ${retry}`;
  if (event.comment !== undefined && typeof event.comment !== 'string') {
    return `comment: ${show(event.comment)} is not a string`;
  }
  if (event.timestamp !== undefined && !isTime(event.timestamp)) {
    return `timestamp: ${show(event.timestamp)} is not an ISO 8601 time`;
  }
  return undefined;
}

/** Why these cannot be passed over, naming the field, or `undefined`. What a page says of itself may be anything. */
export function exceptionFault(except: readonly unknown[] = [], exceptGroup?: unknown): string | undefined {
  const at = except.findIndex((id) => typeof id !== 'string');
  if (at >= 0) return `except: ${show(except[at])} is not a string; client ids are`;
  if (exceptGroup !== undefined && typeof exceptGroup !== 'string') {
    return `exceptGroup: ${show(exceptGroup)} is not a string`;
  }
  return undefined;
}

/**
 * Why `topic` cannot be a topic, or `undefined`. A topic is always literal: it often comes from a URL, and
 * `/subscribe/**` must not follow everything.
 */
export function topicFault(topic: unknown): string | undefined {
  const fault = singleLineFault(topic, MAX_TOPIC_BYTES);
  if (fault) return fault;
  return (topic as string).includes('*')
    ? `${show(topic)} holds a wildcard; ask for several topics in code, with topicPattern()`
    : undefined;
}

const JSON_LINE_BREAKS = /[\u0085\u2028\u2029]/g;

// Most texts have none, and to find that out takes a fifth of the time of replace(): 0.06 instead of 0.3 µs for 120 bytes.
function hasJsonLineBreak(json: string): boolean {
  return json.includes('\u0085') || json.includes('\u2028') || json.includes('\u2029');
}

/** JSON on a single line for every reader: some treat U+0085, U+2028 and U+2029 as line breaks. */
function toJson(value: unknown): string | undefined {
  const json = JSON.stringify(value) as string | undefined;
  if (json === undefined || !hasJsonLineBreak(json)) return json;
  return json.replace(JSON_LINE_BREAKS, escapeCharacter);
}

/**
 * The rule for `data` unless the configuration has its own: strings as they are, anything else as JSON.
 * Throws a TypeError that says what to do instead.
 */
export function serializeData(data: unknown): string {
  if (typeof data === 'string') return data;
  if (data === undefined) throw new TypeError('data is undefined; use null');
  // Its JSON would be {}.
  if (types.isPromise(data)) throw new TypeError('data is a promise; await it');
  const json = toJson(data);
  if (json === undefined) throw new TypeError(`data is a ${typeof data}, which has no JSON form`);
  return json;
}
