import { type LogItem, Publication } from '../../log/publication.js';
import { show } from '../../protocol/event.js';
import type { Frame } from '../../protocol/frame.js';
import type { Filter } from '../../sse.client.js';
import { takeIn } from '../callbacks.js';
import type { Following } from '../topics/following.js';
import type { ReaderContext, ReaderOwner } from './client-context.js';
import { Losses } from './losses.js';
import { type Merged, mergedFrom, type MergingReader } from './merging.js';
import { PrivateEvents, type PrivateFrame } from './private-events.js';
import type { Start } from './starting-place.js';
import { Subscriptions } from './subscriptions.js';

/** A step through the log: what to write, and where the client then is. */
export interface Reading {
  readonly frames: Frame[];
  /** Publications among the frames. */
  readonly events: number;
  readonly next: number;
  /** The stream is over behind these frames: its topics are finished, its time is up, its filter has failed. */
  readonly ending?: 'finished' | 'expired' | 'failed';
}

/**
 * One client's way through the log: the events that follow a place, for its topics. Live delivery, replay and catching up
 * are all the same reading, so nothing can get lost or doubled between them. What a client needs only now and then
 * (losses, filters, events for it alone) is made when it is first needed, because there are many readers.
 */
export class Reader {
  #losses: Losses | undefined;
  #subscriptions: Subscriptions | undefined;
  #privates: PrivateEvents | undefined;
  /** Events to everybody before this index are not for it, and of topics that were opened again only what came since. */
  #broadcastsFrom = 0;
  /** Of its run, events before this one are not for it. */
  #from: number | undefined;
  /** A node that is late still reads what is older than this, which is not for the client. */
  #notBefore: number | undefined;

  constructor(
    private readonly context: ReaderContext,
    private readonly client: ReaderOwner,
    private readonly filter: Filter | undefined,
    private following: Following,
  ) {
    // A clock that is ahead of the log's must not hide what is published from now on.
    const { notBefore, from, lastEventId } = client.settings;
    if (from !== undefined && from > 0 && lastEventId === '') this.#from = from;
    this.#notBefore = notBefore === undefined ? undefined : Math.min(notBefore, context.log.now);
  }

  /** Bytes of what waits for it alone. */
  get privateBytes(): number {
    return this.#privates?.bytes ?? 0;
  }

  /** Whether it has something to say to its client that is not in the log. */
  get hasOwn(): boolean {
    return this.#privates !== undefined || !(this.#losses?.isOver ?? true) || this.isFinished();
  }

  /** Whether it gets just what everybody who follows the same gets, until its time is up. */
  get plain(): boolean {
    const isUnlimited = this.#notBefore === undefined && this.#from === undefined;
    return !this.#privates && !this.#subscriptions && !this.filter && this.#isTold && isUnlimited;
  }

  /** Everything that it follows is closed, and stays so; up to this index, where more may follow that it has not read. */
  isFinished(upTo = Infinity): boolean {
    if (this.following.empty || this.following.hasPatterns) return false;
    for (const topic of this.following.topics) {
      const closedAt = this.context.closedTopics.closedAt(topic);
      if (closedAt < 0 || closedAt > upTo) return false;
    }
    return true;
  }

  begin(start: Start): void {
    this.#broadcastsFrom = start.broadcastsFrom ?? 0;
    this.#losses = new Losses(this.context, this.client, start);
  }

  /** Whether the cursor before `index` is one that the client may come back with: it has been told of every loss. */
  mayClaim(index: number): boolean {
    return index >= this.context.log.start && !this.#losses?.areUntold;
  }

  /** From now on it follows this. */
  follow(following: Following): void {
    this.following = following;
  }

  /** A name that counts from now on passes over something that the client expects. */
  noteLate(name: string): void {
    this.#lossesNow.note({ reason: 'late', names: [name] });
  }

  /** Names that count from a later place on than the others, and that place. */
  get late(): Iterable<readonly [string, number]> {
    return this.#subscriptions?.late ?? [];
  }

