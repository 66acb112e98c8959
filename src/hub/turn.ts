import { setImmediate } from 'node:timers';

import type { EventLog } from '../log/event-log.js';
import { Publication } from '../log/publication.js';
import { Batch, type Frame } from '../protocol/frame.js';
import { inNoContext } from './callbacks.js';
import type { AllFollowers, Followers, InStep, Lane, Member, Shared } from './clients/followers.js';
import type { Envelopes } from './envelopes.js';
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
  /** Bytes. */
  readonly highWaterMark: number;
}

/** One turn of the event loop: what it publishes leaves at its end, in one write per client. */
export class Turn {
  /** Clients that have not got everything yet. */
  readonly behind = new Set<Member>();
  /** How many streams get every event within the call that published it. */
  clientsAtOnce = 0;
  #start = 0;
  /** The index behind the last event that was written at once. */
  #writtenAtOnce = 0;
  #scheduled = false;
  /** The topics of this turn's events; `undefined` stands for events to everybody. */
  #touched = new Set<string | undefined>();
  readonly #awake = new Set<Member>();
  /** Those who have got a part of this turn before its end. */
  readonly #early = new Set<Member>();

  constructor(private readonly context: TurnContext) {}

  /** The index of its first entry. */
  get start(): number {
    return this.#start;
  }

  /** What is before this index, all have passed who are not behind. */
  passedBy({ atOnce }: Member): number {
    return atOnce ? Math.max(this.#start, this.#writtenAtOnce) : this.#start;
  }

  /** Another epoch of the log has begun. */
  restart(): void {
    this.#start = this.context.log.head;
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
    for (const followers of this.#followersOf(topic)) this.#serve(followers, followers.atOnce, index, index + 1);
    this.#writtenAtOnce = index + 1;
  }

  /** Has the client pumped at the end of the turn. */
  wake(client: Member): void {
    this.#awake.add(client);
    this.schedule();
  }

  /** Has the client join those in step at the end of the turn. */
  joinLater(client: Member): void {
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
    let oldest = this.#start;
    for (const { next } of this.behind) oldest = Math.min(oldest, next);
    return oldest;
  }

  /** Lets go of what is over its limits, unless a client that keeps up still needs it. */
  prune(): void {
    // What this turn has published is still to be written.
    let keepFrom = Math.min(this.context.log.head, this.#start);
    for (const client of this.behind) if (client.keepsUp) keepFrom = Math.min(keepFrom, client.next);
    if (!this.context.log.prune(keepFrom)) this.schedule();
  }

  #finish(): void {
    this.#scheduled = false;
    // A filter may publish while this runs; that belongs to the next turn.
    const end = this.context.log.head;
    const touched = this.#touched;
    this.#touched = new Set();
    for (const followers of this.#followersOfAny(touched)) {
      this.#serve(followers, followers.atTurnEnd, this.#start, end);
    }
    this.#start = end;
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
  #serve(followers: Followers, { clients, inStep }: Lane, from: number, end: number): void {
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
