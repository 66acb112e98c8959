import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import type { Server } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';

import { afterEach, describe, expect, it } from '@jest/globals';
import { Body, Controller, Headers, Inject, Param, Query, Sse } from '@nestjs/common';
import {
  ApiBearerAuth,
  ApiNotFoundResponse,
  ApiOperation,
  ApiProperty,
  ApiServiceUnavailableResponse,
  ApiUnauthorizedResponse,
  DocumentBuilder,
  type OpenAPIObject,
  type OperationObject,
  SwaggerModule,
} from '@nestjs/swagger';
import { EventStream, SSEService } from 'nestjs-sse-hub';
import { ApiEventStream, documentEventStreams, type EventStreamDocumentOptions } from 'nestjs-sse-hub/swagger';

import { until } from '../support/baseline.js';
import { loadWithClient, runTool } from '../support/openapi/generated-client.js';
import { closeAll, platforms, type RunningApp, startApp } from '../support/platforms.js';

class Order {
  @ApiProperty()
  id!: number;
}

const REMOVED = { type: 'object', required: ['orderId'], properties: { orderId: { type: 'integer' } } };

@Controller('orders')
@ApiBearerAuth()
@ApiUnauthorizedResponse({ description: 'Nobody is logged in.' })
class OrdersController {
  constructor(@Inject(SSEService) private readonly sse: SSEService) {}

  @EventStream('', { plannedEnd: 'cut' })
  @ApiOperation({ summary: 'What happens to orders' })
  @ApiEventStream({ events: { created: Order, removed: REMOVED }, description: 'Orders as they change.' })
  follow() {
    return 'orders';
  }

  // Behind the decorator of the route, and nothing is said of the events.
  @ApiOperation({ summary: 'One order' })
  @ApiNotFoundResponse({ description: 'There is no such order.' })
  @EventStream(':id')
  one(@Param('id') id: string, @Query('verbose') _verbose: string, @Headers('Last-Event-ID') _last: string) {
    return `orders:${id}`;
  }

  @ApiOperation({ summary: 'An answer in pieces' })
  @ApiServiceUnavailableResponse({ description: 'The model is away.' })
  @ApiEventStream({ events: { message: { type: 'string' }, list: [Order] } })
  @EventStream('ask', { method: 'POST', controlEvents: false })
  ask(@Body() _question: Order) {
    return 'answers';
  }

  @Sse('observable')
  @ApiOperation({ summary: 'The same through @Sse()' })
  @ApiEventStream({ events: { created: Order } })
  observable() {
    return this.sse.stream('orders');
  }
}

afterEach(closeAll);

function start(platform = platforms[0]!): Promise<RunningApp> {
  return startApp(platform, {
    config: { retryInterval: 10, retryJitter: 0 },
    controllers: [OrdersController],
  });
}

function documentOf({ app, url }: RunningApp, version: string, options?: EventStreamDocumentOptions): OpenAPIObject {
  const config = new DocumentBuilder()
    .setTitle('Orders')
    .setOpenAPIVersion(version)
    .setLicense('MIT', 'https://spdx.org/licenses/MIT')
    .addServer(url)
    .addBearerAuth()
    .build();
  return documentEventStreams(app, () => SwaggerModule.createDocument(app, config), options);
}

function schemaIn(operation: OperationObject | undefined, key = 'schema'): unknown {
  const { content } = operation!.responses['200'] as { content: Record<string, object> };
  return (content['text/event-stream'] as Record<string, unknown>)[key];
}

const order = { $ref: '#/components/schemas/Order' };
const controlEvent = { $ref: '#/components/schemas/SseControlEvent' };
const anyEvent = (event: object, data: object) => ({
  type: 'object',
  required: 'enum' in event ? ['event', 'data', 'id'] : ['data', 'id'],
  properties: { event, data, id: { type: 'string' }, retry: { type: 'integer', minimum: 0 } },
});
const named = (name: string, data: object) => anyEvent({ type: 'string', enum: [name] }, data);

