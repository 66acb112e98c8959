import type { Backplane } from './backplane/backplane.js';
import { MemoryBackplane } from './backplane/memory.backplane.js';
import type { OnGroupLimit, OnLimit } from './hub/admission.js';
import type { HubOptions } from './hub/hub.js';
import type { Retention } from './log/history.js';
import { MAX_RETRY, serializeData, show, type SSEEvent } from './protocol/event.js';
import type { CompressionOptions } from './protocol/gzip.js';
import type { OnGap } from './sse.client.js';
import { invalid, SSEError } from './sse.error.js';
import { resolveSchemas, type SchemaRule } from './sse.schemas.js';
import { compileRules, ruleFor, type Topics } from './sse.topic-rules.js';

/** How much is kept of some topics. */
export interface HistoryRule {
  readonly topics: Topics;
  /** Events per topic; `maxHistorySize` when absent. */
  readonly maxSize?: number | undefined;
  /** Milliseconds; `maxHistoryAge` when absent. */
  readonly maxAge?: number | undefined;
}

/** How soon one write to a client may follow another because of some topics. */
export interface FlushRule {
  readonly topics: Topics;
  /** Milliseconds; 0: what a turn publishes leaves at its end. */
  readonly interval: number;
}

/** Turns the data of an event into text. */
export type Serialize = (data: unknown, event: Readonly<SSEEvent>) => string;

