import { setImmediate as turn } from 'node:timers/promises';

import { type Observable, Subject } from 'rxjs';

import type { Backplane, Patience } from '../backplane/backplane.js';
import { ClosedTopics } from '../log/closed-topics.js';
import { EventLog } from '../log/event-log.js';
import type { Retention } from '../log/history.js';
import { type Cursor, FOREIGN_CURSOR, NEW_CURSOR, ORIGIN, type Position, TERMINAL_CURSOR } from '../protocol/cursor.js';
import type { Entry } from '../protocol/entry.js';
import { show, singleLineFault, type SSEEvent } from '../protocol/event.js';
import type { ConnectionChange, DisconnectReason, Filter } from '../sse.client.js';
import { SSEError } from '../sse.error.js';
import type { Entrance } from '../transport/transport.js';
import { Admission, type AdmissionLimits } from './admission.js';
import { Audience } from './audience.js';
import { inNoContext, readBack } from './callbacks.js';
import type { ClientSettings } from './clients/client-settings.js';
import { TurnedAway } from './clients/client-view.js';
import { Client } from './clients/client.js';
import type { Deadlines } from './clients/connection-timer.js';
import { type BusyReason, ControlFrames } from './clients/control-frames.js';
import { type Following, type Selection, Selections } from './clients/followers.js';
import type { ReaderContext } from './clients/reader.js';
import { Delivery } from './delivery.js';
import { Envelopes } from './envelopes.js';
import { actOnGroup } from './groups.js';
import { OwnClosings } from './own-closings.js';
import { describe, guarded, type SSELogger } from './reporting/logger.js';
import { Reporter } from './reporting/reporter.js';
import type { SSEStats } from './reporting/stats.js';
import { drain } from './shutdown.js';
import { type Timed, TimerWheel } from './timer-wheel.js';
import { GuardedObservable } from './topics/guarded-observable.js';
import { observe } from './topics/observers.js';
import type { TopicPattern } from './topics/topic-pattern.js';
import { Topics } from './topics/topics.js';

export interface HubOptions extends AdmissionLimits {
  readonly debug: boolean;
  readonly retryInterval: number;
  readonly retryJitter: number;
  readonly maxTopicsPerClient: number;
  readonly maxHistoryBytes: number;
  readonly maxConnectionAge: number;
  readonly highWaterMark: number;
  readonly slowTimeout: number;
  readonly drainTimeout: number;
  readonly topicDelimiter: string;
  readonly deserialize: (text: string) => unknown;
  readonly backplane: Backplane;
  readonly retentionOf: (topic: string | undefined) => Retention;
}

const HOUSEKEEPING_INTERVAL = 5_000;

/** All topics and clients of one node. */
export class Hub {
  readonly log: EventLog;
  readonly closedTopics: ClosedTopics;
  readonly timers = new TimerWheel();
  readonly logger: SSELogger;
  readonly reporter: Reporter;
  readonly connections = new Subject<ConnectionChange>();
  readonly topics: Topics;
  readonly delivery: Delivery;
  readonly readerContext: ReaderContext;
  readonly audience: Audience;
  readonly #ownClosings: OwnClosings;
  readonly #clients = new Map<string, Client>();
  readonly #admission: Admission;
  readonly #selections: Selections;
  readonly #controlEvents = new ControlFrames(true);
  readonly #noControlEvents = new ControlFrames(false);
  readonly #noDeadlines: Deadlines;
  #started: Promise<void> | undefined;
  #stopped: Promise<void> | undefined;

