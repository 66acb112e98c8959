import { setImmediate as turnOfLoop } from 'node:timers/promises';

import { type Observable, Subject } from 'rxjs';

import type { Backplane } from '../backplane/backplane.js';
import type { GroupPresence, Presence } from '../backplane/presence.js';
import { ClosedTopics } from '../log/closed-topics.js';
import { EventLog } from '../log/event-log.js';
import type { Retention } from '../log/history.js';
import { Runs } from '../log/runs.js';
import { FOREIGN_CURSOR } from '../protocol/cursor.js';
import type { SSEEvent } from '../protocol/event.js';
import type { ConnectionChange, DisconnectReason, SSEClient } from '../sse.client.js';
import { SSEError } from '../sse.error.js';
import type { Entrance, Transport } from '../transport/transport.js';
import { Admission, type AdmissionLimits } from './admission.js';
import { Audience } from './audience.js';
import { inNoContext, readBack } from './callbacks.js';
import { type EntryRules, toEntry } from './check-event.js';
import type { ClientContext } from './clients/client-context.js';
import type { ClientSettings } from './clients/client-settings.js';
import { TurnedAway } from './clients/client-view.js';
import { Client } from './clients/client.js';
import type { Deadlines } from './clients/connection-timer.js';
import { ControlFrames } from './clients/control-frames.js';
import { AllFollowers, type Followers } from './clients/followers.js';
import { Registry } from './clients/registry.js';
import { cursorOfUnopened } from './clients/starting-place.js';
import { DeliveryDelay } from './delay.js';
import { Delivery } from './delivery.js';
import { Envelopes } from './envelopes.js';
import type { EventSchemas } from './event-schemas.js';
import { Groups } from './groups.js';
import { HeldClients } from './held-clients.js';
import { Publisher } from './publisher.js';
import { describe, guarded, type SSELogger } from './reporting/logger.js';
import { Reporter } from './reporting/reporter.js';
import type { SSEStats } from './reporting/stats.js';
import { OwnRuns } from './runs/own-runs.js';
import { drain } from './shutdown.js';
import { type Timed, TimerWheel } from './timer-wheel.js';
import type { TopicsAndPatterns } from './topics/following.js';
import { GuardedObservable } from './topics/guarded-observable.js';
import { observe } from './topics/observers.js';
import { Topics } from './topics/topics.js';
import { Turn } from './turn.js';

export interface HubOptions extends AdmissionLimits, EntryRules {
  readonly enabled: boolean;
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
  /** Milliseconds; `undefined` where none has an interval. */
  readonly flushIntervalOf: ((topic: string | undefined) => number) | undefined;
  /** `undefined` where nothing is checked. */
  readonly schemas: EventSchemas | undefined;
}

/** Milliseconds. */
const HOUSEKEEPING_INTERVAL = 5_000;

/** All topics and clients of one node: puts the parts together, begins and ends their work. */
export class Hub {
  readonly log: EventLog;
  readonly closedTopics: ClosedTopics;
  readonly timers = new TimerWheel();
  readonly logger: SSELogger;
  readonly reporter: Reporter;
  readonly topics: Topics<Followers>;
  readonly audience: Audience;
  readonly turn: Turn;
  readonly delay: DeliveryDelay;
  readonly delivery: Delivery;
  readonly clients: Registry;
  readonly publisher: Publisher;
  readonly runs: OwnRuns;
  readonly #knownRuns = new Runs();
  readonly #admission: Admission;
  readonly #followers: AllFollowers;
  readonly #clientContext: ClientContext;
  readonly #connections = new Subject<ConnectionChange>();
  readonly #end = new Subject<never>();
  readonly #controlEvents = new ControlFrames(true);
  readonly #noControlEvents = new ControlFrames(false);
  readonly #noDeadlines: Deadlines;
  #started: Promise<void> | undefined;
  #stopped: Promise<void> | undefined;