/** Everything is optional. Durations are in milliseconds. */
export interface SSEConfig {
  /**
   * `false`: broadcasts do nothing, and new connections get `DISABLED` (503).
   *
   * @defaultValue `true`
   */
  enabled?: boolean | undefined;
  /**
   * Logs every connect, subscribe, replay, reset and disconnect.
   *
   * @defaultValue `false`
   */
  debug?: boolean | undefined;
  /**
   * How long a stream may be silent before a comment is sent, × 1 to 1.25 so that heartbeats spread; 0 for never.
   *
   * @defaultValue `30_000`
   */
  heartbeatInterval?: number | undefined;
  /**
   * Sent as `retry` on connecting: how long an EventSource waits before it comes back.
   *
   * @defaultValue `3_000`
   */
  retryInterval?: number | undefined;
  /**
   * 0 to 1: `retry` is `retryInterval` × (1 + random × `retryJitter`), against reconnect storms.
   *
   * @defaultValue `0.5`
   */
  retryJitter?: number | undefined;
  /**
   * Bytes of one event's data and comment as they are on the wire: of text with line breaks that is more than it has,
   * because every line begins with `data: `.
   *
   * @defaultValue `1_048_576`
   */
  maxEventSize?: number | undefined;
  /**
   * Compresses the streams of `createClient()` and `addClient()` for clients that take gzip: once for all that get
   * the same. `threshold`: bytes below which it is not worth it (256); `level`: zlib's, 1 to 9 (6).
   *
   * @defaultValue `false`
   */
  compression?: boolean | Partial<CompressionOptions> | undefined;
  /**
   * Open streams on this node; Infinity for no limit.
   *
   * @defaultValue `1_000`
   */
  maxClients?: number | undefined;
  /**
   * Open streams of one group on this node.
   *
   * @defaultValue `Infinity`
   */
  maxClientsPerGroup?: number | undefined;
  /**
   * At `maxClients`. `retry`: 200, `sse.busy`, the end, so an EventSource comes back. `reject`: `TOO_MANY_CLIENTS`
   * (503), after which it never does.
   *
   * @defaultValue `'retry'`
   */
  onLimit?: OnLimit | undefined;
  /**
   * At `maxClientsPerGroup`. `evict-oldest`: the oldest of the group ends for good.
   *
   * @defaultValue `'evict-oldest'`
   */
  onGroupLimit?: OnGroupLimit | undefined;
  /**
   * Topics and patterns that one client follows.
   *
   * @defaultValue `100`
   */
  maxTopicsPerClient?: number | undefined;
  /**
   * Events kept per topic; 0: only until every client that keeps up has them.
   *
   * @defaultValue `1_000`
   */
  maxHistorySize?: number | undefined;
  /**
   * How long events are kept, and how long it is known that a topic is finished.
   *
   * @defaultValue `1_200_000` (20 minutes)
   */
  maxHistoryAge?: number | undefined;
  /**
   * Bytes of all history together, at least 65,536; the oldest events go first.
   *
   * @defaultValue `67_108_864` (64 MiB)
   */
  maxHistoryBytes?: number | undefined;
  /**
   * Other limits for some topics; the first rule that matches counts.
   *
   * @defaultValue none
   */
  history?: readonly HistoryRule[] | undefined;
  /**
   * After a gap: what is still retained, or only what is new.
   *
   * @defaultValue `'earliest'`
   */
  onGap?: OnGap | undefined;
  /**
   * Streams are closed after this time, × 0.8 to 1.0, between two events; 0 for never.
   *
   * @defaultValue `0`
   */
  maxConnectionAge?: number | undefined;
  /**
   * Bytes handed to one connection before it is left to catch up from the log.
   *
   * @defaultValue `65_536`
   */
  highWaterMark?: number | undefined;
  /**
   * At most one write per client in this time, up to 60,000, for floods of small events: fewer and larger writes cost
   * less. The first event after a pause leaves at once, what is published in the interval behind a write leaves together
   * when it is over; 0: everything at the end of its turn. Nothing else waits: replay and catching up, `sendEvent()`,
   * heartbeats, `closeTopic()`, `removeClient()` and all other ends, before which leaves what has waited.
   *
   * @defaultValue `0`
   */
  flushInterval?: number | undefined;
  /**
   * Another `flushInterval` for some topics; the first rule that matches counts. When an event leaves, so does everything
   * before it that its client has not got: events of an urgent topic take those along that wait.
   *
   * @defaultValue none
   *
   * @example
   * const config: SSEConfig = { flushInterval: 50, flush: [{ topics: topicPattern('alert:*'), interval: 0 }] };
   */
  flush?: readonly FlushRule[] | undefined;
  /**
   * With data waiting and none accepted for this long, a client is closed.
   *
   * @defaultValue `30_000`
   */
  slowTimeout?: number | undefined;
  /**
   * How long `shutdown()` gives streams to end; what is left then is destroyed.
   *
   * @defaultValue `5_000`
   */
  drainTimeout?: number | undefined;
  /**
   * Stands between the segments of a topic, for patterns.
   *
   * @defaultValue `':'`
   */
  topicDelimiter?: string | undefined;
  /**
   * Turns the data of an event into text. `JSON.stringify` quotes strings too.
   *
   * @defaultValue strings as they are, anything else as JSON
   */
  serialize?: Serialize | typeof JSON.stringify | undefined;
  /**
   * Reads back what `serialize` made, for filters and observers.
   *
   * @defaultValue `JSON.parse`
   */
  deserialize?: ((text: string) => unknown) | undefined;
  /**
   * Standard Schemas (Zod, Valibot, ArkType, …) for the data of what is published on some topics, by the event's name:
   * `INVALID_EVENT` for what does not match, and for a name that has none. The first rule that matches a topic counts;
   * topics that none matches are not checked, nor are `broadcastAll()` and events for one client. A schema sees what
   * leaves, read back by `deserialize`, and has to answer at once; what it makes of the data is not used.
   *
   * @defaultValue none
   *
   * @example
   * const created = z.object({ id: z.number(), total: z.number() });
   * const config: SSEConfig = { schemas: [{ topics: 'orders', events: { created } }] };
   */
  schemas?: readonly SchemaRule[] | undefined;
  /**
   * `false`: nothing is checked against `schemas`.
   *
   * @defaultValue `true` where there are `schemas`
   */
  validate?: boolean | undefined;
  /**
   * Whether the `sse.*` events are sent.
   *
   * @defaultValue `true`
   */
  controlEvents?: boolean | undefined;
  /**
   * Where the log lives.
   *
   * @defaultValue `new MemoryBackplane()`: in the memory of this process
   */
  backplane?: Backplane | undefined;
}

/** The configuration with every default filled in, checked. */
export interface ResolvedConfig extends HubOptions {
  readonly enabled: boolean;
  readonly heartbeatInterval: number;
  readonly maxEventSize: number;
  readonly onGap: OnGap;
  readonly compression: CompressionOptions | undefined;
  readonly controlEvents: boolean;
  readonly serialize: Serialize;
  /** `serialize` is the application's, so `deserialize` reads strings too. */
  readonly ownSerializer: boolean;
}

type Check = (value: unknown) => string | undefined;

const MINUTE = 60_000;

const aBoolean: Check = (value) => (typeof value === 'boolean' ? undefined : 'true or false');
const aFunction: Check = (value) => (typeof value === 'function' ? undefined : 'a function');

