import { setImmediate } from 'node:timers';

import type { EventLog } from '../log/event-log.js';
import { type LogItem, Publication } from '../log/publication.js';
import { Batch, type Frame } from '../protocol/frame.js';
import { inNoContext } from './callbacks.js';
import type { AllFollowers, Followers, InStep, Lane, Member, Shared } from './clients/followers.js';
import type { DeliveryDelay } from './delay.js';
import type { Envelopes } from './envelopes.js';
import { Pace, type TurnBeginning } from './pace.js';
import type { Counters } from './reporting/stats.js';
import type { Topics } from './topics/topics.js';

/** Milliseconds that catching up may take in one turn before others get theirs. */
const CATCH_UP_BUDGET = 10;

export interface TurnContext {
  readonly log: EventLog;
  readonly topics: Topics<Followers>;
  readonly followers: AllFollowers;
  readonly counters: Counters;
  readonly envelopes: Envelopes;
  readonly delay: DeliveryDelay;
  /** Bytes. */
  readonly highWaterMark: number;
  /** Milliseconds between two writes to a client, by the topic of what waits; none: each turn is written at its end. */
  readonly flushIntervalOf: ((topic: string | undefined) => number) | undefined;
}

/** One turn of the event loop: what it publishes leaves at its end, in one write per client. */
export class Turn implements TurnBeginning {
  /** Clients that have not got everything yet. */
  readonly behind = new Set<Member>();
  /** How many streams get every event within the call that published it. */
  clientsAtOnce = 0;
  #start = 0;
  #bytesBefore = 0;
  /** The index behind the last event that was written at once. */
  #writtenAtOnce = 0;
  #scheduled = false;
  /** The topics of this turn's events; `undefined` stands for events to everybody. */
  #touched = new Set<string | undefined>();
  readonly #awake = new Set<Member>();
  /** Those who have got a part of this turn before its end. */
  readonly #early = new Set<Member>();
  /** None: each turn is written at its end. */
  readonly pace: Pace | undefined;

  constructor(private readonly context: TurnContext) {
    const { flushIntervalOf } = context;
    this.pace = flushIntervalOf && new Pace(flushIntervalOf, () => this.schedule());
  }

  /** The index of its first entry. */
  get start(): number {
    return this.#start;
  }

  get bytesBefore(): number {
    return this.#bytesBefore;
  }

