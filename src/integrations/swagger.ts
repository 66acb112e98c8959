import { applyDecorators, type INestApplicationContext, SetMetadata, type Type } from '@nestjs/common';
import { MetadataScanner, ModulesContainer } from '@nestjs/core';
import { ApiExtension, ApiExtraModels, getSchemaPath, type OpenAPIObject, type OperationObject } from '@nestjs/swagger';

import type { EventStreamRoute } from '../sse.event-stream-interceptor.js';
import { EVENT_STREAM_METADATA } from '../sse.route.js';
import { controlEventSchemas, describeOperation, type Schema, type StreamDescription } from './openapi-operation.js';

/** What stands in a document for a schema. By way of that, because @nestjs/swagger 11 exports it by no name. */
export type SchemaOrReference = NonNullable<NonNullable<OpenAPIObject['components']>['schemas']>[string];

/** What the data of an event are: a class with `@ApiProperty()`s, a list of such objects (`[Order]`), or a schema. */
export type EventDataSchema = Type<unknown> | readonly [Type<unknown>] | SchemaOrReference;

/** What `@ApiEventStream()` says of a handler. */
export interface ApiEventStreamOptions {
  /**
   * The data of each event, by its name. Events without a name are called `message`.
   *
   * @defaultValue events of any name, with any data
   */
  events?: Readonly<Record<string, EventDataSchema>> | undefined;
  /**
   * What the answer 200 is.
   *
   * @defaultValue `'Server-Sent Events.'`
   */
  description?: string | undefined;
  /**
   * Whether the hub's own events, such as `sse.reset`, are among them. To be said where the hub has `controlEvents: false`.
   *
   * @defaultValue what `@EventStream()` says of the handler, else `true`
   */
  controlEvents?: boolean | undefined;
}

/** How `documentEventStreams()` writes the events of a stream. */
export interface EventStreamDocumentOptions {
  /**
   * What stands as the schema of `text/event-stream`. `'events'`: objects with `event`, `data`, `id` and `retry`, from
   * OpenAPI 3.2 on as `itemSchema`. `'data'`: the data of the events alone, for generators whose streams give no more.
   *
   * @defaultValue `'events'`
   */
  schema?: 'events' | 'data' | undefined;
}

/** Where `@ApiEventStream()` keeps what it says of a handler. */
const DESCRIPTION_METADATA = 'nestjs-sse-hub:api-event-stream';

/** Takes what is known of a handler to its operations, wherever they are in the document, and is taken out again there. */
const EXTENSION = 'x-event-stream';
type MarkedOperation = OperationObject & { [EXTENSION]?: StreamDescription };

/**
 * Says which events a handler streams: one of `@EventStream()`, of `@Sse()`, or one that calls `createClient()`. It shows
 * in documents that are made in `documentEventStreams()`.
 *
 * @throws `TypeError` when the class is defined, for data that are neither a class of the application's nor a schema.
 *
 * @example
 * @EventStream('orders')
 * @ApiEventStream({ events: { created: Order, removed: { type: 'object', properties: { id: { type: 'integer' } } } } })
 * followOrders() {
 *   return 'orders';
 * }
 */
export function ApiEventStream({ events, ...options }: ApiEventStreamOptions = {}): MethodDecorator {
  const schemas = events && Object.entries(events).map(([name, data]) => [name, schemaOf(name, data)] as const);
  const models = Object.values(events ?? {}).flat() as readonly unknown[];
  const description: Partial<StreamDescription> = { ...options, ...(schemas && { events: schemas }) };
  return applyDecorators(
    ApiExtraModels(...models.filter((model) => typeof model === 'function')),
    SetMetadata(DESCRIPTION_METADATA, description),
  );
}

/**
 * Makes a document that shows handlers of `@EventStream()` and `@ApiEventStream()` as event streams: with their events, the
 * last event ID, and the answers of the hub.
 *
 * @example
 * const document = documentEventStreams(app, () => SwaggerModule.createDocument(app, config));
 */
export function documentEventStreams(
  app: INestApplicationContext,
  createDocument: () => OpenAPIObject,
  { schema = 'events' }: EventStreamDocumentOptions = {},
): OpenAPIObject {
  markHandlers(app);
  const document = createDocument();
  const isBefore32 = /^3\.[01]\./.test(document.openapi);
  const form = schema === 'events' && !isBefore32 ? 'sequence' : schema;
  const operations = Object.values(document.paths).flatMap((path) => Object.values(path) as MarkedOperation[]);
  for (const operation of operations) {
    const description = operation[EXTENSION];
    if (!description) continue;
    delete operation[EXTENSION];
    describeOperation(operation, description, form);
    document.components = {
      ...document.components,
      schemas: { ...document.components?.schemas, ...controlEventSchemas(description, form) },
    };
  }
  return document;
}

function markHandlers(app: INestApplicationContext): void {
  const scanner = new MetadataScanner();
  for (const { controllers } of app.get(ModulesContainer, { strict: false }).values()) {
    for (const { metatype } of controllers.values()) {
      const { prototype } = metatype as { readonly prototype: Record<string, object> };
      for (const name of scanner.getAllMethodNames(prototype)) mark(prototype, name);
    }
  }
}

function mark(prototype: Record<string, object>, name: string): void {
  const value = prototype[name]!;
  const route = Reflect.getMetadata(EVENT_STREAM_METADATA, value) as EventStreamRoute | undefined;
  const said = Reflect.getMetadata(DESCRIPTION_METADATA, value) as Partial<StreamDescription> | undefined;
  if (!route && !said) return;
  const controlEvents = said?.controlEvents ?? route?.defaults.controlEvents ?? true;
  const description: StreamDescription = { ...said, controlEvents };
  ApiExtension(EXTENSION, description)(prototype, name, { value });
}

const BUILT_IN: ReadonlySet<unknown> = new Set([String, Number, Boolean, Object, Array, Date]);

function schemaOf(name: string, data: unknown): Schema {
  if (Array.isArray(data)) return { type: 'array', items: schemaOf(name, data[0]) };
  if (typeof data === 'function' && !BUILT_IN.has(data)) return { $ref: getSchemaPath(data) };
  if (typeof data === 'object' && data !== null) return data;
  throw new TypeError(
    `The data of ${JSON.stringify(name)} in @ApiEventStream() are ${typeof data === 'function' ? data.name : String(data)}; ` +
      "they have to be a class of yours, [class], or a schema such as { type: 'string' }. (A class that is undefined here " +
      'is imported in a circle.)',
  );
}
