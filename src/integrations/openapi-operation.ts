import type { OperationObject, ParameterObject, ReferenceObject, ResponseObject, SchemaObject } from '@nestjs/swagger';

import type { ResetReason, Resumed } from '../sse.client.js';

/** What an operation of an OpenAPI document says of an event stream. */

/** Swagger's type has the keywords of OpenAPI 3.0; these are of JSON Schema 2020-12, which 3.1 took over. */
export type Schema = (SchemaObject & { contentMediaType?: string; contentSchema?: Schema }) | ReferenceObject;

export type NamedSchema = readonly [name: string, data: Schema];

export interface StreamDescription {
  /** Data by name; without, there are events of any name. */
  readonly events?: readonly NamedSchema[];
  readonly description?: string;
  readonly controlEvents: boolean;
}

/**
 * How the events of a stream are written. Before OpenAPI 3.2 no standard says what the schema of a stream is about:
 * `events` has an object for each of them, with its data as a page has them after `JSON.parse()`; `data` has these alone.
 * `sequence` is that of 3.2: fields as they are on the wire, with text as data.
 */
export type Form = 'events' | 'data' | 'sequence';

/** What events without a name are called, by pages and in typed topics. */
const UNNAMED = 'message';

const EMPTY: Schema = { type: 'object', additionalProperties: false };
const TEXT: Schema = { type: 'string' };

function objectOf(properties: Record<string, Schema>): Schema {
  return { type: 'object', required: Object.keys(properties), properties };
}

/** Takes all of them, or it does not compile. */
function oneOfAll<Word extends string>(words: Readonly<Record<Word, ''>>): Schema {
  return { ...TEXT, enum: Object.keys(words) };
}

const RESUMED = oneOfAll<Resumed>({ none: '', full: '', reset: '' });
const RESET_REASON = oneOfAll<ResetReason>({
  foreign: '',
  epoch: '',
  trimmed: '',
  diverged: '',
  slow: '',
  late: '',
  ambiguous: '',
  filter: '',
});

/** The hub's own events; docs/reference/wire-format.md has what they mean. */
const CONTROL_EVENTS: readonly NamedSchema[] = [
  ['sse.open', objectOf({ clientId: TEXT, resumed: RESUMED, heartbeatInterval: { type: 'integer' } })],
  ['sse.reset', objectOf({ reason: RESET_REASON, topics: { type: 'array', items: { type: 'string' } } })],
  ['sse.closed', objectOf({ topic: TEXT })],
  ['sse.busy', objectOf({ reason: { type: 'string', enum: ['full', 'shutdown', 'pipelined'] } })],
  ['sse.expired', EMPTY],
  ['sse.cursor', EMPTY],
  ['sse.end', EMPTY],
];
const CONTROL_EVENT = 'SseControlEvent';

/** Components that the operation refers to: the hub's own events are the same for all. */
export function controlEventSchemas({ events, controlEvents }: StreamDescription, form: Form): Record<string, Schema> {
  return events && controlEvents ? { [CONTROL_EVENT]: unionOf(CONTROL_EVENTS, form) } : {};
}

function unionOf(events: readonly NamedSchema[], form: Form, others: readonly Schema[] = []): Schema {
  const all = [...events.map(([name, data]) => schemaOf(name, data, form)), ...others];
  // Names tell events apart. Where there are none, two may be alike.
  const areDistinct = form !== 'data' && events.every(([name]) => name !== UNNAMED);
  return areDistinct ? { oneOf: all } : { anyOf: all };
}

function schemaOf(name: string | undefined, data: Schema, form: Form): Schema {
  if (form === 'data') return data;
  const properties = {
    event: { ...TEXT, ...(name !== undefined && { enum: [name] }) },
    data: form === 'sequence' ? onTheWire(data) : data,
    id: TEXT,
    retry: { type: 'integer', minimum: 0 },
  };
  const hasName = name !== undefined && name !== UNNAMED;
  return { type: 'object', required: [...(hasName ? ['event'] : []), 'data', 'id'], properties };
}

/** Text leaves as it is, anything else as JSON. */
function onTheWire(data: Schema): Schema {
  if ('type' in data && data.type === 'string') return data;
  return { ...TEXT, contentMediaType: 'application/json', contentSchema: data };
}

function streamOf({ events, controlEvents }: StreamDescription, form: Form): Schema {
  if (!events) return schemaOf(undefined, form === 'sequence' ? TEXT : {}, form);
  return unionOf(events, form, controlEvents ? [{ $ref: `#/components/schemas/${CONTROL_EVENT}` }] : []);
}

const LAST_EVENT_ID: readonly ParameterObject[] = [
  {
    name: 'Last-Event-ID',
    in: 'header',
    required: false,
    schema: TEXT,
    description: 'The `id` of the last event that was received: the stream goes on behind it.',
  },
  {
    name: 'lastEventId',
    in: 'query',
    required: false,
    schema: TEXT,
    description: 'The same, for pages that open a new `EventSource`. The header wins.',
  },
];

/** Those of the hub. What guards, pipes and the handler answer is the application's to say. */
const ANSWERS: Readonly<Record<string, ResponseObject>> = {
  204: {
    description:
      'Over for good: the request came with the last `id` of a stream that has ended, or nothing is to follow.',
  },
  503: {
    description: 'Refused: streams are turned off (`DISABLED`), or there are too many (`TOO_MANY_CLIENTS`).',
    content: {
      'application/json': { schema: objectOf({ statusCode: { type: 'integer' }, code: TEXT, message: TEXT }) },
    },
  },
};

/** What the application says itself of parameters and answers is kept. */
export function describeOperation(operation: OperationObject, stream: StreamDescription, form: Form): void {
  const parameters = (operation.parameters ?? []) as ParameterObject[];
  const isThere = ({ name, in: place }: ParameterObject): boolean =>
    parameters.some((one) => one.in === place && one.name.toLowerCase() === name.toLowerCase());
  operation.parameters = [...parameters, ...LAST_EVENT_ID.filter((one) => !isThere(one))];

  const { 200: ok, 201: created, ...others } = operation.responses as Record<string, ResponseObject>;
  const description = stream.description ?? (ok?.description || 'Server-Sent Events.');
  const schema = streamOf(stream, form);
  const content = { 'text/event-stream': form === 'sequence' ? { itemSchema: schema } : { schema } };
  operation.responses = {
    200: { ...ok, description, content },
    // A stream that is asked for with POST is a 200; Nest says otherwise of its own accord, without a word.
    ...(created?.description && { 201: created }),
    ...ANSWERS,
    ...others,
  };
}
