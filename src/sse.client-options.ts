import { AsyncResource } from 'node:async_hooks';
import { randomUUID } from 'node:crypto';
import type { IncomingMessage, OutgoingHttpHeaders } from 'node:http';
import type { Http2ServerRequest } from 'node:http2';
import { types } from 'node:util';

import type { EventEntry } from './backplane/backplane.js';
import { SSEError } from './hub/errors.js';
import { assertTopic, toEntry } from './hub/entry.js';
import { tooManyTopics } from './hub/hub.js';
import type { Filter } from './hub/reader.js';
import type { Following } from './hub/selection.js';
import type { ClientSettings, SSEClient } from './hub/sse-client.js';
import type { OnGap } from './hub/start.js';
import { compilePattern, TopicPattern } from './hub/topic-pattern.js';
import { NEW_CURSOR } from './protocol/cursor.js';
import { MAX_ID_BYTES, singleLineFault, type SSEEvent } from './protocol/event.js';
import { lastEventIdOf } from './protocol/headers.js';
import { assertOption, invalid, listOf, type ResolvedConfig, type Topics } from './sse.config.js';

/** A request that a last event ID can be read from: Node's, or a web-standard one. */
export type RequestLike = IncomingMessage | Http2ServerRequest | Request;

type Initial = SSEEvent | readonly SSEEvent[];

export interface ClientOptions {
  /** 1 to 256 bytes, a UUID unless given. A live client with the same `id` and the same `group` is replaced. */
  id?: string;
  /** What it follows from the start. */
  topics?: Topics;
  /** Lets through what this client is to get, of all its topics. */
  filter?: Filter;
  /** Whose client it is, for limits and removal: from the session, never from the URL. */
  group?: string;
  /** Read from the request unless given; `''` starts at the head. */
  lastEventId?: string;
  /** Where the last event ID is read from, outside Nest. */
  request?: RequestLike;
  /**
   * Replays what is newer than this time (milliseconds since 1970, or a Date) of the topics' present lives, without
   * `broadcastAll`. A last event ID wins over it, also one from the middle of such a replay.
   */
  since?: Date | number;
  /** Replays nothing older than this, whatever the cursor says. */
  notBefore?: Date | number;
  /**
   * What it gets right after connecting, before anything that is published from then on. Not called when it resumed in
   * full; called again when the stream ended before all of it had left.
   */
  initial?: Initial | ((client: SSEClient) => Initial | Promise<Initial>);
  /** The application's own notes. */
  metadata?: Record<string, unknown>;
  /**
   * When the stream has to end, e.g. with the session (milliseconds since 1970, or a Date). It ends behind `sse.expired`,
   * and an EventSource comes back: with cookies your guard decides anew; with a token in the URL it comes with the old one,
   * and a 401 closes it for good. Such a page opens a new one when it hears `sse.expired`, with a fresh token and
   * `?lastEventId=`.
   */
  expiresAt?: Date | number;
  /** More response headers. */
  headers?: OutgoingHttpHeaders;
  /** After a gap: what is still retained, or only what is new. Default: as configured. */
  onGap?: OnGap;
  /** Milliseconds of silence after which it gets a comment; 0 for none. Default: as configured. */
  heartbeatInterval?: number;
  /** Milliseconds that its EventSource waits before it comes back, jittered. Default: as configured. */
  retryInterval?: number;
  /** Whether it gets the `sse.*` events. Default: as configured. */
  controlEvents?: boolean;
  /**
   * How the server ends a stream that is to come back (shutdown, `maxConnectionAge`, `expiresAt`, `removeClient`, refused
   * for now). `'cut'` breaks the connection off behind the last event and its cursor, for readers built on `fetch` that take
   * an orderly end for the end and reconnect after an error only. Streams that are over for good end in order either way.
   * @example
   * sse.stream('orders', { plannedEnd: 'cut' });
   * @defaultValue 'end'
   */
  plannedEnd?: 'end' | 'cut';
}

/** `stream()` has its topics as an argument, and Nest writes the headers. */
export type StreamOptions = Omit<ClientOptions, 'topics' | 'headers'>;

