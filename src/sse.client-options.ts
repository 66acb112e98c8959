import { randomUUID } from 'node:crypto';
import type { OutgoingHttpHeaders } from 'node:http';
import { types } from 'node:util';

import { assertTopic, own, toEntry } from './hub/check-event.js';
import type { ClientSettings } from './hub/clients/client-settings.js';
import { tooManyTopics } from './hub/clients/registry.js';
import type { TopicsAndPatterns } from './hub/topics/following.js';
import { compilePattern, TopicPattern, topicPattern } from './hub/topics/topic-pattern.js';
import { NEW_CURSOR } from './protocol/cursor.js';
import type { EventEntry } from './protocol/entry.js';
import { MAX_ID_BYTES, show, singleLineFault, type SSEEvent } from './protocol/event.js';
import type { Filter, OnGap, SSEClient } from './sse.client.js';
import { assertOption, type ResolvedConfig } from './sse.config.js';
import { invalid, SSEError } from './sse.error.js';
import type { ClientEvent, SSEEvents, TopicsOf } from './sse.events.js';
import type { Merge } from './sse.runs.js';
import { listOf, type Topics } from './sse.topic-rules.js';
import { lastEventIdFrom, type RequestLike } from './transport/request.js';

type Initial<Event> = Event | readonly Event[];

/** What a client is and follows, where an application has these events. */
export type ClientOptions<Events extends SSEEvents = SSEEvents> = OptionsOfClient<
  TopicsOf<Events>,
  ClientEvent<Events>
>;

/** The options of a client that may follow this, and get such events for itself alone. */
export interface OptionsOfClient<Followed, Event> {
  /**
   * 1 to 256 bytes. A live client with the same `id` and the same `group` is replaced.
   *
   * @defaultValue a UUID
   */
  id?: string | undefined;
  /**
   * What it follows from the start.
   *
   * @defaultValue none
   */
  topics?: Followed | undefined;
  /**
   * Lets through what this client is to get, of all its topics.
   *
   * @defaultValue none: it gets everything
   */
  filter?: Filter | undefined;
  /**
   * Whose client it is, for limits and removal: from the session, never from the URL.
   *
   * @defaultValue none
   */
  group?: string | undefined;
  /**
   * Where it resumes; `''` starts at the head.
   *
   * @defaultValue what the request brings: the `Last-Event-ID` header, then `?lastEventId=`
   */
  lastEventId?: string | undefined;
  /**
   * Where the last event ID is read from, outside Nest.
   *
   * @defaultValue the request that Nest handles, or that the `response` of `createClient()` belongs to
   */
  request?: RequestLike | undefined;
  /**
   * Replays what is newer than this time (milliseconds since 1970, or a Date) of the topics' present lives, without
   * `broadcastAll`. A last event ID wins over it, also one from the middle of such a replay.
   *
   * @defaultValue none: a new client starts at the head
   */
  since?: Date | number | undefined;
  /**
   * Replays a run from its n-th event on (from 0), and of topics that have none all that is retained. Whoever asks for events
   * that are gone gets `sse.reset`. More than 0 needs exactly one topic. A last event ID wins over it.
   *
   * @defaultValue none
   */
  from?: number | undefined;
  /**
   * Gives this client fewer and larger events of a run where it is behind: it is handed the data of neighbours, and answers
   * what they are together, or `undefined` where they do not go together. What is published while it is there, it gets one
   * by one. Give every client the same function: what it makes of the same events is made once.
   *
   * @defaultValue none: it gets each event
   */
  merge?: Merge | undefined;
  /**
   * Replays nothing older than this, whatever the cursor says.
   *
   * @defaultValue none
   */
  notBefore?: Date | number | undefined;
  /**
   * What it gets right after connecting, before anything that is published from then on. Not called when it resumed
   * in full; called again when the stream ended before all of it had left.
   *
   * @defaultValue none
   */
  initial?: (Initial<Event> | ((client: SSEClient) => Initial<Event> | Promise<Initial<Event>>)) | undefined;
  /**
   * The application's own notes.
   *
   * @defaultValue `{}`
   */
  metadata?: Record<string, unknown> | undefined;
  /**
   * When the stream has to end, e.g. with the session (milliseconds since 1970, or a Date). It ends behind
   * `sse.expired`, and an EventSource comes back: with cookies your guard decides anew; with a token in the URL it
   * comes with the old one, and a 401 closes it for good. Such a page opens a new one when it hears `sse.expired`,
   * with a fresh token and `?lastEventId=`.
   *
   * @defaultValue never
   */
  expiresAt?: Date | number | undefined;
  /**
   * More response headers.
   *
   * @defaultValue none
   */
  headers?: OutgoingHttpHeaders | undefined;
  /**
   * After a gap: what is still retained, or only what is new.
   *
   * @defaultValue the hub's
   */
  onGap?: OnGap | undefined;
  /**
   * Milliseconds of silence after which it gets a comment; 0 for none.
   *
   * @defaultValue the hub's
   */
  heartbeatInterval?: number | undefined;
  /**
   * Milliseconds that its EventSource waits before it comes back, jittered.
   *
   * @defaultValue the hub's
   */
  retryInterval?: number | undefined;
  /**
   * Whether it gets the `sse.*` events.
   *
   * @defaultValue the hub's
   */
  controlEvents?: boolean | undefined;
  /**
   * How the server ends a stream that is to come back (shutdown, `maxConnectionAge`, `expiresAt`, `removeClient`, refused
   * for now). `'cut'` breaks the connection off behind the last event and its cursor, for readers built on `fetch` that take
   * an orderly end for the end and reconnect after an error only. Streams that are over for good end in order either way.
   *
   * @defaultValue `'end'`
   *
   * @example
   * sse.stream('orders', { plannedEnd: 'cut' });
   */
  plannedEnd?: 'end' | 'cut' | undefined;
}

