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
  /** The run that it is of: behind the end of that, it is delivered nowhere. */
  readonly run?: string | undefined;
  /** Which event of its run it is, from 0 on. */
  readonly n?: number | undefined;
  /** What is said last in its run, which comes out so: nothing more of it is delivered. */
  readonly ends?: RunOutcome | undefined;
}

export type RunOutcome = 'finished' | 'failed' | 'cancelled';

/** A run begins on a topic, which starts over with it, unless another run is going on there. */
export interface RunEntry {
  readonly kind: 'run';
  readonly topic: string;
  readonly run: string;
  /** What its viewers get when it fails or is cancelled, whoever says so: its own node may be dead then. */
  readonly failed?: EventEntry | undefined;
  readonly cancelled?: EventEntry | undefined;
}

/** A run is over, and its topic finished with it; without `run`, the one that is going on there. */
export interface RunEndEntry {
  readonly kind: 'endRun';
  readonly topic: string;
  readonly run?: string | undefined;
  readonly outcome: RunOutcome;
  readonly reason?: string | undefined;
}

/** A node that has runs is alive. */
export interface RunSignEntry {
  readonly kind: 'signOfRuns';
  readonly node: string;
  /** Its runs, by topic. */
  readonly runs: Readonly<Record<string, string>>;
}

/** A node that has runs has not been heard of: it has to give a sign. */
export interface RunDoubtEntry {
  readonly kind: 'doubtRuns';
  readonly node: string;
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
export type Entry =
  EventEntry | TopicEntry | GroupEntry | GroupTopicEntry | RunEntry | RunEndEntry | RunSignEntry | RunDoubtEntry;

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
    case 'run':
      return fitsRun(fields);
    case 'endRun':
      return fitsRunEnd(fields);
    case 'signOfRuns':
      return isString(fields['node']) && isObject(fields['runs']) && Object.values(fields['runs']).every(isRun);
    case 'doubtRuns':
      return isString(fields['node']);
    default:
      return true;
  }
}

function fitsEvent(fields: Fields): boolean {
  const { topic, data, text, metadata, except, exceptGroup, opens, run } = fields;
  return (
    typeof data === 'string' &&
    (topic === undefined || isTopic(topic)) &&
    isMaybeBoolean(text) &&
    (metadata === undefined || isJsonObject(metadata)) &&
    (except === undefined || (Array.isArray(except) && except.every(isString))) &&
    (exceptGroup === undefined || isString(exceptGroup)) &&
    (opens === undefined || isPosition(opens)) &&
    (run === undefined || fitsInRun(fields)) &&
    // What no hub publishes, somebody else has put into the log; on the wire it would make fields or events of its own.
    eventFault(fields) === undefined
  );
}

function fitsInRun({ topic, run, n, ends }: Fields): boolean {
  return topic !== undefined && isRun(run) && Number.isSafeInteger(n) && (ends === undefined || isOutcome(ends));
}

function fitsRun({ topic, run, failed, cancelled }: Fields): boolean {
  return isTopic(topic) && isRun(run) && isMaybeFarewell(failed) && isMaybeFarewell(cancelled);
}

function fitsRunEnd({ topic, run, outcome, reason }: Fields): boolean {
  return (
    isTopic(topic) &&
    (run === undefined || isRun(run)) &&
    isOutcome(outcome) &&
    (reason === undefined || isString(reason))
  );
}

function isMaybeFarewell(value: unknown): boolean {
  return value === undefined || (isObject(value) && value['kind'] === 'event' && fitsEvent(value));
}

function isOutcome(value: unknown): boolean {
  return value === 'finished' || value === 'failed' || value === 'cancelled';
}

const RUN = /^[0-9a-z]{1,32}-[0-9a-z]{1,16}$/;

/** The node that a run belongs to is the first part of its name. */
function isRun(value: unknown): boolean {
  return isString(value) && RUN.test(value);
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
