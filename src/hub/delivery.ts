import { Subject } from 'rxjs';

import type { LogEntry, LogListener } from '../backplane/backplane.js';
import type { ClosedTopics } from '../log/closed-topics.js';
import type { EventLog } from '../log/event-log.js';
import { Publication } from '../log/publication.js';
import type { Runs } from '../log/runs.js';
import { comparePositions, ORIGIN, type Position } from '../protocol/cursor.js';
import type { EventEntry, TopicEntry } from '../protocol/entry.js';
import type { SSEEvent } from '../protocol/event.js';
import { inNoContext } from './callbacks.js';
import type { AllFollowers, Followers } from './clients/followers.js';
import type { DeliveryDelay } from './delay.js';
import type { Envelopes } from './envelopes.js';
import type { GroupAct, Groups } from './groups.js';
import type { HeldClients } from './held-clients.js';
import { describe, type SSELogger } from './reporting/logger.js';
import type { Counters } from './reporting/stats.js';
import type { OwnRuns } from './runs/own-runs.js';
import { RunEntries } from './runs/run-entries.js';
import type { CatchingUp } from './topics/catching-up.js';
import type { Topics } from './topics/topics.js';
import type { Turn } from './turn.js';

export interface DeliveryContext {
  readonly log: EventLog;
  readonly closedTopics: ClosedTopics;
  readonly topics: Topics<Followers>;
  readonly followers: AllFollowers;
  readonly turn: Turn;
  readonly delay: DeliveryDelay;
  readonly held: HeldClients;
  readonly counters: Counters;
  readonly logger: SSELogger;
  readonly envelopes: Envelopes;
  readonly groups: Groups;
  readonly runs: Runs;
  readonly own: OwnRuns;
  readonly onDelivered: () => void;
}

/**
 * The only entrance to local delivery: takes entries in log order, and hands each to those whom it concerns: the log, the
 * turn that writes it to clients, observers, groups.
 */
export class Delivery implements LogListener {
  /** Every event that has a topic, for observers of patterns. */
  readonly publications = new Subject<Readonly<SSEEvent>>();
  /** Observers that began in the past: each reads the log by itself. */
  readonly catchingUp = new Set<CatchingUp>();
  #ready = false;
  /**
   * On the log's clock; until something has been read, by this node's, for want of anything better. What a window has
   * from before, this hub has seen, or it was before its time.
   */
  #newsSince = Date.now();
  /** What was done to groups until then, this hub has done to its clients. */
  #doneUpTo = ORIGIN;
  #inbox: LogEntry[] = [];
  #delivering = false;
  readonly #runEntries: RunEntries;

  constructor(private readonly context: DeliveryContext) {
    const { log, closedTopics, runs, own } = context;
    const finish = (topic: string, position: Position): void => this.#finish(topic, position);
    this.#runEntries = new RunEntries({ log, closedTopics, runs, own, ready: () => this.#ready, finish });
  }

  /** Whether the window of the log is known. */
  get isReady(): boolean {
    return this.#ready;
  }

  begin(epoch: string, from: Position): void {
    const { log, closedTopics } = this.context;
    const again = log.epoch !== '';
    this.context.turn.flush();
    // Of a life that had nothing in it, that says nothing. Of a window that was not read to its end, not everything.
    if (again && log.last.ms > 0) this.#newsSince = Math.max(log.last.ms + 1, this.#ready ? 0 : this.#newsSince);
    if (this.#ready) this.#doneUpTo = log.last;
    this.#ready = false;
    this.context.delay.pause();
    log.begin(epoch, from);
    this.context.turn.restart();
    closedTopics.restart(from);
    this.#missRuns(from);
    if (!again) return;
    for (const observer of this.catchingUp) observer.beginAfter(this.#newsSince - 1);
    for (const client of this.context.followers.clients()) client.restart();
  }

  ready(): void {
    this.#ready = true;
    this.context.delay.resume();
    for (const observer of this.catchingUp) observer.read();
    for (const client of this.context.followers.clients()) {
      client.settle();
      this.context.turn.wake(client);
    }
  }

  skipped(count: number): void {
    this.context.counters.dropped += count;
  }

  warn(message: string): void {
    this.context.logger.warn(message);
  }

  deliver(entries: readonly LogEntry[]): void {
    // An observer that publishes gets here while its own event is still on its way: its turn comes after.
    if (this.#delivering) {
      for (const entry of entries) this.#inbox.push(entry);
      return;
    }
    this.#delivering = true;
    try {
      for (const entry of entries) this.#tryToDeliver(entry);
      for (let i = 0; i < this.#inbox.length; i++) this.#tryToDeliver(this.#inbox[i]!);
    } finally {
      if (this.#inbox.length > 0) this.#inbox = [];
      this.#delivering = false;
    }
    this.context.turn.schedule();
    this.context.onDelivered();
  }

  // Whatever goes wrong with one entry, the next ones are delivered.
  #tryToDeliver(entry: LogEntry): void {
    try {
      this.#deliverOne(entry);
    } catch (error) {
      this.#keepPlace(entry);
      this.context.logger.error(`Delivery of an entry failed: ${describe(error)}`);
    }
  }

  /** Its successor names it as its predecessor: without its place, everything before it would count as lost. */
  #keepPlace({ position, previous }: LogEntry): void {
    const { log, counters } = this.context;
    if (comparePositions(previous, log.last) !== 0) return;
    log.append(position, undefined);
    counters.dropped++;
  }

  #deliverOne({ epoch, position, previous, entry }: LogEntry): void {
    const { log, counters } = this.context;
    if (epoch !== log.epoch || comparePositions(position, log.last) <= 0) {
      counters.dropped++;
      return;
    }
    if (comparePositions(previous, log.last) !== 0) this.#skip(previous);
    switch (entry?.kind) {
      case undefined:
        log.append(position, undefined);
        counters.dropped++;
        break;
      case 'event':
        this.#deliverEvent(entry, position);
        break;
      case 'open':
      case 'close':
        this.#deliverMark(entry, position);
        break;
      case 'run':
      case 'endRun':
      case 'signOfRuns':
      case 'doubtRuns':
        this.#runEntries.deliver(entry, position);
        break;
      case 'removeGroup':
      case 'subscribeGroup':
      case 'unsubscribeGroup':
        log.append(position, undefined);
        this.#actOnGroup(entry, position);
        break;
      default:
        // Of a newer version, while nodes are being replaced: its place counts.
        log.append(position, undefined);
    }
    this.#releaseHeld();
  }

  #releaseHeld(): void {
    const { held, log, turn } = this.context;
    if (held.size === 0) return;
    for (const client of held.release(log.last)) turn.wake(client);
  }

