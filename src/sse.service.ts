import {
  type BeforeApplicationShutdown,
  HttpException,
  Injectable,
  Logger,
  type MessageEvent,
  type OnModuleDestroy,
  type OnModuleInit,
} from '@nestjs/common';
import { Observable, type Subscriber } from 'rxjs';

import { assertTopic, toEntry } from './hub/check-event.js';
import type { GroupAct } from './hub/groups.js';
import { Hub } from './hub/hub.js';
import type { PublishArguments } from './hub/publisher.js';
import { assertSource } from './hub/runs/consume.js';
import type { SSEStats } from './hub/reporting/stats.js';
import { compilePattern, TopicPattern } from './hub/topics/topic-pattern.js';
import { type BroadcastOptions, show, type SSEEvent } from './protocol/event.js';
import {
  assertEnabled,
  assertFilter,
  assertFromFits,
  assertGroup,
  assertOptionNames,
  literalOf,
  type OptionsOfClient,
  type OptionsOfStream,
  resolveClient,
  resolveTopics,
  timeOf,
} from './sse.client-options.js';
import type { ConnectionChange, Filter, GroupOfTopic, SSEClient } from './sse.client.js';
import { assertOption, resolveConfig, type ResolvedConfig, type SSEConfig } from './sse.config.js';
import { invalid, SSEError } from './sse.error.js';
import type {
  AnyEventDataOf,
  AnyEventNameOf,
  ClientEvent,
  EventDataOf,
  EventNameOf,
  ObservedEvent,
  RunEventOf,
  RunValueOf,
  SSEEvents,
  TopicEvent,
  TopicOf,
  TopicsIn,
  TopicsOf,
} from './sse.events.js';
import type { CancelRunOptions, DataOfValue, RunOptions, RunWork, SSERun, SSERunState } from './sse.runs.js';
import { type CurrentRequest, currentRequest, currentRequestOf, keepsRequests } from './sse.middleware.js';
import type { Topics } from './sse.topic-rules.js';
import { type Encoding, encodingFor } from './transport/encoding.js';
import { EndedStreams } from './transport/ended-streams.js';
import { MessageEntrance } from './transport/message-stream.js';
import type { StreamMessage } from './transport/message.js';
import { NodeEntrance } from './transport/node-response.js';
import {
  assertResponse,
  isAnswered,
  type NodeResponseLike,
  rawResponseOf,
  requestOf,
  variesOf,
} from './transport/raw-response.js';
import { acceptEncodingFrom, type RequestLike } from './transport/request.js';
import type { ResponseLimits } from './transport/response-transport.js';
import { WebEntrance } from './transport/web-response.js';

const DEFAULT_HEARTBEAT = 30_000;

/**
 * Topics, clients and history of this node: inject it, or make one without Nest. `Events` may say which topics there are,
 * with the names of their events and their data; it is `SSEEvents` unless given, which an application can fill.
 *
 * @example
 * interface Events { prices: { price: { symbol: string; value: number } } }
 *
 * @Controller()
 * class PricesController {
 *   constructor(private readonly sse: SSEService<Events>) {}
 *
 *   @Sse('prices')
 *   prices() {
 *     return this.sse.stream('prices');
 *   }
 *
 *   @Post('prices')
 *   post(@Body() price: Events['prices']['price']) {
 *     this.sse.broadcast('prices', 'price', price);
 *   }
 * }
 */