  /** Has a name count from this index on. */
  countFrom(name: string, index: number): void {
    (this.#subscriptions ??= new Subscriptions()).countFrom(name, index);
  }

  setFilter(name: string, filter: Filter | undefined): void {
    if (filter) this.#subscriptions ??= new Subscriptions();
    this.#subscriptions?.setFilter(name, filter);
    this.#letGoOfSubscriptions();
  }

  /** The name is followed no longer. */
  forget(name: string): void {
    this.#losses?.forget(name);
    this.#subscriptions?.delete(name);
    this.#letGoOfSubscriptions();
  }

  addPrivate(frame: PrivateFrame): void {
    (this.#privates ??= new PrivateEvents()).add(frame);
  }

  /** The same, before others that wait already. */
  addPrivateFirst(frames: readonly PrivateFrame[]): void {
    if (frames.length > 0) (this.#privates ??= new PrivateEvents()).addFirst(frames);
  }

  /** What has to be said before anything that is in the log, and where that is. */
  readDue(from: number): Omit<Reading, 'events'> {
    const { log } = this.context;
    const frames: Frame[] = [];
    let next = from;
    if (!this.#isTold) {
      next = this.following.firstIn(log, from);
      frames.push(...this.#tell(next));
    }
    while (this.#nextPrivate <= next) frames.push(this.#takePrivate(next));
    return { frames, next };
  }

  /** All that is for it alone: who follows nothing has nothing else to wait for. */
  readPrivates(index: number): Frame[] {
    const frames: Frame[] = [];
    while (this.#privates) frames.push(this.#takePrivate(index));
    return frames;
  }

  /** What follows `place`, until `limit` bytes are reached, the client is at the head, or its stream is over. */
  read(place: number, limit: number): Reading {
    const { log } = this.context;
    let evictions = -1;
    const frames: Frame[] = [];
    let events = 0;
    let size = 0;
    let index = place;
    const push = (frame: Frame): void => {
      frames.push(frame);
      size += frame.chunk.length;
    };
    while (size < limit) {
      // A filter may have published, and something that is still to come been evicted for it.
      const from = evictions === log.evictions ? index : this.#lookForLoss(index);
      evictions = log.evictions;
      if (!this.#isTold) {
        // It begins a reading of its own, behind what has left before.
        if (frames.length > 0) break;
        index = this.following.firstIn(log, from);
        for (const frame of this.#tell(index)) push(frame);
        continue;
      }
      // Nothing before the window is for it: there, no cursor could say where it is.
      index = Math.max(from, log.start);
      const next = this.following.nextIn(log, index);
      index = Math.max(index, Math.min(next, this.#nextPrivate));
      if (index >= this.#nextPrivate) {
        push(this.#takePrivate(index));
        continue;
      }
      if (index >= log.head) {
        if (this.isFinished()) return { frames, events, next: index, ending: 'finished' };
        const cursor = this.#losses?.cursorPast(index);
        if (cursor) push(cursor);
        return { frames, events, next: index };
      }
      const item = log.itemAt(index)!;
      const merged = this.#mergedFrom(item, index);
      if (merged) {
        for (const frame of merged.frames) push(frame);
        events += merged.events;
        index = merged.next;
        this.#losses?.givenAt(index - 1);
        continue;
      }
      const step = this.#stepFor(item, index);
      // It stays before what it must not have any more: whoever comes back with new rights gets that.
      if (step === 'expired') return { frames, events, next: index, ending: step };
      index++;
      if (step === 'skip') continue;
      if (typeof step === 'string') {
        if (step === 'failed') push(this.#lossesNow.reset(index, 'filter', [...this.following.names]));
        if (step === 'finished') frames.push(...this.readPrivates(index));
        return { frames, events, next: index, ending: step };
      }
      this.#losses?.givenAt(index);
      push(step);
      if (!(item instanceof Publication)) continue;
      events++;
      const cursorFrame = item.cursorFrame(this.client.control.named);
      if (cursorFrame) push(cursorFrame);
    }
    return { frames, events, next: index };
  }

  /** To be called when the client is at the head. */
  caughtUp(): void {
    this.#subscriptions?.caughtUp();
    this.#letGoOfSubscriptions();
    if (this.#losses?.isOver) this.#losses = undefined;
    if (this.context.log.last.ms >= (this.#notBefore ?? -Infinity)) this.#notBefore = undefined;
  }

  #stepFor(item: LogItem, index: number): Frame | 'skip' | 'finished' | 'expired' | 'failed' {
    if (!(item instanceof Publication)) return this.#markStep(item.kind, item.topic, index);
    if (this.#isAfterItsTime(item)) return 'expired';
    try {
      return this.#wants(item, index) ? item.frame : 'skip';
    } catch (error) {
      const { client } = this;
      client.origin.runInAsyncScope(() => this.context.reporter.filterFailed(client, error, item.topic));
      return 'failed';
    }
  }

  #isAfterItsTime({ position: { ms } }: Publication): boolean {
    const { expiresAt } = this.client.settings;
    return ms > expiresAt && this.context.log.timeOf(ms) > expiresAt;
  }

  /** What it is behind by, of neighbours that may be merged. Of what is of this turn, only what was there when it came. */
  #mergedFrom(first: LogItem, index: number): Merged | undefined {
    const { turn, merging } = this.context;
    const { client, following } = this;
    const { merge } = client.settings;
    if (!merge) return undefined;
    const end = Math.min(Math.max(turn.start, client.missedBefore), this.#nextPrivate);
    const reader: MergingReader = {
      following,
      merge,
      isPlain: this.plain && client.settings.expiresAt === Infinity,
      look: (publication, i) => {
        const step = this.#stepFor(publication, i);
        if (typeof step !== 'string') return 'take';
        return step === 'skip' ? 'skip' : 'stop';
      },
      call: (function_, chunks) => client.origin.runInAsyncScope(function_, undefined, chunks),
    };
    return mergedFrom(first, index, end, reader, merging);
  }

  #markStep(kind: 'close' | 'open', topic: string, index: number): Frame | 'skip' | 'finished' {
    const { log } = this.context;
    if (kind === 'open' || this.#isBeforeReopening(topic, index) || this.#namesAt(topic, index).length === 0) {
      return 'skip';
    }
    if (this.isFinished(index)) return 'finished';
    return this.client.control.closed(log.cursorBefore(index + 1), topic);
  }

  #wants(publication: Publication, index: number): boolean {
    const { topic } = publication;
    if (this.#isBeforeFrom(publication)) return false;
    if (publication.position.ms < (this.#notBefore ?? -Infinity)) return false;
    if (publication.excludes(this.client.id, this.client.group)) return false;
    if (topic === undefined) {
      return !this.following.empty && index >= this.#broadcastsFrom && this.#passes(this.filter, publication);
    }
    if (this.#isBeforeReopening(topic, index)) return false;
    const subscriptions = this.#subscriptions;
    if (!subscriptions) return this.following.follows(topic) && this.#passes(this.filter, publication);
    return (
      this.#namesAt(topic, index).some((name) => this.#passes(subscriptions.filterOf(name), publication)) &&
      this.#passes(this.filter, publication)
    );
  }

  #isBeforeFrom({ entry: { run, n = 0 } }: Publication): boolean {
    if (this.#from === undefined || run === undefined) return false;
    if (n < this.#from) return true;
    this.#from = undefined;
    return false;
  }

  /**
   * Who asks for what is new since some time gets of a topic that had been opened again only what came since. One that is
   * opened again while it reads takes nothing from it.
   */
  #isBeforeReopening(topic: string, index: number): boolean {
    const openedAt = this.context.closedTopics.openedAt(topic);
    return index < openedAt && openedAt < this.#broadcastsFrom;
  }

  #passes(filter: Filter | undefined, publication: Publication): boolean {
    if (!filter) return true;
    const event = this.context.envelopes.of(publication);
    // Not in that of whoever publishes: a filter that asks who the user is would answer for somebody else.
    const answer: unknown = this.client.origin.runInAsyncScope(filter, undefined, event);
    if (typeof answer === 'boolean') return answer;
    const shown = takeIn(answer) ? 'a promise' : show(answer);
    throw new TypeError(`it answered ${shown}, and has to answer true or false, at once`);
  }

  /** The names by which it follows the topic at this index. */
  #namesAt(topic: string, index: number): string[] {
    return this.following.namesFor(topic).filter((name) => (this.#subscriptions?.since(name) ?? 0) <= index);
  }

  /** The index before which the next frame leaves that is for it alone. */
  get #nextPrivate(): number {
    return this.#privates?.next ?? Infinity;
  }

  #takePrivate(index: number): Frame {
    const privates = this.#privates!;
    const frame = privates.take(index);
    if (privates.empty) this.#privates = undefined;
    return frame;
  }

  #letGoOfSubscriptions(): void {
    if (this.#subscriptions?.empty) this.#subscriptions = undefined;
  }

  get #isTold(): boolean {
    return this.#losses?.isTold(this.following) ?? true;
  }

  get #lossesNow(): Losses {
    return (this.#losses ??= new Losses(this.context, this.client));
  }

  #tell(index: number): Frame[] {
    return this.#lossesNow.tell(index, this.following, this.isFinished());
  }

  /** Cheap for a client that is ahead of all evictions. */
  #lookForLoss(index: number): number {
    if (this.context.log.newestFloor.index < index) return index;
    return this.#lossesNow.look(index, this.following, this.#subscriptions);
  }
}