  /**
   * Holds for all whom this node has let in, whatever cursor they came with: what a client says of itself decides nothing.
   * Those who came after it on a node that reads late are among them, and come back.
   */
  #actOnGroup(act: GroupAct, position: Position): void {
    if (this.#ready) this.context.groups.act(act);
    else if (comparePositions(position, this.#doneUpTo) > 0) this.context.groups.askAgain(act.group);
  }

  /** Entries before this one were never read: whoever follows something may have lost some. */
  #skip(previous: Position): void {
    // Their places have to be known: the hole lies behind them, and the turn's end would count it as passed.
    const { log, closedTopics, followers, turn } = this.context;
    turn.flush();
    for (const client of followers.clients()) client.takePosition();
    log.hole(previous);
    closedTopics.missed(previous);
    this.#missRuns(previous);
    for (const client of followers.clients()) turn.wake(client);
    // One of those entries may have removed a group, or had it follow something.
    this.context.groups.askAgain();
  }

  /** Some may have begun or ended in what was not read. */
  #missRuns(upTo: Position): void {
    const { runs, own } = this.context;
    runs.missed(own.node);
    own.missed(upTo);
  }

  #deliverEvent(entry: EventEntry, position: Position): void {
    const { log, closedTopics, counters, turn } = this.context;
    const isOfRun = entry.run !== undefined;
    const closed = entry.topic === undefined ? undefined : closedTopics.closedBy(entry.topic);
    if (isOfRun ? !this.#runEntries.takes(entry) : closed && !isPast(closed, entry)) {
      // Another node published it before it had read that the topic is closed, or its run over. No node delivers it.
      log.append(position, undefined);
      counters.dropped++;
      return;
    }
    const publication = new Publication(entry, position, log.epoch);
    turn.makeRoomFor(publication);
    const index = log.append(position, publication);
    counters.published++;
    if (closed) closedTopics.open(entry.topic!, index, position);
    turn.touch(entry.topic);
    if (this.#isNews(position)) this.#notifyObservers(publication);
    for (const observer of this.catchingUp) observer.read();
    turn.writeAtOnce(entry.topic, index);
  }

  /** Not what the retained window brings back: members who came after their group was removed must not be removed. */
  #isNews({ ms }: Position): boolean {
    return this.#ready || ms >= this.#newsSince;
  }

  #notifyObservers(publication: Publication): void {
    const { topic } = publication;
    if (topic === undefined) return;
    const subject = this.context.topics.get(topic)?.subject;
    if (!subject?.observed && !this.publications.observed) return;
    const envelope = this.context.envelopes.of(publication);
    // On every other node there is no request that it belongs to; on the publisher's it must be no different.
    inNoContext(() => {
      subject?.next(envelope);
      this.publications.next(envelope);
    });
  }

  #deliverMark({ kind, topic }: TopicEntry, position: Position): void {
    const { log, closedTopics } = this.context;
    // Nothing begins or ends with it: a topic that several close is closed once.
    if (closedTopics.isClosed(topic) === (kind === 'close')) {
      log.append(position, undefined);
      return;
    }
    if (kind === 'open') return closedTopics.open(topic, log.append(position, { kind, topic }), position);
    this.#finish(topic, position);
    this.#runEntries.closed(topic);
  }

  #finish(topic: string, position: Position): void {
    const { log, closedTopics } = this.context;
    closedTopics.close(topic, log.append(position, { kind: 'close', topic }), position);
    // What is before it leaves now, and nothing after the call that closed the topic.
    for (const { clients } of [...this.context.topics.followersOf(topic)]) {
      for (const client of clients) client.pump();
    }
  }
}

/**
 * Whether the event's publisher had let go of what closed its topic. Then it was right to publish, and its node decides:
 * what was accepted must not be dropped where more is retained.
 */
function isPast(closed: Position, { opens }: EventEntry): boolean {
  return opens !== undefined && comparePositions(closed, opens) <= 0;
}