  constructor(
    readonly options: HubOptions,
    logger: SSELogger,
  ) {
    this.logger = guarded(logger);
    const { backplane, highWaterMark, retentionOf, maxHistoryBytes, topicDelimiter } = options;
    const deserialize = (text: string): unknown => readBack(options.deserialize, text);
    const envelopes = new Envelopes(deserialize, () => this.delivery.schedule());
    this.reporter = new Reporter(this.logger, options.debug);
    this.#noDeadlines = { expiresAt: Infinity, endsAt: Infinity, slowTimeout: options.slowTimeout };
    this.log = new EventLog({ retentionOf, maxBytes: maxHistoryBytes });
    this.closedTopics = new ClosedTopics(this.log);
    this.#ownClosings = new OwnClosings(this.log);
    this.readerContext = { log: this.log, closedTopics: this.closedTopics, reporter: this.reporter, envelopes };
    this.#admission = new Admission(options);
    this.#selections = new Selections(topicDelimiter);
    this.topics = new Topics(this.log, this.#selections);
    this.audience = new Audience(this.topics, this.#selections, topicDelimiter);
    this.delivery = new Delivery({
      log: this.log,
      closedTopics: this.closedTopics,
      topics: this.topics,
      selections: this.#selections,
      counters: this.reporter.counters,
      logger: this.logger,
      backplane,
      highWaterMark,
      envelopes,
      actOnGroup: (act) => actOnGroup(this, this.#admission.membersOf(act.group), act),
      askGroupsAgain: (group) => {
        const members = group === undefined ? this.list() : this.#admission.membersOf(group);
        for (const client of members) if (client.group !== undefined) client.finish('removed');
      },
      onDelivered: () => {
        this.#ownClosings.forgetRead();
        this.#keepHouse();
      },
    });
  }

  get ready(): boolean {
    return this.delivery.isReady;
  }

  get turnStart(): number {
    return this.delivery.turnStart;
  }

  get behind(): Set<Client> {
    return this.delivery.behind;
  }

  get shuttingDown(): boolean {
    return this.#stopped !== undefined;
  }

  /** Open streams. */
  get size(): number {
    return this.#clients.size;
  }

  /** Begins to read the log, which nobody would let go of after a shutdown. May be tried again when it fails. */
  start(): Promise<void> {
    if (this.shuttingDown) return this.#started ?? Promise.resolve();
    this.#started ??= inNoContext(() => this.#startReading()).catch((error: unknown) => {
      this.#started = undefined;
      throw error;
    });
    return this.#started;
  }

  #startReading(): Promise<void> {
    const { backplane } = this.options;
    backplane.presence?.join(this.audience);
    return backplane.start(this.delivery);
  }