/** `stream()` has its topics as an argument, and Nest writes the headers. */
export type StreamOptions<Events extends SSEEvents = SSEEvents> = OptionsOfStream<ClientEvent<Events>>;

/** The options of a stream that may get such events for itself alone. */
export type OptionsOfStream<Event> = Omit<OptionsOfClient<never, Event>, 'topics' | 'headers'>;

/** What can be said once for all clients of a handler: all that is not of one request. */
export type RouteOptions = Omit<
  ClientOptions,
  'id' | 'topics' | 'group' | 'lastEventId' | 'request' | 'notBefore' | 'metadata' | 'expiresAt'
>;

/** Where an option may be given, beside `createClient()` and `addClient()`. */
type Place = 'stream' | 'route';

const OPTIONS: { readonly [Option in keyof Required<ClientOptions>]: readonly Place[] } = {
  id: ['stream'],
  topics: [],
  filter: ['stream', 'route'],
  group: ['stream'],
  lastEventId: ['stream'],
  request: ['stream'],
  since: ['stream', 'route'],
  from: ['stream', 'route'],
  merge: ['stream', 'route'],
  notBefore: ['stream'],
  initial: ['stream', 'route'],
  metadata: ['stream'],
  expiresAt: ['stream'],
  headers: ['route'],
  onGap: ['stream', 'route'],
  heartbeatInterval: ['stream', 'route'],
  retryInterval: ['stream', 'route'],
  controlEvents: ['stream', 'route'],
  plannedEnd: ['stream', 'route'],
};

/** Throws `INVALID_CONFIG` for an option that there is not: a stream with `topic: 'a'` would follow nothing, silently. */
export function assertOptionNames(options: OptionsOfClient<Topics, SSEEvent>, owner: string, place?: Place): void {
  const names = Object.keys(OPTIONS) as (keyof ClientOptions)[];
  const known: readonly string[] = names.filter((name) => place === undefined || OPTIONS[name].includes(place));
  const stranger = Object.entries(options).find(([name, value]) => !known.includes(name) && value !== undefined);
  if (!stranger) return;
  const [name, value] = stranger;
  throw new SSEError(
    'INVALID_CONFIG',
    `${owner} has no option \`${name}\` (${show(value)}). The options are: ${known.join(', ')}.`,
  );
}

/** Throws `INVALID_CONFIG` for what would be wrong for every client of a handler. */
export function assertRouteOptions(options: RouteOptions, owner: string): void {
  assertOptionNames(options, owner, 'route');
  assertFilter(options.filter);
  timeOf('since', options.since);
  assertFromAndMerge(options);
  assertManner(options);
}

function assertFromAndMerge({ from, merge }: Pick<ClientOptions, 'from' | 'merge'>): void {
  if (from !== undefined && !(Number.isSafeInteger(from) && from >= 0)) {
    throw invalid('from', from, 'the number of an event, 0 for the first');
  }
  if (merge !== undefined && typeof merge !== 'function') throw invalid('merge', merge, 'a function');
}

/** Throws `INVALID_CONFIG`: events of two runs are not counted together. */
export function assertFromFits(from: number | undefined, { topics, patterns }: TopicsAndPatterns): void {
  const names = [...topics, ...patterns].map(String);
  if (from === undefined || from === 0 || (names.length === 1 && [...topics].length === 1)) return;
  throw invalid(
    'from',
    from,
    `0 for a client that follows ${names.join(', ') || 'nothing'}: it counts the events of one topic`,
  );
}