function aNumber(min: number, max: number, unit: string): Check {
  return (value) =>
    typeof value === 'number' && value >= min && value <= max ? undefined : `${unit} from ${min} to ${max}`;
}

/** Whole numbers; Infinity where `max` is. */
function aWhole(min: number, max: number, unit: string): Check {
  const inRange = aNumber(min, max, `a whole number of ${unit}`);
  return (value) => inRange(Number.isInteger(value) || value === Infinity ? value : undefined);
}

function oneOf(...allowed: readonly string[]): Check {
  return (value) =>
    allowed.includes(value as string) ? undefined : `one of ${allowed.map((text) => `'${text}'`).join(', ')}`;
}

const aCompression: Check = (value) => {
  if (typeof value === 'boolean') return undefined;
  const allowed = 'true, false, or { threshold: bytes, level: 1 to 9 }';
  if (typeof value !== 'object' || value === null) return allowed;
  const { threshold = 0, level = 6, ...others } = value as Partial<CompressionOptions>;
  const fault = aWhole(0, Infinity, 'bytes')(threshold) ?? aWhole(1, 9, 'level')(level);
  return fault === undefined && Object.keys(others).length === 0 ? undefined : allowed;
};

const DURATION = aWhole(0, MAX_RETRY, 'milliseconds');

const CHECKS: { readonly [Option in keyof Required<SSEConfig>]: Check } = {
  enabled: aBoolean,
  debug: aBoolean,
  heartbeatInterval: DURATION,
  // Jitter may double it.
  retryInterval: aWhole(0, Math.floor(MAX_RETRY / 2), 'milliseconds'),
  retryJitter: aNumber(0, 1, 'a number'),
  maxEventSize: aWhole(1, Infinity, 'bytes'),
  compression: aCompression,
  maxClients: aWhole(1, Infinity, 'clients'),
  maxClientsPerGroup: aWhole(1, Infinity, 'clients'),
  onLimit: oneOf('retry', 'reject'),
  onGroupLimit: oneOf('evict-oldest', 'retry', 'reject'),
  maxTopicsPerClient: aWhole(1, Infinity, 'topics'),
  maxHistorySize: aWhole(0, Infinity, 'events'),
  maxHistoryAge: aWhole(0, Infinity, 'milliseconds'),
  // Less than this could not hold what a single turn publishes.
  maxHistoryBytes: aWhole(65_536, Infinity, 'bytes'),
  history: (value) => (Array.isArray(value) ? undefined : 'a list of { topics, maxSize, maxAge }'),
  onGap: oneOf('earliest', 'latest'),
  maxConnectionAge: DURATION,
  highWaterMark: aWhole(1, Infinity, 'bytes'),
  flushInterval: aWhole(0, MINUTE, 'milliseconds'),
  flush: (value) => (Array.isArray(value) ? undefined : 'a list of { topics, interval }'),
  slowTimeout: aWhole(1, MAX_RETRY, 'milliseconds'),
  drainTimeout: DURATION,
  topicDelimiter: (value) => (typeof value === 'string' && value !== '' ? undefined : 'a string that is not empty'),
  serialize: aFunction,
  deserialize: aFunction,
  schemas: (value) => (Array.isArray(value) ? undefined : 'a list of { topics, events }'),
  validate: aBoolean,
  controlEvents: aBoolean,
  backplane: (value) =>
    typeof (value as Backplane | undefined)?.append === 'function'
      ? undefined
      : 'a backplane, e.g. new MemoryBackplane()',
};

function isOption(name: string): name is keyof SSEConfig {
  return Object.hasOwn(CHECKS, name);
}

/** Throws `INVALID_CONFIG` unless the option may have this value. */
export function assertOption(name: keyof SSEConfig, value: unknown): void {
  const allowed = CHECKS[name](value);
  if (allowed) throw invalid(name, value, allowed);
}

/** Every option, read once and checked: also where a class has them as getters, which may answer anew each time. */
function checked(given: SSEConfig): SSEConfig {
  const stranger = Object.keys(given).find((name) => !isOption(name));
  if (stranger !== undefined) {
    const known = Object.keys(CHECKS).join(', ');
    throw new SSEError(
      'INVALID_CONFIG',
      `There is no SSE option \`${stranger}\` (${show(given[stranger as keyof SSEConfig])}). The options are: ${known}.`,
    );
  }
  const config = Object.fromEntries(Object.keys(CHECKS).map((name) => [name, given[name as keyof SSEConfig]]));
  for (const [name, value] of Object.entries(config)) {
    if (value !== undefined) assertOption(name as keyof SSEConfig, value);
  }
  return config;
}