@Injectable()
export class SSEService<Events extends SSEEvents = SSEEvents>
  implements OnModuleInit, OnModuleDestroy, BeforeApplicationShutdown
{
  readonly #config: ResolvedConfig;
  readonly #hub: Hub;
  readonly #limits: ResponseLimits;
  /**
   * Clients come and go here, each in the asynchronous context of its own request. An observer that throws is logged, and
   * disturbs nobody.
   *
   * @example
   * sse.connections.subscribe(({ type, client, reason }) => logger.log(`${client.id}: ${type} ${reason ?? ''}`));
   */
  readonly connections: Observable<ConnectionChange>;
  /**
   * How long events take to clients of this node. For each turn of the event loop that wrote some to its clients: the
   * milliseconds since the oldest of these was published. Measured only while somebody subscribes; what a client reads
   * when it comes back, or because it was behind, is not in it. The time of publishing is the broker's: where its clock is
   * behind this machine's, figures are too high by that; they are never negative.
   *
   * @example
   * sse.deliveryDelays.subscribe((milliseconds) => logger.log(`written after ${milliseconds} ms`));
   */
  readonly deliveryDelays: Observable<number>;
  readonly #told = new Set<string>();

  /** Throws `INVALID_CONFIG`. With a `name`, log lines say which of several hubs they are about. */
  constructor(config?: SSEConfig, { name }: { name?: string | undefined } = {}) {
    this.#config = resolveConfig(config);
    const { highWaterMark, slowTimeout } = this.#config;
    this.#limits = { highWaterMark, ended: new EndedStreams(slowTimeout) };
    this.#hub = new Hub(this.#config, new Logger(name === undefined ? 'SSEService' : `SSEService ${name}`));
    this.connections = this.#hub.connectionChanges();
    this.deliveryDelays = this.#hub.deliveryDelays();
  }

  /**
   * Begins to read the log. Idempotent; Nest calls it, and the first use does. With the memory log it is done at once.
   *
   * @example
   * const sse = await new SSEService({ maxClients: 100 }).start();
   */
  async start(): Promise<this> {
    await this.#hub.start();
    return this;
  }

  /**
   * Turns new connections away, ends every open stream with its cursor and a random `retry`, and lets go of the log.
   * Streams have `drainTimeout` for it; a broker takes up to two seconds more. Idempotent; Nest calls it when the
   * application closes.
   *
   * @example
   * process.once('SIGTERM', () => void sse.shutdown());
   */
  shutdown(): Promise<void> {
    this.#limits.ended.giveUpIn(this.#config.drainTimeout);
    return this.#hub.shutdown();
  }

  async onModuleInit(): Promise<void> {
    await this.start();
  }

  onModuleDestroy(): void {
    // Only begun here, because other modules may take their time too; its outcome is awaited below.
    this.shutdown().catch(() => {});
  }

  /** Before Nest closes the HTTP server, which would wait for open streams. */
  beforeApplicationShutdown(): Promise<void> {
    return this.shutdown();
  }

  /**
   * Follows topics, for a handler of `@Sse()`; most handlers are shorter and cheaper with `@EventStream()`. Every subscription is a client of its own; it resumes from the last event ID
   * of the request on whose behalf it is subscribed to, also in `defer()` or out of a field. Do not `pipe` operators that drop, delay or add onto it: the cursor travels in its messages.
   *
   * Errors on subscription, before the headers: `INVALID_TOPIC`, `TOO_MANY_TOPICS`, `INVALID_CONFIG` (an option),
   * `CLIENT_EXISTS`, `DISABLED`, `TOO_MANY_CLIENTS` (with `reject`), and 204 for a stream that is over for good.
   *
   * @example
   * @Sse('prices')
   * prices() {
   *   return this.sse.stream(['prices', topicPattern('news:*')]);
   * }
   */
  stream(topics: TopicsOf<Events>, options: OptionsOfStream<ClientEvent<Events>> = {}): Observable<MessageEvent> {
    return new Observable((subscriber: Subscriber<StreamMessage>) => {
      // Not before: it may be kept in a field, or be called for when something else has been waited for.
      const current = this.#currentRequest('stream() was subscribed to', options);
      // Any other handler may subscribe for reasons of its own, which its response says nothing of.
      const nest = current?.route?.isSse ? current : undefined;
      if (current) follow(current, subscriber);
      const entrance = new MessageEntrance(subscriber, {
        highWaterMark: nest ? this.#config.highWaterMark : Infinity,
        noContent: () => new HttpException('', 204),
        ended: this.#limits.ended,
        response: nest && rawResponseOf(nest.response as NodeResponseLike),
        recipient: current,
        onFirst: nest?.onFirst,
        onClose: () => nest?.openStreams === 0 && nest.end?.(),
      });
      assertOptionNames(options, 'stream()', 'stream');
      this.#connect(options, topics, options.request ?? current?.request, entrance);
    });
  }

  /**
   * Takes over a response (Express, Fastify reply, `node:http`, `node:http2`) and answers with the client's id. Outside Nest,
   * or under `@Get()` with `@Res()`; `@EventStream()` does it for you. Throws `INVALID_ROUTE` before anything is written in an
   * `@Sse()` or `@EventStream()` route, where Nest answers itself (no `@Res()`, or with `passthrough`), and on a response that is answered or carries a stream.
   *
   * A client that was turned away (limits, shutdown) is already gone: then `getClient(id)` is `undefined`. What is left of
   * the request's body is thrown away: read it before.
   * Throws `INVALID_TOPIC`, `TOO_MANY_TOPICS`, `INVALID_CONFIG` (an option), `CLIENT_EXISTS`, `DISABLED`,
   * `TOO_MANY_CLIENTS` (with `reject`).
   *
   * @example
   * @Get('prices')
   * prices(@Res() response: Response) {
   *   this.sse.createClient(response, { topics: 'prices' });
   * }
   */
  createClient(
    response: NodeResponseLike,
    options: OptionsOfClient<TopicsOf<Events>, ClientEvent<Events>> = {},
  ): string {
    assertResponse(response);
    this.#assertWritable(response);
    assertOptionNames(options, 'createClient()');
    const entrance = new NodeEntrance(
      response,
      options.headers ?? {},
      this.#limits,
      this.#encodingFor(requestOf(response)),
    );
    return this.#connect(options, options.topics ?? [], options.request ?? requestOf(response), entrance).id;
  }

  /**
   * A client with a web-standard `Response`: return it from a handler (Nest 12.4 or later), or from any `fetch`-style
   * server, which passes the `request` (Nest's is known): its last event ID, what it accepts, when it is gone. A body that nobody reads for `slowTimeout` is given up. Throws what `createClient` does; `INVALID_ROUTE` in an `@Sse()` or `@EventStream()` route.
   *
   * @example
   * @Get('prices')
   * prices() {
   *   return this.sse.addClient({ topics: 'prices' }).response;
   * }
   */
  addClient(options: OptionsOfClient<TopicsOf<Events>, ClientEvent<Events>> = {}): {
    client: SSEClient;
    response: Response;
  } {
    assertOptionNames(options, 'addClient()');
    const current = this.#currentRequest('addClient() was called', options);
    if (current?.route?.isSse) {
      throw this.#refusal(
        'addClient() was called in a handler of @Sse(), which cannot send its response. Either keep @Sse() and return ' +
          'sse.stream(topics), or use @Get() and return sse.addClient({ topics }).response.',
      );
    }
    if (current?.route?.isEventStream) {
      throw this.#refusal(
        `addClient() was called in ${current.route.name}, and @EventStream() opens the stream from what its handler ` +
          'returns. Return the same options: return { topics }.',
      );
    }
    const request = options.request ?? current?.request;
    const entrance = new WebEntrance(
      options.headers ?? {},
      request,
      this.#encodingFor(request),
      current ? variesOf(current.response as NodeResponseLike) : [],
      this.#limits.ended,
      current && rawResponseOf(current.response as NodeResponseLike),
    );
    const client = this.#connect(options, options.topics ?? [], request, entrance);
    const answer = { client, response: entrance.response };
    current?.answered({ answer, abandon: () => client.connected && this.#hub.clients.get(client.id)?.end('broken') });
    return answer;
  }

  /**
   * Ends a client's stream; what was published before leaves first. With `reconnect: false` it ends for good: it gets
   * `sse.end`, and an EventSource stays away. `false` when there is no such client on this node. Throws `INVALID_CONFIG` for
   * a `reconnect` that is neither `true` nor `false`.
   *
   * @example
   * sse.removeClient(clientId, { reconnect: false });
   */
  removeClient(clientId: string, { reconnect = true }: { reconnect?: boolean } = {}): boolean {
    assertReconnect(reconnect);
    const client = this.#hub.clients.get(clientId);
    client?.end(reconnect ? 'sentBack' : 'removed');
    return client !== undefined;
  }

  /**
   * The same for every client of a group, on every node, whatever cursor it came with. A node that reads late ends those
   * that have connected to it meanwhile, too: they come back, or are asked again. Throws `INVALID_CONFIG` for a group that
   * is not a string, `SHUTTING_DOWN`.
   *
   * @example
   * sse.removeGroup(`user:${user.id}`); // signed out
   */
  removeGroup(group: string, { reconnect = true }: { reconnect?: boolean } = {}): void {
    assertGroup(group);
    assertReconnect(reconnect);
    this.#actOnGroup({ kind: 'removeGroup', group, reconnect });
  }

  /**
   * Has every client of a group that is open now follow one more topic or pattern, on every node, from this place in the
   * log on. Who connects later does not get it: your handler says what a new stream follows. Clients that would follow
   * more than `maxTopicsPerClient` are left as they are, which is logged. There is no `filter` for it, because code does
   * not travel; the one that a client connected with holds. Throws `INVALID_TOPIC`, `SHUTTING_DOWN`, and `INVALID_CONFIG`
   * for a group that is not a string; what fails later is logged and counted, as for `broadcast`.
   *
   * @example
   * sse.subscribeGroup(`user:${user.id}`, 'room:7'); // joined, wherever their streams are open
   */
  subscribeGroup(group: string, topic: TopicOf<Events> | TopicPattern): void {
    assertGroup(group);
    this.#actOnGroup({ kind: 'subscribeGroup', group, ...this.#nameOf(topic) });
  }

  /**
   * The opposite. What was published before it in the log leaves first, as far as each client accepts it; nothing after.
   *
   * @example
   * sse.unsubscribeGroup(`user:${user.id}`, 'room:7'); // left
   */
  unsubscribeGroup(group: string, topic: TopicOf<Events> | TopicPattern): void {
    assertGroup(group);
    this.#actOnGroup({ kind: 'unsubscribeGroup', group, ...this.#nameOf(topic) });
  }

  /** The client, if it is connected to this node. `sse.getClient(id)?.lastEventAt` */
  getClient(clientId: string): SSEClient | undefined {
    return this.#hub.clients.get(clientId)?.view;
  }

  /** All clients of this node, oldest first. `sse.getClients().at(0)?.connectedAt` */
  getClients(): SSEClient[] {
    return this.#hub.clients.list().map(({ view }) => view);
  }

  /**
   * The clients of this node that an event on the topic would reach, by pattern too; oldest first.
   *
   * @example
   * const [oldest] = sse.getClientsByTopic('room:7');
   */
  getClientsByTopic(topic: TopicOf<Events>): SSEClient[] {
    assertTopic(topic);
    return this.#hub.clients.listTopic(topic).map(({ view }) => view);
  }

  /** The clients of a group on this node, oldest first. `sse.getClientsByGroup('user:42').length` */
  getClientsByGroup(group: string): SSEClient[] {
    return Array.from(this.#hub.clients.membersOf(group), ({ view }) => view);
  }

  /** How many clients this node has, or how many an event on the topic would reach. `sse.getClientCount('room:7')` */
  getClientCount(topic?: TopicOf<Events>): number {
    if (topic === undefined) return this.#hub.clients.size;
    assertTopic(topic);
    return this.#hub.audience.count(topic);
  }

  /**
   * How many clients of all nodes an event on the topic would reach, by pattern too, each counted once. Exact for this
   * node; others may be some seconds behind, and a node that has died is counted for 10 s at most. Rejects with
   * `INVALID_TOPIC`, `BACKPLANE_UNAVAILABLE` while the broker is away, `SHUTTING_DOWN`, and `INVALID_CONFIG` when the
   * backplane has no `presence`.
   *
   * @example
   * const viewers = await sse.countClients('document:7');
   */
  async countClients(topic: TopicOf<Events>): Promise<number> {
    assertTopic(topic);
    return this.#config.enabled ? this.#hub.countEverywhere(topic) : 0;
  }

  /**
   * Who follows a topic, by pattern too, on all nodes: the groups of its clients, oldest first, each with its number of
   * streams and the metadata of its newest client that has some, as JSON has it. Clients without a group are not in it.
   * Asks the other nodes, so it takes some milliseconds, and a second at most where one does not answer. Rejects as
   * `countClients` does.
   *
   * @example
   * const viewers = await sse.groupsOf('document:7');
   * viewers.map(({ group, metadata }) => `${group}: ${metadata?.['name']}`);
   */
  async groupsOf(topic: TopicOf<Events>): Promise<GroupOfTopic[]> {
    assertTopic(topic);
    if (!this.#config.enabled) return [];
    const groups = await this.#hub.groupsEverywhere(topic);
    return groups.map(({ group, streams, metadata }) => ({ group, streams, ...(metadata && { metadata }) }));
  }

  /**
   * Has a client follow one more topic or pattern; `false` when it is not on this node. The first ones
   * count from its cursor, whenever they are added; those of later turns from the head. Following it already, it gets the new filter.
   * Throws `INVALID_TOPIC`, `TOO_MANY_TOPICS`, and `INVALID_CONFIG` for a filter that is not a function.
   *
   * @example
   * sse.subscribe(clientId, 'room:7', { filter: (event) => event.event !== 'typing' });
   */
  subscribe(clientId: string, topic: TopicOf<Events> | TopicPattern, options: { filter?: Filter } = {}): boolean {
    const { filter } = options;
    assertFilter(filter);
    return this.#hub.clients.subscribe(clientId, literalOf(topic), filter);
  }

  /**
   * The opposite: no event of the topic leaves after this call. `false` when the client is gone or did not follow it.
   *
   * @example
   * sse.unsubscribe(clientId, 'room:7');
   */
  unsubscribe(clientId: string, topic: TopicOf<Events> | TopicPattern): boolean {
    return this.#hub.clients.unsubscribe(clientId, literalOf(topic));
  }

  /**
   * Finishes a topic: what was published before is delivered, then clients that follow nothing else end for good, and
   * others get `sse.closed`. Whoever comes later gets what it has not seen, then the end.
   *
   * @example
   * sse.broadcast('execution:7', 'execution-complete', result);
   * sse.closeTopic('execution:7');
   */
  closeTopic(topic: TopicOf<Events>): void {
    this.#hub.publisher.mark('close', topic);
  }

  /**
   * Starts a closed topic over; one that is open stays as it is. What this node publishes from now on is of its new life.
   *
   * @example
   * sse.openTopic('execution:7');
   */
  openTopic(topic: TopicOf<Events>): void {
    this.#hub.publisher.mark('open', topic);
  }

  /**
   * Events of topics, for code on the server. It is not a client, and fires on every node, in no request's asynchronous
   * context. An observer that throws is logged. With `since` (milliseconds since 1970, or a Date) it begins with what the
   * log retains and is newer, so a node that starts later can rebuild what it derives from events; `since: 0` is all of
   * that. Throws `INVALID_CONFIG` for a `since` that is no time; errors on subscription with `INVALID_TOPIC`.
   *
   * @example
   * sse.observe<Order>('orders').subscribe(({ data }) => this.audit.record(data));
   * sse.observe<Order>('orders', { since: 0 }).subscribe(({ data }) => this.latest.set(data.id, data));
   */
  observe<Data = never, Followed extends TopicsOf<Events> = TopicsOf<Events>>(
    topics: Followed,
    { since }: { since?: Date | number } = {},
  ): Observable<[Data] extends [never] ? ObservedEvent<Events, TopicsIn<Followed>> : SSEEvent<Data>> {
    const from = timeOf('since', since);
    const follow = () => resolveTopics(topics, { ...this.#config, maxTopicsPerClient: Infinity });
    return this.#hub.observe(follow, from) as Observable<never>;
  }

  /**
   * The place in the log up to which this node has read it, for snapshots: take it *before* you read your data, send it
   * along, and have the page open its stream with `?lastEventId=` that cursor. Then it misses nothing between the two; what
   * it may get is an event that its data has already. Publish after your data is stored, not before. As long as the log
   * cannot be read (a broker is away while the application starts), the cursor is one that is answered with `sse.reset`.
   * `''` where the hub is switched off (`enabled: false`).
   *
   * @example
   * const cursor = sse.cursor();
   * return { cursor, orders: await this.orders.list() };
   */
  cursor(): string {
    return this.#config.enabled ? this.#hub.cursor() : '';
  }

  /**
   * Publishes to everyone who follows the topic. Throws at once what is wrong with the event: `INVALID_EVENT`,
   * `INVALID_TOPIC`, `EVENT_TOO_LARGE`, `TOPIC_CLOSED`, `SHUTTING_DOWN`. What fails later is logged and counted
   * (`stats().publishFailures`). While a broker is away, events wait for it, in order, up to the backplane's `maxPending`.
   *
   * @example
   * sse.broadcast('orders', 'created', order);
   * sse.broadcast({ topic: 'doc:1', event: 'edit', data: edit }, { exceptGroup: `user:${author}` });
   */
  broadcast(event: TopicEvent<Events>, options?: BroadcastOptions): void;
  broadcast<Topic extends TopicOf<Events>, Name extends EventNameOf<Events, Topic>>(
    topic: Topic,
    event: Name,
    data: EventDataOf<Events, Topic, Name>,
    id?: string,
    options?: BroadcastOptions,
  ): void;
  broadcast(...args: PublishArguments): void {
    this.#hub.publisher.broadcast(args);
  }

  /**
   * Publishes to every client that follows anything. It has a history of its own, replayed only after a last event ID.
   *
   * @example
   * sse.broadcastAll('maintenance', { in: '5 minutes' });
   */
  broadcastAll<Name extends AnyEventNameOf<Events>>(
    event: Name,
    data: AnyEventDataOf<Events, Name>,
    id?: string,
    options?: BroadcastOptions,
  ): void {
    this.#hub.publisher.broadcastAll({ event, data, ...(id !== undefined && { id }) }, options);
  }

  /**
   * `broadcast` for those who want to know: settles with the event's cursor once the log has it. Rejects with what
   * `broadcast` throws, and, within the backplane's `publishTimeout`, with `BACKPLANE_UNAVAILABLE`: then `error.cause` is
   * a `BackplaneError`, whose `stored` says whether the event is known not to be in the log (`no`) or may be
   * (`unknown`). With `enabled: false` the cursor is `''`.
   *
   * @example
   * const cursor = await sse.publish('orders', 'created', order);
   */
  publish(event: TopicEvent<Events>, options?: BroadcastOptions): Promise<string>;
  publish<Topic extends TopicOf<Events>, Name extends EventNameOf<Events, Topic>>(
    topic: Topic,
    event: Name,
    data: EventDataOf<Events, Topic, Name>,
    id?: string,
    options?: BroadcastOptions,
  ): Promise<string>;
  publish(...args: PublishArguments): Promise<string> {
    return this.#hub.publisher.publish(args);
  }

  /**
   * Starts work whose values are published on a topic, and finishes the topic with it. It goes on when viewers leave, and
   * they get all of it whenever they come: return what this answers from a handler of `@EventStream()`, or follow the
   * topic with `from: 0`. On each topic one run goes on at a time, over all nodes; `onRunning` says what a second one means.
   *
   * A source that fails is logged, and its viewers get `failed` and the end. So they do within ten seconds when its node
   * dies. When the hub shuts down, it has `drainTimeout` to finish. Values that cannot be published fail it, too.
   *
   * Throws what is wrong with the topic and the options, and `RUN_EXISTS` with `onRunning: 'reject'`.
   *
   * @example
   * const run = sse.run(`answer:${id}`, (signal) => llm.stream(prompt, { signal }), { event: 'token' });
   * const outcome = await run.done; // 'finished', 'failed' or 'cancelled'
   */
  run<
    Topic extends TopicOf<Events>,
    Value extends RunValueOf<Events, Topic, Name>,
    Name extends EventNameOf<Events, Topic> = never,
  >(
    topic: Topic,
    work: RunWork<Value>,
    options: RunOptions<Name, RunEventOf<Events, Topic>, DataOfValue<Value>> = {},
  ): SSERun {
    return this.#hub.runs.run(topic, work, options);
  }

  /**
   * Cancels the run that goes on there, on whichever node: its `signal` is aborted, nothing more of it is published, and its
   * viewers get the end. With an `id`, only that one. Where none goes on, nothing happens. Throws `INVALID_TOPIC`, and
   * `INVALID_CONFIG` for an `id` or `reason` that is none.
   *
   * @example
   * sse.cancelRun(`answer:${id}`, { reason: 'stopped by the user' });
   */
  cancelRun(topic: TopicOf<Events>, options: CancelRunOptions = {}): void {
    this.#hub.runs.cancel(topic, options);
  }

  /**
   * What this node knows of the run that goes on there, or was the last one; `undefined` where there was none, or the log
   * has let go of its end. A handler of `@EventStream()` may return it.
   *
   * @example
   * const run = sse.getRun(`answer:${id}`);
   * return run?.state === 'running' ? run : undefined;
   */
  getRun(topic: TopicOf<Events>): SSERunState | undefined {
    return this.#hub.runs.stateOf(topic);
  }

  /**
   * A `run()` for those who only want to know that it has finished: publishes each value of a source, then closes the
   * topic. Rejects with what the source fails with, with `TOPIC_CLOSED` where it was cancelled or the topic closed, with
   * `RUN_EXISTS` while another run is going on there, with `SHUTTING_DOWN`, and with `INVALID_EVENT` for what is no source,
   * such as a promise of one.
   *
   * @example
   * await sse.publishFrom(llm.stream(prompt), `answer:${id}`, 'token');
   */
  async publishFrom<Topic extends TopicOf<Events>, Name extends EventNameOf<Events, Topic>>(
    source: AsyncIterable<EventDataOf<Events, Topic, Name>> | Observable<EventDataOf<Events, Topic, Name>>,
    topic: Topic,
    event: Name,
  ): Promise<void> {
    assertTopic(topic);
    assertSource(source);
    await this.#hub.runs.publishFrom(source, topic, event);
  }

  /**
   * Sends an event to one client of this node. It is not in the log, and is written in its turn. Throws
   * `CLIENT_NOT_FOUND`, `SEND_ERROR` (the client is behind and too much waits for it), `INVALID_EVENT`, `EVENT_TOO_LARGE`.
   *
   * @example
   * sse.sendEvent(clientId, { event: 'welcome', data: { unread: 3 } });
   */
  sendEvent(clientId: string, event: ClientEvent<Events>): void {
    this.#send(clientId, event);
  }

  #send(clientId: string, event: SSEEvent): void {
    const entry = toEntry(event, this.#config);
    const client = this.#hub.clients.get(clientId);
    if (client) return client.sendEvent(entry);
    throw new SSEError('CLIENT_NOT_FOUND', `No client with the id ${show(clientId)} is connected to this node.`);
  }

  /** The same, with `false` for `CLIENT_NOT_FOUND` and `SEND_ERROR`. `sse.sendTo(clientId, 'welcome', { unread: 3 })` */
  sendTo<Name extends AnyEventNameOf<Events>>(
    clientId: string,
    event: Name,
    data: AnyEventDataOf<Events, Name>,
    id?: string,
  ): boolean {
    try {
      this.#send(clientId, { event, data, ...(id !== undefined && { id }) });
      return true;
    } catch (error) {
      if (error instanceof SSEError && (error.code === 'CLIENT_NOT_FOUND' || error.code === 'SEND_ERROR')) return false;
      throw error;
    }
  }

  /**
   * Changes a client's heartbeat interval, in milliseconds: every client has a heartbeat from the start. Without an
   * interval it is the configured one, or 30 s where that is 0. `sse.startHeartbeat(clientId, 10_000)`
   */
  startHeartbeat(clientId: string, interval: number = this.#config.heartbeatInterval || DEFAULT_HEARTBEAT): void {
    assertOption('heartbeatInterval', interval);
    this.#hub.clients.get(clientId)?.timer.setHeartbeat(interval);
  }

  /** No heartbeat for this client any more. `sse.stopHeartbeat(clientId)` */
  stopHeartbeat(clientId: string): void {
    this.#hub.clients.get(clientId)?.timer.setHeartbeat(0);
  }

  /** Figures since the start, safe for JSON. `sse.stats().delivered` */
  stats(): SSEStats {
    return this.#hub.stats();
  }

  #connect(
    options: OptionsOfClient<Topics, SSEEvent>,
    topics: Topics,
    request: RequestLike | undefined,
    entrance: NodeEntrance | WebEntrance | MessageEntrance,
  ): SSEClient {
    assertEnabled(this.#config);
    const following = resolveTopics(topics, this.#config);
    const settings = resolveClient(options, this.#config, request);
    assertFromFits(settings.from, following);
    if (/^\d{1,15}$/.test(settings.lastEventId)) this.#warnOfNumberedEvents(settings.lastEventId);
    const current = currentRequest();
    const askedAt = current?.actsOnGroups ? undefined : current?.askedAt;
    return this.#hub.connect(settings, following, request?.method === 'HEAD', entrance, askedAt);
  }

  #encodingFor(request: RequestLike | undefined): Encoding {
    return encodingFor(acceptEncodingFrom(request), this.#config.compression);
  }

  #actOnGroup(act: GroupAct): void {
    const current = currentRequest();
    if (current) current.actsOnGroups = true;
    this.#hub.publisher.appendLater(act);
  }

  #nameOf(topic: string | TopicPattern): { topic: string; pattern?: true } {
    const name = literalOf(topic);
    if (typeof name === 'string') return { topic: name };
    compilePattern(name, this.#config.topicDelimiter);
    return { topic: name.pattern, pattern: true };
  }

  /** The request that is being handled. Its absence is told once, where there should be one. */
  #currentRequest(what: string, { request }: { readonly request?: RequestLike }): CurrentRequest | undefined {
    const current = currentRequest();
    if (current || request || !keepsRequests(this)) return current;
    this.#tellOnce(
      'request',
      'error',
      `${what} where no request is known, so no last event ID was read, and what a client has missed is lost. Either it ` +
        'was not in a handler: code on the server follows topics with observe(). Or the asynchronous context ' +
        '(AsyncLocalStorage) was lost in a callback: pass { request }.',
    );
    return undefined;
  }

  /** Throws `INVALID_ROUTE` where Nest would write to the response too. */
  #assertWritable(response: NodeResponseLike): void {
    const { route, isOpened } = currentRequestOf(response) ?? {};
    if (route?.isSse) {
      throw this.#refusal(
        'createClient() was called in a handler of @Sse(), where Nest writes the response itself. Either keep @Sse() and ' +
          'return sse.stream(topics), or use @EventStream() and return { topics }.',
      );
    }
    if (route?.isEventStream && !isOpened) {
      throw this.#refusal(
        `createClient() was called in ${route.name}, and @EventStream() opens the stream from what its handler returns. ` +
          'Return the same options: return { topics }.',
      );
    }
    if (route && !route.writesItself) {
      throw this.#refusal(
        `createClient() was called in ${route.name}, whose response Nest ends with what it returns: it has no @Res(), or ` +
          '@Res({ passthrough: true }). Use @EventStream() and return { topics }, or take the response with @Res() alone: ' +
          '(@Res() response) and createClient(response, { topics }).',
      );
    }
    if (isAnswered(response)) {
      throw this.#refusal(
        'createClient() was given a response that has been answered already, or carries a stream. Call it once, before ' +
          'anything is sent: one stream has many topics, createClient(response, { topics: [...] }).',
      );
    }
  }

  // Nest does not log HTTP exceptions, and an EventSource shows nobody the answer.
  #refusal(message: string): SSEError {
    this.#hub.logger.error(message);
    return new SSEError('INVALID_ROUTE', message);
  }

  #warnOfNumberedEvents(lastEventId: string): void {
    this.#tellOnce(
      'numbered',
      'warn',
      `A client came with the last event ID ${lastEventId}, which is not a cursor. Nest numbers messages that have no ` +
        'id: is there an operator behind stream() that makes new messages? Pass on the ones it emits.',
    );
  }

  #tellOnce(kind: string, level: 'warn' | 'error', message: string): void {
    if (this.#told.has(kind)) return;
    this.#told.add(kind);
    this.#hub.logger[level](message);
  }
}

function follow(current: CurrentRequest, subscriber: Subscriber<StreamMessage>): void {
  current.streams = true;
  current.openStreams++;
  subscriber.add(() => current.openStreams--);
}

// What other nodes cannot read would be a hole in their log.
function assertReconnect(reconnect: unknown): void {
  if (typeof reconnect !== 'boolean') throw invalid('reconnect', reconnect, 'true or false');
}