/** Throws `INVALID_CONFIG` for a value that makes no sense. */
export function resolveClient(options: ClientOptions, config: ResolvedConfig, request?: RequestLike): ClientSettings {
  const { id = randomUUID(), group, filter, lastEventId, metadata, since, notBefore, expiresAt } = options;
  const idFault = singleLineFault(id, MAX_ID_BYTES);
  if (idFault) throw invalid('id', id, `a single line of 1 to ${MAX_ID_BYTES} bytes: ${idFault}`);
  if (group !== undefined) assertGroup(group);
  if (filter !== undefined && typeof filter !== 'function') throw invalid('filter', filter, 'a function');
  if (lastEventId !== undefined && typeof lastEventId !== 'string')
    throw invalid('lastEventId', lastEventId, 'a string');
  for (const name of ['heartbeatInterval', 'retryInterval', 'controlEvents', 'onGap'] as const) {
    if (options[name] !== undefined) assertOption(name, options[name]);
  }
  const { plannedEnd = 'end' } = options;
  if (plannedEnd !== 'end' && plannedEnd !== 'cut') throw invalid('plannedEnd', plannedEnd, "'end' or 'cut'");
  const given = lastEventId ?? lastEventIdFrom(options.request ?? request);
  return {
    id,
    group,
    filter,
    metadata,
    // Whatever is longer is none of ours, and need not be kept.
    lastEventId: (given === NEW_CURSOR ? '' : given).slice(0, 2 * MAX_ID_BYTES),
    since: timeOf('since', since),
    notBefore: timeOf('notBefore', notBefore),
    expiresAt: timeOf('expiresAt', expiresAt) ?? Infinity,
    onGap: options.onGap ?? config.onGap,
    heartbeatInterval: options.heartbeatInterval ?? config.heartbeatInterval,
    retryInterval: options.retryInterval ?? config.retryInterval,
    controlEvents: options.controlEvents ?? config.controlEvents,
    plannedEnd,
    initial: resolveInitial(options.initial, config),
  };
}

/** Throws `INVALID_TOPIC`, `TOO_MANY_TOPICS`. */
export function resolveTopics(topics: Topics, config: ResolvedConfig): Following {
  const names = listOf(topics);
  const patterns: TopicPattern[] = [];
  const literal: string[] = [];
  for (const name of names) {
    const topic = literalOf(name);
    if (topic instanceof TopicPattern) patterns.push(topic);
    else literal.push(topic);
  }
  // Before anybody makes room for a client that cannot be.
  for (const pattern of patterns) compilePattern(pattern, config.topicDelimiter);
  const count = new Set(names.map(String)).size;
  if (count > config.maxTopicsPerClient) throw tooManyTopics(count, config.maxTopicsPerClient);
  return { topics: literal, patterns };
}

/** A pattern, or the topic that is meant. Throws `INVALID_TOPIC`. */
export function literalOf(name: string | TopicPattern): string | TopicPattern {
  if (name instanceof TopicPattern) return name.isLiteral ? name.pattern : name;
  assertTopic(name);
  return name;
}

function lastEventIdFrom(request: RequestLike | undefined): string {
  if (!request) return '';
  if (request instanceof Request) return lastEventIdOf(request.headers.get('last-event-id') ?? undefined, request.url);
  return lastEventIdOf(request.headers['last-event-id'], request.url);
}

/** Throws `INVALID_CONFIG`: a group that is not a string would never be found again. */
export function assertGroup(group: unknown): void {
  if (typeof group !== 'string') throw invalid('group', group, 'a string');
}

function timeOf(option: string, value: Date | number | undefined): number | undefined {
  if (value === undefined) return undefined;
  // What would be 0 or 1 as a number is a mistake, and would let everything through or nothing.
  const time = types.isDate(value) || typeof value === 'number' ? Number(value) : Number.NaN;
  if (Number.isNaN(time)) throw invalid(option, value, 'a Date, or milliseconds since 1970');
  return time;
}

function resolveInitial(initial: ClientOptions['initial'], config: ResolvedConfig): ClientSettings['initial'] {
  if (initial === undefined) return undefined;
  const encode = (events: Initial): EventEntry[] => [events].flat().map((event) => toEntry(event, config));
  // It runs when its turn comes, whoever's request that turn belongs to.
  if (typeof initial === 'function') return AsyncResource.bind(async (client) => encode(await initial(client)));
  // Checked now, so that the caller learns of a mistake before anything has been sent.
  const entries = encode(initial);
  return () => entries;
}

export function assertEnabled(config: ResolvedConfig): void {
  if (config.enabled) return;
  throw new SSEError('DISABLED', 'Event streams are switched off on this server (`enabled: false`).');
}