/**
 * Fills in the defaults and checks everything, once. Throws `INVALID_CONFIG` with the option's name, its value, and
 * what is allowed.
 */
export function resolveConfig(given: SSEConfig = {}): ResolvedConfig {
  const config = checked(given);
  const topicDelimiter = config.topicDelimiter ?? ':';
  const deserialize = config.deserialize ?? ((text: string) => JSON.parse(text) as unknown);
  return {
    enabled: config.enabled ?? true,
    debug: config.debug ?? false,
    heartbeatInterval: config.heartbeatInterval ?? 30_000,
    retryInterval: config.retryInterval ?? 3_000,
    retryJitter: config.retryJitter ?? 0.5,
    maxEventSize: config.maxEventSize ?? 1_048_576,
    maxClients: config.maxClients ?? 1_000,
    maxClientsPerGroup: config.maxClientsPerGroup ?? Infinity,
    onLimit: config.onLimit ?? 'retry',
    onGroupLimit: config.onGroupLimit ?? 'evict-oldest',
    maxTopicsPerClient: config.maxTopicsPerClient ?? 100,
    maxHistoryBytes: config.maxHistoryBytes ?? 64 * 1024 * 1024,
    onGap: config.onGap ?? 'earliest',
    compression: resolveCompression(config.compression),
    maxConnectionAge: config.maxConnectionAge ?? 0,
    highWaterMark: config.highWaterMark ?? 65_536,
    slowTimeout: config.slowTimeout ?? 30_000,
    drainTimeout: config.drainTimeout ?? 5_000,
    topicDelimiter,
    // An event where JSON.stringify expects a replacer is one that it ignores.
    serialize: (config.serialize as Serialize | undefined) ?? serializeData,
    deserialize,
    ownSerializer: config.serialize !== undefined,
    controlEvents: config.controlEvents ?? true,
    backplane: config.backplane ?? new MemoryBackplane(),
    retentionOf: retentionRule(config, topicDelimiter),
    flushIntervalOf: flushRule(config, topicDelimiter),
    schemas: resolveSchemas({ schemas: config.schemas, validate: config.validate, deserialize, topicDelimiter }),
  };
}

function resolveCompression(compression: SSEConfig['compression'] = false): CompressionOptions | undefined {
  if (compression === false) return undefined;
  return { threshold: 256, level: 6, ...(compression === true ? {} : compression) };
}

function retentionRule(config: SSEConfig, delimiter: string): (topic: string | undefined) => Retention {
  const standard = { maxSize: config.maxHistorySize ?? 1_000, maxAge: config.maxHistoryAge ?? 20 * MINUTE };
  const rules = compileRules('history', config.history, ['topics', 'maxSize', 'maxAge'], delimiter).map(
    ({ option, rule, matches }) => ({ retention: retentionOf(rule, option, standard), matches }),
  );
  return (topic) => ruleFor(topic, rules)?.retention ?? standard;
}

function retentionOf(rule: HistoryRule, option: string, standard: Retention): Retention {
  const { maxSize = standard.maxSize, maxAge = standard.maxAge } = rule;
  const sizeFault = CHECKS.maxHistorySize(maxSize);
  if (sizeFault) throw invalid(`${option}.maxSize`, maxSize, sizeFault);
  const ageFault = CHECKS.maxHistoryAge(maxAge);
  if (ageFault) throw invalid(`${option}.maxAge`, maxAge, ageFault);
  return { maxSize, maxAge };
}

/** `undefined` where no topic has an interval. */
function flushRule(config: SSEConfig, delimiter: string): ((topic: string | undefined) => number) | undefined {
  const standard = config.flushInterval ?? 0;
  const rules = compileRules('flush', config.flush, ['topics', 'interval'], delimiter).map(
    ({ option, rule: { interval }, matches }) => {
      const fault = CHECKS.flushInterval(interval);
      if (fault) throw invalid(`${option}.interval`, interval, fault);
      return { interval, matches };
    },
  );
  if (standard === 0 && rules.every(({ interval }) => interval === 0)) return undefined;
  return (topic) => ruleFor(topic, rules)?.interval ?? standard;
}
