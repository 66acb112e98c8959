import { setImmediate } from 'node:timers';
import { setTimeout as delay } from 'node:timers/promises';

import { Subject } from 'rxjs';

import type { Backplane, LogEntry, LogListener } from '../backplane/backplane.js';
import type { ClosedTopics } from '../log/closed-topics.js';
import type { EventLog } from '../log/event-log.js';
import { Publication } from '../log/publication.js';
import { comparePositions, ORIGIN, type Position } from '../protocol/cursor.js';
import type { EventEntry, TopicEntry } from '../protocol/entry.js';
import type { SSEEvent } from '../protocol/event.js';
import { Batch, type Frame } from '../protocol/frame.js';
import { inNoContext } from './callbacks.js';
import type { Client, Shared } from './clients/client.js';
import type { Selection, Selections } from './clients/followers.js';
import type { InStep, Lane } from './clients/in-step.js';
import type { Envelopes } from './envelopes.js';
import type { GroupAct } from './groups.js';
import { describe, type SSELogger } from './reporting/logger.js';
import type { Counters } from './reporting/stats.js';
import type { Topics } from './topics/topics.js';

/** Milliseconds that catching up may take in one turn before others get theirs. */
const CATCH_UP_BUDGET = 10;
/** Milliseconds. */
const ASK_AGAIN_AFTER = 1_000;

export interface DeliveryContext {
  readonly log: EventLog;
  readonly closedTopics: ClosedTopics;
  readonly topics: Topics;
  readonly selections: Selections;
  readonly counters: Counters;
  readonly logger: SSELogger;
  readonly backplane: Backplane;
  readonly highWaterMark: number;
  readonly envelopes: Envelopes;
  readonly actOnGroup: (act: GroupAct) => void;
  /** What was done to this group, or to any, and whether its clients were open by then, nobody can tell. */
  readonly askGroupsAgain: (group?: string) => void;
  readonly onDelivered: () => void;
}

/**
 * The only entrance to local delivery: takes entries in log order, and lets what one turn of the event loop published
 * leave at its end, in one write per client.
 */
export class Delivery implements LogListener {
  /** Clients that have not got everything yet. */
  readonly behind = new Set<Client>();
  /** Every event that has a topic, for observers of patterns. */
  readonly publications = new Subject<Readonly<SSEEvent>>();
  /** Streams that get every event within the call that published it. */
  clientsAtOnce = 0;
  #ready = false;
  /**
   * On the log's clock; until something has been read, by this node's, for want of anything better. What a window has
   * from before, this hub has seen, or it was before its time.
   */
  #newsSince = Date.now();
  /** What was done to groups until then, this hub has done to its clients. */
  #doneUpTo = ORIGIN;
  #turnStart = 0;
  /** The index behind the last event that was written at once. */
  #writtenAtOnce = 0;
  #inbox: LogEntry[] = [];
  #delivering = false;
  #scheduled = false;
  /** The topics of this turn's events; `undefined` stands for events to everybody. */
  #touched = new Set<string | undefined>();
  readonly #awake = new Set<Client>();
  /** Those who have got a part of this turn before its end. */
  readonly #early = new Set<Client>();
  readonly #held = new Map<Client, Position>();
  /** Those of them that have come since the log was last asked for its end. */
  readonly #unasked = new Set<Client>();
  #asking = false;
  /** That the log's end cannot be read has been said. */
  #endIsUnknown = false;

  constructor(private readonly context: DeliveryContext) {}

  /** Whether the window of the log is known. */
  get isReady(): boolean {
    return this.#ready;
  }

  /** The index of the first entry of this turn. Whoever is not behind has passed everything before it. */
  get turnStart(): number {
    return this.#turnStart;
  }

  /** What is before this index, all have passed who are not behind. */
  passedBy({ atOnce }: { readonly atOnce: boolean }): number {
    return atOnce ? Math.max(this.#turnStart, this.#writtenAtOnce) : this.#turnStart;
  }

  begin(epoch: string, from: Position): void {
    const { log, closedTopics } = this.context;
    const again = log.epoch !== '';
    // Of a life that had nothing in it, that says nothing. Of a window that was not read to its end, not everything.
    if (again && log.last.ms > 0) this.#newsSince = Math.max(log.last.ms + 1, this.#ready ? 0 : this.#newsSince);
    if (this.#ready) this.#doneUpTo = log.last;
    this.#ready = false;
    log.begin(epoch, from);
    this.#turnStart = log.head;
    this.#touched = new Set();
    closedTopics.begin(from);
    if (!again) return;
    this.#forEachClient((client) => client.restart());
  }

  ready(): void {
    this.#ready = true;
    this.#forEachClient((client) => {
      client.settle();
      this.wake(client);
    });
  }

  skipped(count: number): void {
    this.context.counters.dropped += count;
  }

  warn(message: string): void {
    this.context.logger.warn(message);
  }