  /** What is before this index, all of its lane have passed who are not behind. */
  passedBy(client: Member): number {
    const { wait } = client.followers.laneOf(client);
    if (wait) return wait.from;
    return client.atOnce ? Math.max(this.#start, this.#writtenAtOnce) : this.#start;
  }

  /** Whether a client at this index has got a part of what others of its lane are still to be given together. */
  isPartlyGiven(client: Member, next: number): boolean {
    const { wait } = client.followers.laneOf(client);
    return wait ? next > wait.from : !client.atOnce && next > this.#start;
  }

  /** Another epoch of the log has begun. */
  restart(): void {
    this.#begin(this.context.log.head, this.context.log.bytesAdded);
    this.#touched = new Set();
  }

  /** An event on this topic, or to everybody, is in the log. */
  touch(topic: string | undefined): void {
    this.#touched.add(topic);
  }

  /** Writes it to those who get it within this call. */
  writeAtOnce(topic: string | undefined, index: number): void {
    if (this.clientsAtOnce === 0) return;
    this.#writtenAtOnce = index;
    const interval = this.pace?.intervalOf(topic);
    for (const followers of this.#followersOf(topic)) {
      if (interval === undefined) this.#serve(followers, followers.atOnce, index, index + 1);
      else this.#serveInPace(followers, followers.atOnce, interval, index, index + 1);
    }
    this.#writtenAtOnce = index + 1;
  }

  /** Writes what waits for its interval now: the log is about to lose it. Of the present turn, nothing is written. */
  flush(): void {
    for (const { followers, lane } of this.pace?.waits ?? []) this.#flush(followers, lane, this.#start, this.#start);
  }

  /** Waiting costs nobody an event: what the log would have to let go of for this one leaves before. */
  makeRoomFor(item: LogItem): void {
    const oldest = this.pace?.oldest;
    if (oldest && !this.context.log.holdsAllSince(oldest.bytesBefore, item)) this.flush();
  }

  stop(): void {
    this.pace?.stop();
  }

  /** Has the client pumped at the end of the turn. */
  wake(client: Member): void {
    this.#awake.add(client);
    this.schedule();
  }

  /** Whether it is pumped at the end of the turn. */
  isAwake(client: Member): boolean {
    return this.#awake.has(client);
  }

  /** Has the client join those in step at the end of the turn, or of what they wait for. */
  joinLater(client: Member): void {
    if (client.followers.laneOf(client).wait) return;
    this.#early.add(client);
    this.schedule();
  }

  forget(client: Member): void {
    this.#awake.delete(client);
    this.#early.delete(client);
  }

  /** Has the turn come to its end. */
  schedule(): void {
    if (this.#scheduled) return;
    this.#scheduled = true;
    inNoContext(() => setImmediate(() => this.#finish()));
  }

  /** What is before this index, no client has yet to pass. */
  get oldestPlace(): number {
    let oldest = this.#unwrittenFrom;
    for (const { next } of this.behind) oldest = Math.min(oldest, next);
    return oldest;
  }

  /** Lets go of what is over its limits, unless a client that keeps up still needs it. */
  prune(): void {
    let keepFrom = Math.min(this.context.log.head, this.#unwrittenFrom);
    for (const client of this.behind) if (client.keepsUp) keepFrom = Math.min(keepFrom, client.next);
    if (!this.context.log.prune(keepFrom)) this.schedule();
  }

  /** What this turn has published is still to be written, and what waits for its interval. */
  get #unwrittenFrom(): number {
    return this.pace?.oldest?.start ?? this.#start;
  }

  #begin(start: number, bytesBefore: number): void {
    this.#start = start;
    this.#bytesBefore = bytesBefore;
  }

  #finish(): void {
    this.#scheduled = false;
    // A filter may publish while this runs; that belongs to the next turn.
    const { head: end, bytesAdded } = this.context.log;
    const touched = this.#touched;
    this.#touched = new Set();
    if (this.pace) {
      this.#finishInPace(this.pace, touched, end);
    } else {
      for (const followers of this.#followersOfAny(touched)) {
        this.#serve(followers, followers.atTurnEnd, this.#start, end);
      }
    }
    this.context.delay.tell();
    this.#begin(end, bytesAdded);
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

  #finishInPace(pace: Pace, touched: Iterable<string | undefined>, end: number): void {
    const intervals = new Map<Followers, number>();
    for (const topic of touched) {
      const interval = pace.intervalOf(topic);
      for (const followers of this.#followersOf(topic)) {
        intervals.set(followers, Math.min(interval, intervals.get(followers) ?? Infinity));
      }
    }
    for (const [followers, interval] of intervals) {
      this.#serveInPace(followers, followers.atTurnEnd, interval, this.#start, end);
    }
    for (const wait of pace.over) if (wait.lane.wait === wait) this.#flush(wait.followers, wait.lane, this.#start, end);
  }

  /** Gives the lane what follows `from`, now or when its interval is over. */
  #serveInPace(followers: Followers, lane: Lane, interval: number, from: number, end: number): void {
    if (lane.clients.size === 0 || this.pace!.holds(followers, lane, interval, from, this)) return;
    this.#flush(followers, lane, from, end);
  }

  /** Gives the lane what follows `from`, and what it has waited for. */
  #flush(followers: Followers, lane: Lane, from: number, end: number): void {
    const pace = this.pace!;
    const { wait } = lane;
    pace.end(lane);
    // Whoever is written to at once may publish, or end, in the midst of several events; only its own reading bears that.
    this.context.delay.note(followers, lane, wait?.from ?? from, end);
    if (wait && lane === followers.atOnce) for (const client of lane.clients) client.pump();
    else this.#serve(followers, lane, wait?.from ?? from, end);
    pace.wrote(lane, wait);
    // Those who had got a part of it, for whatever reason, have the rest.
    if (wait && lane.inStep.size < lane.clients.size) for (const client of lane.clients) client.joinStep();
  }

  #gatherEarly(): void {
    const early = [...this.#early];
    this.#early.clear();
    for (const client of early) client.joinStep();
  }

  #followersOf(topic: string | undefined): Iterable<Followers> {
    return topic === undefined ? this.context.followers : this.context.topics.followersOf(topic);
  }

  #followersOfAny(topics: Iterable<string | undefined>): Set<Followers> {
    const all = new Set<Followers>();
    for (const topic of topics) {
      for (const followers of this.#followersOf(topic)) all.add(followers);
    }
    return all;
  }

  /** Gives those in step what follows `from` in one write, and has the others read it for themselves. */
  #serve(followers: Followers, lane: Lane, from: number, end: number): void {
    const { clients, inStep } = lane;
    this.context.delay.note(followers, lane, from, end);
    const shared = inStep.size > 0 ? this.#share(followers, from, end) : undefined;
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
  #share(
    { following, named, compressedReaders }: Followers,
    from: number,
    end: number,
  ): (Shared & { ms: number }) | undefined {
    const { log, highWaterMark } = this.context;
    // Some of it is gone already: each client finds out for itself what that means for it.
    if (log.newestFloor.index >= from) return undefined;
    const frames: Frame[] = [];
    let size = 0;
    let events = 0;
    let last: Publication | undefined;
    for (let index = following.nextIn(log, from); index < end; index = following.nextIn(log, index + 1)) {
      const item = log.itemAt(index)!;
      if (!following.concerns(item)) continue;
      if (!(item instanceof Publication) || !item.unrestricted) return undefined;
      events++;
      frames.push(item.frame);
      size += item.frame.chunk.length;
      const cursorFrame = item.cursorFrame(named);
      if (cursorFrame) frames.push(cursorFrame);
      last = item;
      if (size > highWaterMark && frames.length > 1) return undefined;
    }
    if (!last) return undefined;
    const at = performance.now();
    const batch = new Batch(frames, compressedReaders);
    const place = { next: end, cursor: last.cursor, at, eventAt: at };
    return { place, batch, events, ms: last.position.ms };
  }
}