  #startIfNeeded(): void {
    this.start().catch((error: unknown) => this.logger.error(`The log cannot be read: ${describe(error)}`));
  }

  /** Settles with the entry's place once the log has it. */
  append(entry: Entry, patience: Patience): Promise<Cursor> {
    if (this.shuttingDown) {
      throw new SSEError('SHUTTING_DOWN', 'The hub is shutting down and takes no more events.');
    }
    this.#startIfNeeded();
    try {
      const appended = this.options.backplane.append(this.#withPast(entry), patience);
      if (entry.kind === 'close' || entry.kind === 'open') this.#ownClosings.note(entry, appended);
      return appended;
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** An event says up to where its publisher may have forgotten what closed its topic. */
  #withPast(entry: Entry): Entry {
    const { forgotten } = this.closedTopics;
    if (forgotten === ORIGIN || entry.kind !== 'event') return entry;
    return entry.topic === undefined || this.isClosed(entry.topic) ? entry : { ...entry, opens: forgotten };
  }

  /** Whether the topic is finished, for those who publish on this node: what it has appended is not always read yet. */
  isClosed(topic: string): boolean {
    const own = this.#ownClosings.latest(topic);
    return own ? own === 'close' : this.closedTopics.isClosed(topic);
  }

  /** Lets a request in, or turns it away in the way that the limits ask for. Throws only for `reject` and `CLIENT_EXISTS`. */
  connect(settings: ClientSettings, following: Following, isHead: boolean, entrance: Entrance): Client | TurnedAway {
    this.#startIfNeeded();
    if (isHead) {
      entrance.answerHeaders();
      return new TurnedAway(settings);
    }
    if (settings.lastEventId === TERMINAL_CURSOR) {
      entrance.answerNoContent();
      return new TurnedAway(settings);
    }
    if (this.shuttingDown) return this.#turnAway(settings, entrance, 'shutdown');
    // One connection must not take the places of many: all but the first of these can never be served meanwhile.
    if (entrance.waits) return this.#turnAway(settings, entrance, 'pipelined');

    const replaced = this.#clients.get(settings.id);
    if (replaced && (settings.group === undefined || replaced.group !== settings.group)) {
      throw new SSEError(
        'CLIENT_EXISTS',
        `A client with the id ${show(settings.id)} is connected already, and not known to be of the same ` +
          'group. Leave `id` out, or give both the same `group`.',
      );
    }
    const verdict = this.#admission.ask(settings.group, replaced);
    if (verdict.kind === 'retry') return this.#turnAway(settings, entrance, 'full');
    if (verdict.kind === 'reject') throw this.#rejection(verdict.message);
    replaced?.finish('replaced');
    if (verdict.kind === 'admit') verdict.evict?.finishForGood('evicted');

    const selection = this.#selections.of(following, settings.controlEvents);
    const client = new Client(this, settings, entrance.admit(), selection);
    this.#register(client);
    try {
      client.open();
    } catch (error) {
      client.release();
      throw error;
    }
    this.connections.next({ type: 'connect', client });
    if (client.atOnce) client.pump();
    else this.wake(client);
    return client;
  }

  get(clientId: string): Client | undefined {
    return this.#clients.get(clientId);
  }

  /** Oldest first. */
  list(): Client[] {
    return [...this.#clients.values()];
  }

  listGroup(group: string): Client[] {
    return this.#admission.membersOf(group);
  }

  /** The clients that an event on this topic would reach, oldest first. */
  listTopic(topic: string): Client[] {
    const found = new Set<Client>();
    for (const selection of this.topics.followersOf(topic)) {
      for (const client of selection.clients) found.add(client);
    }
    return found.size === 0 ? [] : this.list().filter((client) => found.has(client));
  }

  countTopic(topic: string): number {
    return this.audience.count(topic);
  }

  /** The same over all nodes. Rejects when the backplane cannot count, or not now. */
  async countEverywhere(topic: string): Promise<number> {
    const { presence, kind } = this.options.backplane;
    if (!presence) {
      throw new SSEError(
        'INVALID_CONFIG',
        `SSE option \`backplane\`: the one of kind ${JSON.stringify(kind)} has no \`presence\`, so clients of other ` +
          'nodes cannot be counted. getClientCount() counts those of this node.',
      );
    }
    if (this.shuttingDown) throw new SSEError('SHUTTING_DOWN', 'The hub is shutting down and counts no clients.');
    this.#startIfNeeded();
    try {
      return await presence.count(topic);
    } catch (cause) {
      throw new SSEError(
        'BACKPLANE_UNAVAILABLE',
        'The clients of all nodes cannot be counted now; getClientCount() counts those of this node.',
        { cause },
      );
    }
  }

  subscribe(clientId: string, name: string | TopicPattern, filter: Filter | undefined): boolean {
    const client = this.#clients.get(clientId);
    if (!client) return false;
    const { selection } = client.reader;
    const text = name.toString();
    if (selection.has(name)) {
      client.setFilter(text, filter);
      return true;
    }
    const { maxTopicsPerClient } = this.options;
    if (selection.names.size >= maxTopicsPerClient) throw tooManyTopics(selection.names.size + 1, maxTopicsPerClient);
    const next = this.#move(client, selection.with(name));
    client.addName(next, text, filter);
    this.reporter.followed(client);
    return true;
  }

  unsubscribe(clientId: string, name: string | TopicPattern): boolean {
    const client = this.#clients.get(clientId);
    if (!client?.reader.selection.has(name)) return false;
    const next = this.#move(client, client.reader.selection.without(name));
    client.removeName(next, name.toString());
    this.reporter.followed(client);
    return true;
  }

  remove(clientId: string, reconnect: boolean): boolean {
    const client = this.#clients.get(clientId);
    if (!client) return false;
    removeOne(client, reconnect);
    return true;
  }

  /** Connections as they open and end. */
  connectionChanges(): Observable<ConnectionChange> {
    return new GuardedObservable(this.#onObserverError, (subscriber) => this.connections.subscribe(subscriber));
  }

  /** Events of topics as they are delivered. */
  observe(follow: () => Following): Observable<Readonly<SSEEvent>> {
    const { publications } = this.delivery;
    const delimiter = this.options.topicDelimiter;
    const begin = (): Following => {
      this.#startIfNeeded();
      return follow();
    };
    return observe(begin, { topics: this.topics, publications, delimiter, onError: this.#onObserverError });
  }

  readonly #onObserverError = (error: unknown): void => this.reporter.observerFailed(error);

  stats(): SSEStats {
    const { log, options } = this;
    const { kind, status, lag } = options.backplane;
    const { resets, ...counted } = this.reporter.counters;
    return {
      clients: this.size,
      topics: this.topics.size,
      ...counted,
      resets: { ...resets },
      history: {
        events: log.events,
        bytes: log.bytes,
        ...(log.oldest !== undefined && { oldest: new Date(log.oldest).toISOString() }),
      },
      backplane: { kind, status, ...(lag !== undefined && { lag }) },
    };
  }

  /** Ends every stream and lets go of the log. Idempotent. */
  shutdown(): Promise<void> {
    // Not at once: what is called on the way may ask whether the hub is shutting down.
    return (this.#stopped ??= Promise.resolve().then(() => this.#stop()));
  }

  async #stop(): Promise<void> {
    await drain(this.list(), (spread) => this.retry(this.options.retryInterval + spread), this.options.drainTimeout);
    this.timers.stop();
    this.connections.complete();
    this.delivery.publications.complete();
    this.topics.complete();
    const { backplane } = this.options;
    await backplane.presence?.leave(this.audience);
    this.reporter.closing();
    try {
      await backplane.close(this.delivery);
    } finally {
      // Whoever waited for the outcome hears of it first.
      await turn();
      this.reporter.closed(backplane.kind);
    }
  }

  wake(client: Client): void {
    this.delivery.wake(client);
  }

  holdUntil(client: Client, position: Position): void {
    this.delivery.holdUntil(client, position);
  }

  forget(client: Client, reason: DisconnectReason): void {
    this.withdraw(client);
    client.origin.runInAsyncScope(() => {
      this.reporter.disconnected(client, reason, this.size);
      this.connections.next({ type: 'disconnect', client, reason });
    });
  }

  /** The same for one that nobody has been told of. */
  withdraw(client: Client): void {
    this.#clients.delete(client.id);
    this.#admission.leave(client);
    if (client.atOnce) this.delivery.clientsAtOnce--;
    this.delivery.forget(client);
    this.timers.remove(client);
    this.#leave(client);
  }

  /** When a connection that begins now has to end. */
  deadlinesOf(expiresAt: number): Deadlines {
    const { maxConnectionAge, slowTimeout } = this.options;
    if (expiresAt === Infinity && maxConnectionAge === 0) return this.#noDeadlines;
    const age = maxConnectionAge === 0 ? Infinity : maxConnectionAge * (0.8 + 0.2 * Math.random());
    return { expiresAt, endsAt: performance.now() + age, slowTimeout };
  }

  /** A `retry` that spreads those who come back together. */
  retry(interval: number): number {
    return Math.round(interval * (1 + Math.random() * this.options.retryJitter));
  }

  controlFrames(named: boolean): ControlFrames {
    return named ? this.#controlEvents : this.#noControlEvents;
  }

  #register(client: Client): void {
    this.#clients.set(client.id, client);
    this.#admission.enter(client);
    if (client.atOnce) this.delivery.clientsAtOnce++;
    this.#enter(client, client.reader.selection);
  }

  #enter(client: Client, selection: Selection): void {
    if (selection.size === 0) this.topics.attach(selection);
    selection.add(client);
    this.audience.touch(selection);
  }

  #leave(client: Client): void {
    const { selection } = client.reader;
    selection.delete(client);
    this.audience.touch(selection);
    if (selection.size > 0) return;
    this.topics.detach(selection);
    this.#selections.collect(selection);
  }

  // In this order, so that a topic which is in both is never collected in between.
  #move(client: Client, following: Following): Selection {
    const next = this.#selections.of(following, client.control.named);
    this.#enter(client, next);
    this.#leave(client);
    return next;
  }

  #turnAway(settings: ClientSettings, entrance: Entrance, reason: BusyReason): TurnedAway {
    this.reporter.refused(reason);
    const cursor = this.cursorOfUnopened(settings);
    const control = this.controlFrames(settings.controlEvents);
    const busy = control.busy(cursor, this.retry(settings.retryInterval), reason);
    entrance.turnAway(busy, settings.plannedEnd, reason === 'shutdown');
    return new TurnedAway(settings);
  }

  /**
   * To be refused, or sent home before it was open, moves nobody: what a client comes back with is what it came with, and
   * means what it meant. Who came without anything, and wanted only what is new, gets that from now on.
   */
  cursorOfUnopened({ lastEventId, since, initial }: ClientSettings): string {
    if (lastEventId !== '') return singleLineFault(lastEventId, Infinity) ? FOREIGN_CURSOR : lastEventId;
    // Who is to get something before what is new has not got it yet.
    if (!this.ready || since !== undefined || initial) return NEW_CURSOR;
    return this.log.cursorBefore(this.log.head);
  }

  #rejection(message: string): SSEError {
    this.reporter.refused(message);
    return new SSEError('TOO_MANY_CLIENTS', `No room for another client: ${message}.`);
  }

  /** What time does to the log: only worth a timer while there is something that can grow old. */
  #keepHouse(): void {
    if (this.#housekeeping.scheduled) return;
    this.#housekeeping.scheduled = true;
    this.timers.schedule(this.#housekeeping, performance.now() + HOUSEKEEPING_INTERVAL);
  }

  readonly #housekeeping: Timed & { scheduled: boolean } = {
    scheduled: false,
    tick: (now) => {
      this.delivery.prune();
      this.closedTopics.prune(this.delivery.oldestPlace);
      this.#housekeeping.scheduled = this.log.events > 0 || this.closedTopics.size > 0;
      return this.#housekeeping.scheduled ? now + HOUSEKEEPING_INTERVAL : Infinity;
    },
  };
}

export function tooManyTopics(count: number, limit: number): SSEError {
  return new SSEError(
    'TOO_MANY_TOPICS',
    `${count} topics on one connection; maxTopicsPerClient is ${limit}. Follow many with one topicPattern().`,
  );
}

function removeOne(client: Client, reconnect: boolean): void {
  client.pump();
  if (reconnect) client.finish('removed');
  else client.finishForGood('removed');
}