  constructor(
    readonly options: HubOptions,
    logger: SSELogger,
  ) {
    const { backplane, highWaterMark, slowTimeout, maxHistoryBytes, topicDelimiter } = options;
    const { retentionOf, flushIntervalOf } = options;
    this.#noDeadlines = { expiresAt: Infinity, endsAt: Infinity, slowTimeout };
    this.logger = guarded(logger);
    this.reporter = new Reporter(this.logger, options.debug);
    this.log = new EventLog({ retentionOf, maxBytes: maxHistoryBytes });
    this.closedTopics = new ClosedTopics(this.log);
    this.topics = new Topics(this.log);
    this.#followers = new AllFollowers(topicDelimiter);
    this.audience = new Audience(
      this.topics,
      this.#followers,
      topicDelimiter,
      (topic) => this.clients.listTopic(topic),
      (group, error) => this.reporter.groupUnreadable(group, error),
    );
    const deserialize = (text: string): unknown => readBack(options.deserialize, text);
    const envelopes = new Envelopes(deserialize, () => this.turn.schedule());
    const { log, closedTopics, topics, reporter, audience, timers } = this;
    const followers = this.#followers;
    const { counters } = reporter;
    this.delay = new DeliveryDelay(log);
    const { delay } = this;
    this.turn = new Turn({ log, topics, followers, counters, envelopes, delay, highWaterMark, flushIntervalOf });
    const { turn } = this;
    const held = new HeldClients(backplane, this.logger);
    const { maxTopicsPerClient } = options;
    this.clients = new Registry({ followers, topics, audience, turn, held, reporter, maxTopicsPerClient });
    this.publisher = new Publisher({
      log,
      closedTopics,
      backplane,
      reporter,
      rules: options,
      shuttingDown: () => this.shuttingDown,
      start: () => this.#startIfNeeded(),
    });
    const runs = this.#knownRuns;
    this.runs = new OwnRuns({
      runs,
      publisher: this.publisher,
      backplane,
      reporter,
      logger: this.logger,
      enabled: options.enabled,
      ready: () => this.delivery.isReady,
      now: () => log.now,
    });
    const groups = new Groups(this.clients, reporter);
    this.delivery = new Delivery({
      log,
      closedTopics,
      topics,
      followers,
      turn,
      delay,
      held,
      envelopes,
      counters,
      logger: this.logger,
      groups,
      runs,
      own: this.runs,
      onDelivered: () => {
        this.publisher.hasRead();
        this.#keepHouse();
      },
    });
    const { delivery } = this;
    const shuttingDown = (): boolean => this.shuttingDown;
    const retry = (interval: number): number => this.#retry(interval);
    const merging = {
      log,
      envelopes,
      serialize: (event: SSEEvent) => toEntry(event, options).data,
      failed: (error: unknown) => reporter.mergeFailed(error),
    };
    this.#clientContext = {
      log,
      runs,
      merging,
      closedTopics,
      reporter,
      envelopes,
      turn,
      timers,
      highWaterMark,
      slowTimeout,
      retry,
      get ready() {
        return delivery.isReady;
      },
      hold: (client, position) => held.hold(client, position),
      left: (client: Client, reason) => this.#left(client, reason),
      withdraw: (client: Client) => this.clients.delete(client),
    };
    this.#admission = new Admission({
      limits: options,
      clients: this.clients,
      groups,
      reporter,
      shuttingDown,
      retry,
      controlFrames: (named) => this.#controlFrames(named),
      cursorOfUnopened: (settings) => cursorOfUnopened(log, delivery.isReady, settings),
    });
  }

  get shuttingDown(): boolean {
    return this.#stopped !== undefined;
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
    if (this.#started) return;
    this.start().catch((error: unknown) => this.logger.error(`The log cannot be read: ${describe(error)}`));
  }

  /** Lets a request in, or turns it away. Throws `TOO_MANY_CLIENTS`, where the limits ask for it, and `CLIENT_EXISTS`. */
  connect(
    settings: ClientSettings,
    names: TopicsAndPatterns,
    isHead: boolean,
    entrance: Entrance,
    /** When its request came in, on the clock of `performance.now()`, where that is known. */
    askedAt = Infinity,
  ): SSEClient {
    this.#startIfNeeded();
    const isIn = this.#admission.ask(settings, { isHead, askedAt }, entrance);
    return isIn ? this.#open(settings, names, entrance.admit()).view : new TurnedAway(settings);
  }

  #open(settings: ClientSettings, names: TopicsAndPatterns, transport: Transport): Client {
    const followers = this.#followers.of(names, settings.controlEvents);
    const control = this.#controlFrames(settings.controlEvents);
    const deadlines = this.#deadlinesOf(settings.expiresAt);
    const client = new Client(this.#clientContext, settings, transport, followers, control, deadlines);
    this.clients.add(client);
    try {
      client.open();
    } catch (error) {
      client.release();
      throw error;
    }
    this.#connections.next({ type: 'connect', client: client.view });
    client.pumpSoon();
    return client;
  }

  /** The clients of all nodes that an event on the topic would reach. Rejects when the backplane cannot count, or not now. */
  countEverywhere(topic: string): Promise<number> {
    return this.#askEverywhere((presence) => presence?.count(topic), {
      what: 'clients of other nodes cannot be counted',
      here: 'getClientCount() counts those of this node',
    });
  }

  /** Their groups. The same. */
  groupsEverywhere(topic: string): Promise<GroupPresence[]> {
    return this.#askEverywhere((presence) => presence?.groups?.(topic), {
      what: 'the groups of other nodes are not known',
      here: 'getClientsByTopic() lists the clients of this node',
    });
  }

  async #askEverywhere<T>(
    ask: (presence: Presence | undefined) => Promise<T> | undefined,
    { what, here }: { readonly what: string; readonly here: string },
  ): Promise<T> {
    if (this.shuttingDown) throw new SSEError('SHUTTING_DOWN', 'The hub is shutting down and asks no other node.');
    this.#startIfNeeded();
    const { presence, kind } = this.options.backplane;
    try {
      const answer = ask(presence);
      if (answer) return await answer;
    } catch (cause) {
      throw new SSEError('BACKPLANE_UNAVAILABLE', `For now, ${what}; ${here}.`, { cause });
    }
    throw new SSEError(
      'INVALID_CONFIG',
      `SSE option \`backplane\`: the one of kind ${JSON.stringify(kind)} has no \`presence\` for it, so ${what}. ${here}.`,
    );
  }

  /** Connections as they open and end. */
  connectionChanges(): Observable<ConnectionChange> {
    return new GuardedObservable(this.#onObserverError, (subscriber) => this.#connections.subscribe(subscriber));
  }

  /** Milliseconds from publishing to the end of the turn that writes to clients. */
  deliveryDelays(): Observable<number> {
    return new GuardedObservable(this.#onObserverError, (subscriber) => this.delay.figures.subscribe(subscriber));
  }

  /** The place up to which the log has been read. */
  cursor(): string {
    this.#startIfNeeded();
    const { log, delivery } = this;
    return delivery.isReady ? log.cursorBefore(log.head) : FOREIGN_CURSOR;
  }

  /** Events of topics as they are delivered, and before them what is retained and newer than `since`. */
  observe(follow: () => TopicsAndPatterns, since?: number): Observable<Readonly<SSEEvent>> {
    const { publications, catchingUp } = this.delivery;
    const begin = (): TopicsAndPatterns => {
      this.#startIfNeeded();
      return follow();
    };
    const delimiter = this.options.topicDelimiter;
    const { topics, log } = this;
    const { envelopes } = this.#clientContext;
    const ready = (): boolean => this.delivery.isReady;
    const context = { topics, publications, catchingUp, delimiter, log, envelopes, ready, end: this.#end };
    return observe(begin, since, { ...context, onError: this.#onObserverError });
  }

  readonly #onObserverError = (error: unknown): void => this.reporter.observerFailed(error);

  stats(): SSEStats {
    const { log, options } = this;
    const { kind, status, lag } = options.backplane;
    const { resets, ...counted } = this.reporter.counters;
    return {
      state: this.#state,
      clients: this.clients.size,
      topics: this.topics.size,
      runs: this.runs.size,
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

  get #state(): SSEStats['state'] {
    if (this.shuttingDown) return 'shutting down';
    return this.options.enabled ? 'running' : 'off';
  }

  /** Ends every stream and lets go of the log. Idempotent. */
  shutdown(): Promise<void> {
    // Not at once: what is called on the way may ask whether the hub is shutting down.
    return (this.#stopped ??= Promise.resolve().then(() => this.#stop()));
  }

  async #stop(): Promise<void> {
    const { backplane, retryInterval, drainTimeout } = this.options;
    const retryAfter = (spread: number): number => this.#retry(retryInterval + spread);
    await Promise.all([drain(this.clients.list(), retryAfter, drainTimeout), this.runs.drain(drainTimeout)]);
    this.timers.stop();
    this.turn.stop();
    this.#connections.complete();
    this.delay.figures.complete();
    this.#end.complete();
    this.delivery.publications.complete();
    this.topics.complete();
    await backplane.presence?.leave(this.audience);
    this.reporter.closing();
    try {
      await backplane.close(this.delivery);
    } finally {
      this.runs.stop();
      // Whoever waited for the outcome hears of it first.
      await turnOfLoop();
      this.reporter.closed(backplane.kind);
    }
  }

  #left(client: Client, reason: DisconnectReason): void {
    this.clients.delete(client);
    client.origin.runInAsyncScope(() => {
      this.reporter.disconnected(client, reason, this.clients.size);
      this.#connections.next({ type: 'disconnect', client: client.view, reason });
    });
  }

  /** When a connection that begins now has to end. */
  #deadlinesOf(expiresAt: number): Deadlines {
    const { maxConnectionAge, slowTimeout } = this.options;
    if (expiresAt === Infinity && maxConnectionAge === 0) return this.#noDeadlines;
    const age = maxConnectionAge === 0 ? Infinity : maxConnectionAge * (0.8 + 0.2 * Math.random());
    return { expiresAt, endsAt: performance.now() + age, slowTimeout };
  }

  /** A `retry` that spreads those who come back together. */
  #retry(interval: number): number {
    return Math.round(interval * (1 + Math.random() * this.options.retryJitter));
  }

  #controlFrames(named: boolean): ControlFrames {
    return named ? this.#controlEvents : this.#noControlEvents;
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
      this.turn.prune();
      this.closedTopics.prune(this.turn.oldestPlace);
      this.#knownRuns.prune((topic) => this.closedTopics.isClosed(topic));
      this.runs.prune();
      this.#housekeeping.scheduled = this.log.events > 0 || this.closedTopics.size > 0;
      return this.#housekeeping.scheduled ? now + HOUSEKEEPING_INTERVAL : Infinity;
    },
  };
}