  deliver(entries: readonly LogEntry[]): void {
    for (const entry of entries) this.#inbox.push(entry);
    // An observer that publishes gets here while its own event is still on its way: its turn comes after.
    if (this.#delivering) return;
    this.#delivering = true;
    try {
      for (let i = 0; i < this.#inbox.length; i++) this.#tryToDeliver(this.#inbox[i]!);
    } finally {
      this.#inbox = [];
      this.#delivering = false;
    }
    this.schedule();
    this.context.onDelivered();
  }

  /** Has the client pumped at the end of the turn. */
  wake(client: Client): void {
    this.#awake.add(client);
    this.schedule();
  }

  /** Has the client join those in step at the end of the turn. */
  joinLater(client: Client): void {
    this.#early.add(client);
    this.schedule();
  }

  /** Keeps a client waiting whose cursor is beyond what this node has read. */
  holdUntil(client: Client, position: Position): void {
    if (this.#held.has(client)) return;
    this.#held.set(client, position);
    this.#unasked.add(client);
    void this.#askForEnd();
  }

  forget(client: Client): void {
    this.behind.delete(client);
    this.#awake.delete(client);
    this.#early.delete(client);
    this.#held.delete(client);
    this.#unasked.delete(client);
  }

  /** What is before this index, no client has yet to pass. */
  get oldestPlace(): number {
    let oldest = this.#turnStart;
    for (const { next } of this.behind) oldest = Math.min(oldest, next);
    return oldest;
  }

  /** Lets go of what is over its limits, unless a client that keeps up still needs it. */
  prune(): void {
    // What this turn has published is still to be written.
    let keepFrom = Math.min(this.context.log.head, this.#turnStart);
    for (const client of this.behind) if (client.keepsUp) keepFrom = Math.min(keepFrom, client.next);
    this.context.log.prune(keepFrom);
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
    if (this.#held.size > 0) this.#releaseHeld();
  }

  /**
   * Holds for all whom this node has let in, whatever cursor they came with: what a client says of itself decides nothing.
   * Those who came after it on a node that reads late are among them, and come back.
   */
  #actOnGroup(act: GroupAct, position: Position): void {
    if (this.#ready) this.context.actOnGroup(act);
    else if (comparePositions(position, this.#doneUpTo) > 0) this.context.askGroupsAgain(act.group);
  }

  /** Entries before this one were never read: whoever follows something may have lost some. */
  #skip(previous: Position): void {
    // Their places have to be known: the hole lies behind them, and the turn's end would count it as passed.
    this.#forEachClient((client) => client.takePosition());
    this.context.log.hole(previous);
    this.context.closedTopics.missed(previous);
    this.#forEachClient((client) => this.wake(client));
    // One of those entries may have removed a group, or had it follow something.
    this.context.askGroupsAgain();
  }

  #deliverEvent(entry: EventEntry, position: Position): void {
    const { log, closedTopics, counters } = this.context;
    const closed = entry.topic === undefined ? undefined : closedTopics.closedBy(entry.topic);
    if (closed && !isPast(closed, entry)) {
      // Another node published it before it had read that the topic is closed. No node delivers it.
      log.append(position, undefined);
      counters.dropped++;
      return;
    }
    const publication = new Publication(entry, position, log.epoch);
    const index = log.append(position, publication);
    counters.published++;
    if (closed) closedTopics.open(entry.topic!, index, position);
    this.#touched.add(entry.topic);
    if (this.#isNews(position)) this.#notifyObservers(publication);
    if (this.clientsAtOnce > 0) this.#deliverAtOnce(entry.topic, index);
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
    const index = log.append(position, { kind, topic });
    if (kind === 'open') return closedTopics.open(topic, index, position);
    closedTopics.close(topic, index, position);
    // What is before it leaves now, and nothing after the call that closed the topic.
    for (const selection of [...this.context.topics.followersOf(topic)]) {
      for (const client of selection.clients) client.pump();
    }
  }

  #deliverAtOnce(topic: string | undefined, index: number): void {
    this.#writtenAtOnce = index;
    for (const selection of this.#followersOf(topic)) this.#serve(selection, selection.atOnce, index, index + 1);
    this.#writtenAtOnce = index + 1;
  }

  #followersOf(topic: string | undefined): Iterable<Selection> {
    return topic === undefined ? this.context.selections : this.context.topics.followersOf(topic);
  }

  /** Has the turn come to its end. */
  schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    inNoContext(() => setImmediate(() => this.#flush()));
  }

  /** The end of a turn. */
  #flush(): void {
    this.#scheduled = false;
    // A filter may publish while this runs; that belongs to the next turn.
    const end = this.context.log.head;
    const touched = this.#touched;
    this.#touched = new Set();
    for (const selection of this.#followersOfAny(touched)) {
      this.#serve(selection, selection.atTurnEnd, this.#turnStart, end);
    }
    this.#turnStart = end;
    this.#gatherEarly();
    const deadline = performance.now() + CATCH_UP_BUDGET;
    for (const client of this.#awake) {
      this.#awake.delete(client);
      client.pump();
      if (performance.now() > deadline) break;
    }
    this.context.envelopes.clear();
    if (this.#awake.size > 0) this.schedule();
    this.prune();
  }

  #gatherEarly(): void {
    const early = [...this.#early];
    this.#early.clear();
    for (const client of early) client.joinStep();
  }

  #followersOfAny(topics: Iterable<string | undefined>): Set<Selection> {
    const followers = new Set<Selection>();
    for (const topic of topics) {
      for (const selection of this.#followersOf(topic)) followers.add(selection);
    }
    return followers;
  }

  /** Gives those in step what follows `from` in one write, and has the others read it for themselves. */
  #serve(selection: Selection, { clients, inStep }: Lane, from: number, end: number): void {
    const shared = inStep.size > 0 ? this.#share(selection, from, end) : undefined;
    if (shared) this.#writeShared(inStep, shared);
    if (shared && inStep.size === clients.size) return;
    for (const client of clients) if (!client.hasPassed(end)) client.pump();
  }

  #writeShared(inStep: InStep, shared: Shared & { ms: number }): void {
    const { counters } = this.context;
    const ms = shared.ms > inStep.until ? this.context.log.timeOf(shared.ms) : shared.ms;
    if (ms > inStep.until) inStep.expire(ms);
    for (const client of inStep) {
      // Whoever comes while this runs has got it already.
      if (client.hasPassed(shared.place.next)) continue;
      counters.delivered += shared.events;
      counters.bytes += shared.batch.size;
      client.writeShared(shared);
    }
  }

  /**
   * What follows `from` as one write for everybody in step, or `undefined` when each has to read it for itself. It gives
   * what the own reading of each of them would give: the same walk through the log, without what only some get.
   */
  #share(selection: Selection, from: number, end: number): (Shared & { ms: number }) | undefined {
    const { log, highWaterMark } = this.context;
    // Some of it is gone already: each client finds out for itself what that means for it.
    if (log.newestFloor.index >= from) return undefined;
    const frames: Frame[] = [];
    let size = 0;
    let events = 0;
    let last: Publication | undefined;
    for (let index = selection.nextIn(log, from); index < end; index = selection.nextIn(log, index + 1)) {
      const item = log.itemAt(index)!;
      if (!selection.concerns(item)) continue;
      if (!(item instanceof Publication) || !item.unrestricted) return undefined;
      events++;
      frames.push(item.frame);
      size += item.frame.chunk.length;
      const cursorFrame = item.cursorFrame(selection.named);
      if (cursorFrame) frames.push(cursorFrame);
      last = item;
      if (size > highWaterMark && frames.length > 1) return undefined;
    }
    if (!last) return undefined;
    const at = performance.now();
    const batch = new Batch(frames, selection.compressedReaders);
    const place = { next: end, cursor: last.cursor, at, eventAt: at };
    return { place, batch, events, ms: last.position.ms };
  }

  #forEachClient(act: (client: Client) => void): void {
    const { selections } = this.context;
    for (const selection of [selections.empty, ...selections]) for (const client of selection.clients) act(client);
  }

  #releaseHeld(): void {
    const { last } = this.context.log;
    for (const [client, position] of this.#held) {
      if (comparePositions(position, last) > 0) continue;
      this.#held.delete(client);
      this.wake(client);
    }
  }

  /** The log is asked for its own end once for all who wait: a cursor beyond it belongs to another history. */
  async #askForEnd(): Promise<void> {
    if (this.#asking) return;
    this.#asking = true;
    try {
      while (this.#unasked.size > 0) {
        const waiting = [...this.#unasked];
        this.#unasked.clear();
        this.#judge(waiting, await this.#endOfLog(waiting));
      }
    } finally {
      this.#asking = false;
    }
  }

  async #endOfLog(waiting: readonly Client[]): Promise<Position | undefined> {
    try {
      const end = await this.context.backplane.end();
      this.#endIsUnknown = false;
      return end;
    } catch (error) {
      if (!this.#endIsUnknown) {
        this.context.logger.warn(
          `The end of the log cannot be read; clients ahead of this node wait: ${describe(error)}`,
        );
      }
      this.#endIsUnknown = true;
      await delay(ASK_AGAIN_AFTER, undefined, { ref: false });
      for (const client of waiting) if (this.#held.has(client)) this.#unasked.add(client);
      return undefined;
    }
  }

  #judge(waiting: readonly Client[], end: Position | undefined): void {
    if (!end) return;
    for (const client of waiting) {
      const position = this.#held.get(client);
      if (!position || comparePositions(position, end) <= 0) continue;
      this.#held.delete(client);
      client.startDiverged();
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