describe('the document of event streams', () => {
  it('has the events of each, with data as they are after JSON.parse() before OpenAPI 3.2', async () => {
    const { paths, components } = documentOf(await start(), '3.1.0');
    expect(schemaIn(paths['/orders']!.get)).toEqual({
      oneOf: [named('created', order), named('removed', REMOVED), controlEvent],
    });
    expect(schemaIn(paths['/orders/{id}']!.get)).toEqual(anyEvent({ type: 'string' }, {}));
    expect(schemaIn(paths['/orders/observable']!.get)).toEqual({ oneOf: [named('created', order), controlEvent] });
    expect(components!.schemas!['Order']).toMatchObject({ properties: { id: { type: 'number' } } });
    expect(JSON.stringify(paths)).not.toContain('x-event-stream');
  });

  it('has events as they are on the wire from OpenAPI 3.2 on', async () => {
    const { paths } = documentOf(await start(), '3.2.0');
    const json = (contentSchema: object) => ({ type: 'string', contentMediaType: 'application/json', contentSchema });
    expect(schemaIn(paths['/orders']!.get, 'itemSchema')).toEqual({
      oneOf: [named('created', json(order)), named('removed', json(REMOVED)), controlEvent],
    });
    expect(schemaIn(paths['/orders']!.get)).toBeUndefined();
    // Without a name one cannot be told from others.
    const unnamed = named('message', { type: 'string' });
    expect(schemaIn(paths['/orders/ask']!.post, 'itemSchema')).toEqual({
      anyOf: [{ ...unnamed, required: ['data', 'id'] }, named('list', json({ type: 'array', items: order }))],
    });
  });

  it('has the last event ID, the answers of the hub, and all that the application says itself', async () => {
    const { paths } = documentOf(await start(), '3.1.0');
    const { get: follow } = paths['/orders']!;
    expect(follow!.parameters).toMatchObject([
      { name: 'Last-Event-ID', in: 'header', required: false },
      { name: 'lastEventId', in: 'query', required: false },
    ]);
    expect(follow!.responses).toMatchObject({
      200: { description: 'Orders as they change.' },
      204: { description: expect.stringContaining('Over for good') as unknown },
      401: { description: 'Nobody is logged in.' },
      503: { content: { 'application/json': { schema: { required: ['statusCode', 'code', 'message'] } } } },
    });
    // @EventStream() has a parameter of its own, which is not one of the request.
    const { get: one } = paths['/orders/{id}']!;
    const places = one!.parameters!.map((parameter) => ('in' in parameter ? `${parameter.in} ${parameter.name}` : ''));
    expect(places.toSorted()).toEqual(['header Last-Event-ID', 'path id', 'query lastEventId', 'query verbose']);
    expect(Object.keys(one!.responses)).toEqual(['200', '204', '401', '404', '503']);
    const { post: ask } = paths['/orders/ask']!;
    expect(ask!.requestBody).toMatchObject({ content: { 'application/json': { schema: order } } });
    expect(Object.keys(ask!.responses)).toEqual(['200', '204', '401', '503']);
    expect(ask!.responses['503']).toEqual({ description: 'The model is away.' });
  });

  it('is the same when it is made again', async () => {
    const app = await start();
    expect(documentOf(app, '3.1.0')).toEqual(documentOf(app, '3.1.0'));
  });

  it.each(['3.0.0', '3.1.0', '3.2.0'])('has nothing for a linter to say (OpenAPI %s)', async (version) => {
    const document = documentOf(await start(), version);
    const folder = await mkdtemp(join(tmpdir(), 'redocly-'));
    try {
      await writeFile(join(folder, 'document.json'), JSON.stringify(document));
      await writeFile(join(folder, 'redocly.yaml'), "extends: [recommended]\ntelemetry: 'off'\n");
      const report = await runTool('@redocly/cli/bin/cli.js', folder, 'lint', 'document.json', '--format=json');
      expect(JSON.parse(report)).toMatchObject({ totals: { errors: 0, warnings: 0, ignored: 0 }, problems: [] });
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  it('is not made of a class that is not there, or of one of the language', () => {
    const at = (data: unknown) => () => ApiEventStream({ events: { created: data as typeof Order } });
    expect(at(undefined)).toThrow('The data of "created" in @ApiEventStream() are undefined; they have to be a class');
    expect(at(String)).toThrow(
      "are String; they have to be a class of yours, [class], or a schema such as { type: 'str",
    );
    expect(at([undefined])).toThrow(TypeError);
  });
});

/** What the event parameter of a generated client gets is an event, with a name and with data; its type says data only. */
const FOLLOW = `
import { ordersControllerFollow } from './sdk.gen.js';
import type { OrdersControllerFollowResponse } from './types.gen.js';

export type OrdersEvent = Exclude<OrdersControllerFollowResponse, void>;

export async function follow(baseUrl: string, onEvent: (event: OrdersEvent) => void): Promise<void> {
  const { stream } = await ordersControllerFollow({
    baseUrl,
    sseMaxRetryDelay: 20,
    onSseEvent: (event) => onEvent(event as unknown as OrdersEvent),
  });
  for await (const data of stream) void data;
}

export function assertions(event: OrdersEvent): number | string | undefined {
  if (event.event === 'created') return event.data.id;
  if (event.event === 'removed') return event.data.orderId;
  if (event.event === 'sse.reset') return event.data.reason === 'trimmed' ? event.data.topics[0] : event.id;
  // @ts-expect-error Without a look at the name nobody knows.
  event.data.id;
  const rest: 'sse.open' | 'sse.closed' | 'sse.busy' | 'sse.expired' | 'sse.cursor' | 'sse.end' = event.event;
  return rest;
}
`;

const READ = `
import { ordersControllerFollow } from './sdk.gen.js';
import type { Order, SseControlEvent } from './types.gen.js';

export async function read(baseUrl: string): Promise<unknown[]> {
  const { stream } = await ordersControllerFollow({
    baseUrl,
    onSseEvent: ({ event, data }) => {
      const union: Order | { orderId: number } | SseControlEvent | void = data;
      void [event, union];
    },
  });
  const all: (Order | { orderId: number } | SseControlEvent)[] = [];
  for await (const data of stream) {
    if (!data) continue;
    // @ts-expect-error There are others.
    data.id;
    all.push(data);
  }
  return all;
}
`;

interface OrdersEvent {
  readonly event: string;
  readonly data: { readonly id?: number };
}

const EVENTS = 400;
const CUTS = 20;

describe('a client that @hey-api/openapi-ts generates', () => {
  it.each(platforms)('has the events as a union, and misses none of them in twenty cuts ($name)', async (platform) => {
    const running = await start(platform);
    const { follow } = await loadWithClient<{
      follow: (url: string, onEvent: (event: OrdersEvent) => void) => Promise<void>;
    }>(documentOf(running, '3.1.0'), FOLLOW);
    const events: OrdersEvent[] = [];
    const finished = follow(running.url, (event) => events.push(event));
    const { sse, app } = running;
    await until('the client is there', () => sse.getClientCount() === 1);

    let cuts = 0;
    for (let id = 0; id < EVENTS; id++) {
      sse.broadcast('orders', 'created', { id });
      if (id % 4 === 0) await delay(1);
      if (id % (EVENTS / CUTS) !== 7) continue;
      await until('the client is back', () => sse.getClientCount() === 1);
      // Behind the last cut: in the midst of what is published.
      sse.broadcast('orders', 'removed', { orderId: id });
      (app.getHttpServer() as Server).closeAllConnections();
      cuts++;
      await until('the client is gone', () => sse.getClientCount() === 0);
    }
    sse.closeTopic('orders');
    await finished;

    expect(cuts).toBe(CUTS);
    expect(events.filter(({ event }) => event === 'sse.open')).toHaveLength(CUTS + 1);
    expect(events.filter(({ event }) => event === 'sse.reset')).toEqual([]);
    const ids = events.filter(({ event }) => event === 'created').map(({ data }) => data.id);
    expect(ids).toEqual(Array.from({ length: EVENTS }, (_, id) => id));
    expect(events.filter(({ event }) => event === 'removed')).toHaveLength(CUTS);
  });

  it("has the data as a union, as its stream gives them, with schema: 'data'", async () => {
    const running = await start();
    const document = documentOf(running, '3.1.0', { schema: 'data' });
    const { read } = await loadWithClient<{ read: (url: string) => Promise<unknown[]> }>(document, READ);
    const all = read(running.url);
    await until('the client is there', () => running.sse.getClientCount() === 1);
    running.sse.broadcast('orders', 'created', { id: 1 });
    running.sse.broadcast('orders', 'removed', { orderId: 1 });
    running.sse.closeTopic('orders');
    expect(await all).toEqual([expect.objectContaining({ resumed: 'none' }), { id: 1 }, { orderId: 1 }, {}]);
  });
});