/** Throws `INVALID_CONFIG` for a value that makes no sense. Each option is read once: what was checked is what holds. */
export function resolveClient(
  options: OptionsOfClient<Topics, SSEEvent>,
  config: ResolvedConfig,
  request?: RequestLike,
): ClientSettings {
  const { id = randomUUID(), group, filter, lastEventId, metadata, since, notBefore, expiresAt, initial } = options;
  const { heartbeatInterval, retryInterval, controlEvents, onGap, plannedEnd = 'end', from, merge } = options;
  assertFromAndMerge(options);
  const idFault = singleLineFault(id, MAX_ID_BYTES);
  if (idFault) throw invalid('id', id, `a single line of 1 to ${MAX_ID_BYTES} bytes: ${idFault}`);
  if (group !== undefined) assertGroup(group);
  assertFilter(filter);
  if (lastEventId !== undefined && typeof lastEventId !== 'string')
    throw invalid('lastEventId', lastEventId, 'a string');
  assertManner({ heartbeatInterval, retryInterval, controlEvents, onGap, plannedEnd });
  const given = lastEventId ?? lastEventIdFrom(request);
  return {
    id,
    group,
    filter,
    metadata,
    // Whatever is longer is none of ours, and need not be kept.
    lastEventId: given === NEW_CURSOR ? '' : own(given.slice(0, 2 * MAX_ID_BYTES)),
    since: timeOf('since', since),
    notBefore: timeOf('notBefore', notBefore),
    from,
    merge,
    expiresAt: timeOf('expiresAt', expiresAt) ?? Infinity,
    onGap: onGap ?? config.onGap,
    heartbeatInterval: heartbeatInterval ?? config.heartbeatInterval,
    retryInterval: retryInterval ?? config.retryInterval,
    controlEvents: controlEvents ?? config.controlEvents,
    plannedEnd,
    initial: resolveInitial(initial, config),
  };
}

/** Throws `INVALID_TOPIC`, `TOO_MANY_TOPICS`. */
export function resolveTopics(topics: Topics, config: ResolvedConfig): TopicsAndPatterns {
  const names = listOf(topics).map(literalOf);
  const patterns = names.filter((name) => name instanceof TopicPattern);
  const literal = names.filter((name) => typeof name === 'string');
  // Before anybody makes room for a client that cannot be.
  for (const pattern of patterns) compilePattern(pattern, config.topicDelimiter);
  const count = new Set(names.map(String)).size;
  if (count > config.maxTopicsPerClient) throw tooManyTopics(count, config.maxTopicsPerClient);
  return { topics: literal, patterns };
}

/** A pattern, or the topic that is meant. Throws `INVALID_TOPIC`. */
export function literalOf(name: string | TopicPattern): string | TopicPattern {
  if (name instanceof TopicPattern) {
    // One of ours: whoever holds the other may change it after it has been checked.
    const own = topicPattern(name.pattern);
    return own.isLiteral ? own.pattern : own;
  }
  assertTopic(name);
  return name;
}

/** Throws `INVALID_CONFIG`: a group that is not a string would never be found again. */
export function assertGroup(group: unknown): void {
  if (typeof group !== 'string') throw invalid('group', group, 'a string');
}

/** Throws `INVALID_CONFIG`: what cannot be called would hide every event and end its client, one event too late. */
export function assertFilter(filter: unknown): void {
  if (filter !== undefined && typeof filter !== 'function') throw invalid('filter', filter, 'a function');
}

/** How a client is spoken to. */
function assertManner(options: RouteOptions): void {
  const { heartbeatInterval, retryInterval, controlEvents, onGap, plannedEnd } = options;
  for (const [name, value] of Object.entries({ heartbeatInterval, retryInterval, controlEvents, onGap })) {
    if (value !== undefined) assertOption(name as 'onGap', value);
  }
  if (plannedEnd !== undefined && plannedEnd !== 'end' && plannedEnd !== 'cut')
    throw invalid('plannedEnd', plannedEnd, "'end' or 'cut'");
}

/** In milliseconds since 1970. Throws `INVALID_CONFIG`. */
export function timeOf(option: string, value: Date | number | undefined): number | undefined {
  if (value === undefined) return undefined;
  // What would be 0 or 1 as a number is a mistake, and would let everything through or nothing.
  const time = types.isDate(value) || typeof value === 'number' ? Number(value) : Number.NaN;
  if (Number.isNaN(time)) throw invalid(option, value, 'a Date, or milliseconds since 1970');
  if (isInSeconds(time)) {
    throw invalid(option, value, 'a Date, or milliseconds since 1970, and this looks like seconds: × 1,000');
  }
  return time;
}

/** Milliseconds this small are of the first half of 1970: nobody means that, and seconds are a thousandth of today's. */
function isInSeconds(time: number): boolean {
  return time > 0 && time < Date.now() / 100;
}

function resolveInitial(
  initial: OptionsOfClient<Topics, SSEEvent>['initial'],
  config: ResolvedConfig,
): ClientSettings['initial'] {
  if (initial === undefined) return undefined;
  const encode = (events: Initial<SSEEvent>): EventEntry[] => [events].flat().map((event) => toEntry(event, config));
  if (typeof initial === 'function') return async (client) => encode(await initial(client));
  // Checked now, so that the caller learns of a mistake before anything has been sent.
  let entries = encode(initial);
  return () => {
    const due = entries;
    // It is asked for once, and the stream may be open for days.
    entries = [];
    return due;
  };
}

export function assertEnabled(config: ResolvedConfig): void {
  if (config.enabled) return;
  throw new SSEError('DISABLED', 'Event streams are switched off on this server (`enabled: false`).');
}
