import type { AsyncResource } from 'node:async_hooks';
import { Filter } from '../../sse.client.js';

import type { ClosedTopics } from '../../log/closed-topics.js';
import type { EventLog } from '../../log/event-log.js';
import type { Floor } from '../../log/history.js';
import type { LogItem } from '../../log/publication.js';
import { Publication } from '../../log/publication.js';
import { show } from '../../protocol/event.js';
import type { Frame } from '../../protocol/frame.js';
import type { ResetReason, SSEClient } from '../../sse.client.js';
import { type OnGap } from '../../sse.client.js';
import { takeIn } from '../callbacks.js';
import type { Envelopes } from '../envelopes.js';
import type { Reporter } from '../reporting/reporter.js';
import type { ControlFrames } from './control-frames.js';
import type { Selection } from './followers.js';
import { type Loss, lossOf, type Start } from './start.js';

/** A frame for this client alone. It leaves after everything before index `after`, and carries the client's cursor. */
export interface PrivateFrame {
  readonly after: number;
  readonly size: number;
  /** Given the index of the first entry that the client has not passed. */
  readonly make: (index: number) => Frame;
}

/** A step through the log: what to write, and where the client then is. */
export interface Reading {
  readonly frames: Frame[];
  /** Publications among the frames. */
  readonly events: number;
  readonly next: number;
  /** The stream is over behind these frames: its topics are finished, its time is up, its filter has failed. */
  readonly ending?: 'finished' | 'expired' | 'error';
}

/** What all readers of a hub share. */
export interface ReaderContext {
  readonly log: EventLog;
  readonly closedTopics: ClosedTopics;
  readonly reporter: Reporter;
  readonly envelopes: Envelopes;
}

/** Whose reader it is. */
interface Owner extends SSEClient {
  /** The asynchronous context that it came in: its own request's. */
  readonly origin: AsyncResource;
  readonly expiresAt: number;
  readonly notBefore: number | undefined;
  readonly onGap: OnGap;
  readonly control: ControlFrames;
  /** A cursor to come back with, for somebody who has everything before `index`. */
  cursorAt(index: number): string;
}

/** Most readers never need theirs, and there are many readers. */
const NOTHING: readonly never[] = Object.freeze([]);

/**
 * One client's way through the log: the events that follow its position, for its topics. Live delivery, replay and
 * catching up are all the same reading, so nothing can get lost or doubled between them.
 */
export class Reader {
  selection: Selection;
  /** What is lost, until the client has been told: which is before anything else. */
  #untold: Loss | undefined;
  /** What so many evictions of the log took has been told, or was never asked for. */
  #toldEvictions = -1;
  /** What it was told of lies up to here, and it was given no cursor behind that; -1 when it was. */
  #toldUpTo = -1;
  /** From where on it has to be told which of its topics were closed in what it does not get; until it has been told. */
  #closesUntoldFrom = Infinity;
  #broadcastsFrom = 0;
  /** A node that is late still reads what is older than this, which is not for the client. */
  #notBefore: number | undefined;
  #late: Map<string, number> | undefined;
  #filters: Map<string, Filter> | undefined;
  #privates: readonly PrivateFrame[] = NOTHING;
  /** So many of them have been read. */
  #privatesRead = 0;
  #privateSize = 0;

  constructor(
    private readonly context: ReaderContext,
    private readonly client: Owner,
    private readonly filter: Filter | undefined,
    selection: Selection,
  ) {
    this.selection = selection;
    // A clock that is ahead of the log's must not hide what is published from now on.
    const { notBefore } = client;
    this.#notBefore = notBefore === undefined ? undefined : Math.min(notBefore, context.log.now);
  }

  /** Bytes of private frames that wait. */
  get privateSize(): number {
    return this.#privateSize;
  }

  /** Whether it gets just what everybody with its selection gets, until its time is up. */
  get plain(): boolean {
    return (
      this.#privates.length === 0 &&
      this.#late === undefined &&
      this.#filters === undefined &&
      this.filter === undefined &&
      this.#isTold &&
      this.#notBefore === undefined
    );
  }

  /** Everything that it follows is closed. */
  get finished(): boolean {
    return this.#isFinished();
  }

  begin({ resumed, loss, anew, broadcastsFrom = 0 }: Start): void {
    this.#untold = loss;
    this.#broadcastsFrom = broadcastsFrom;
    this.#toldEvictions = anew ? this.context.log.evictions : -1;
    // Whoever comes anew learns which of its topics have been finished before; who resumes has been told.
    this.#closesUntoldFrom = resumed === 'full' ? Infinity : 0;
  }

  /** Whether the cursor before `index` is one that the client may come back with: it has been told of every loss. */
  mayClaim(index: number): boolean {
    return index >= this.context.log.start && !this.#untold;
  }

  /** A name that counts from now on passes over something that the client expects. */
  noteLate(name: string): void {
    this.#note({ reason: 'late', names: [name] });
  }

  /** Names that count from a later place on than the others, and that place. */
  get late(): Iterable<readonly [string, number]> {
    return this.#late ?? NOTHING;
  }

  /** Adds a name that counts from `from` on. */
  addLate(name: string, from: number): void {
    (this.#late ??= new Map()).set(name, from);
  }

  setFilter(name: string, filter: Filter | undefined): void {
    if (filter) (this.#filters ??= new Map()).set(name, filter);
    else this.#filters?.delete(name);
    if (this.#filters?.size === 0) this.#filters = undefined;
  }

  forget(name: string): void {
    this.#late?.delete(name);
    if (this.#untold) this.#untold = withoutName(this.#untold, name);
    this.setFilter(name, undefined);
  }

  addPrivate(frame: PrivateFrame): void {
    this.#privates = [...this.#privates.slice(this.#privatesRead), frame];
    this.#privatesRead = 0;
    this.#privateSize += frame.size;
  }

  /** The same, before others that wait already. */
  addPrivateFirst(frames: readonly PrivateFrame[]): void {
    this.#privates = [...frames, ...this.#privates.slice(this.#privatesRead)];
    this.#privatesRead = 0;
    for (const { size } of frames) this.#privateSize += size;
  }

  /** What has to be said before anything that is in the log, and where that is. Who follows nothing waits for nothing else. */
  readDue(from: number, following: boolean): Omit<Reading, 'events'> {
    if (!following) return { frames: this.readPrivates(from), next: from };
    const frames: Frame[] = [];
    let next = from;
    if (!this.#isTold) {
      next = this.selection.firstIn(this.context.log, from);
      frames.push(...this.#tell(next));
    }
    while (this.#nextPrivate() <= next) frames.push(this.#takePrivate(next));
    return { frames, next };
  }

  /** All that is for it alone: who follows nothing has nothing else to wait for. */
  readPrivates(index: number): Frame[] {
    const due = this.#privates.slice(this.#privatesRead);
    this.#privates = NOTHING;
    this.#privatesRead = 0;
    this.#privateSize = 0;
    return due.map(({ make }) => make(index));
  }

  /** What comes next, until `limit` bytes are reached, the client is at the head, or its stream is over. */
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
        index = this.selection.firstIn(log, from);
        for (const frame of this.#tell(index)) push(frame);
        continue;
      }
      // Nothing before the window is for it: there, no cursor could say where it is.
      index = Math.max(from, log.start);
      const next = this.selection.nextIn(log, index);
      index = Math.max(index, Math.min(next, this.#nextPrivate()));
      if (index >= this.#nextPrivate()) {
        push(this.#takePrivate(index));
        continue;
      }
      if (index >= log.head) {
        if (this.#isFinished()) return { frames, events, next: index, ending: 'finished' };
        // Nothing else may take its cursor past what it was told: it would be told with every connection.
        if (this.#toldUpTo >= 0) push(this.client.control.cursor(this.client.cursorAt(index)));
        this.#toldUpTo = -1;
        return { frames, events, next: index };
      }
      const item = log.itemAt(index)!;
      const step = this.#stepFor(item, index);
      // It stays before what it must not have any more: whoever comes back with new rights gets that.
      if (step === 'expired') return { frames, events, next: index, ending: step };
      index++;
      if (step === 'skip') continue;
      if (typeof step === 'string') {
        if (step === 'error') push(this.#resetAt(index, 'filter'));
        if (step === 'finished') frames.push(...this.readPrivates(index));
        return { frames, events, next: index, ending: step };
      }
      if (index > this.#toldUpTo) this.#toldUpTo = -1;
      push(step);
      if (!(item instanceof Publication)) continue;
      events++;
      const cursorFrame = item.cursorFrame(this.client.control.named);
      if (cursorFrame) push(cursorFrame);
    }
    return { frames, events, next: index };
  }

  /** To be called when the client is at the head: what counted from some earlier place has no meaning any more. */
  caughtUp(): void {
    this.#late = undefined;
    if (this.context.log.last.ms >= (this.#notBefore ?? -Infinity)) this.#notBefore = undefined;
  }

  #stepFor(item: LogItem, index: number): Frame | 'skip' | 'finished' | 'expired' | 'error' {
    if (!(item instanceof Publication)) return this.#markStep(item.kind, item.topic, index);
    if (this.#isAfterItsTime(item)) return 'expired';
    try {
      return this.#wants(item, index) ? item.frame : 'skip';
    } catch (error) {
      const { client } = this;
      client.origin.runInAsyncScope(() => this.context.reporter.filterFailed(client, error, item.topic));
      return 'error';
    }
  }

  #isAfterItsTime({ position: { ms } }: Publication): boolean {
    const { expiresAt } = this.client;
    return ms > expiresAt && this.context.log.timeOf(ms) > expiresAt;
  }

  #markStep(kind: 'close' | 'open', topic: string, index: number): Frame | 'skip' | 'finished' {
    const { log } = this.context;
    if (kind === 'open' || this.#isFormerLife(topic, index) || !this.#followedSince(topic, index)) return 'skip';
    if (this.#isFinished(index)) return 'finished';
    return this.client.control.closed(log.cursorBefore(index + 1), topic);
  }

  #wants(publication: Publication, index: number): boolean {
    const { topic } = publication;
    if (publication.position.ms < (this.#notBefore ?? -Infinity)) return false;
    if (publication.excludes(this.client.id, this.client.group)) return false;
    if (topic === undefined) {
      return !this.selection.empty && index >= this.#broadcastsFrom && this.#passes(this.filter, publication);
    }
    if (this.#isFormerLife(topic, index)) return false;
    if (!this.#late && !this.#filters) {
      return this.selection.follows(topic) && this.#passes(this.filter, publication);
    }
    return (
      this.#namesAt(topic, index).some((name) => this.#passes(this.#filters?.get(name), publication)) &&
      this.#passes(this.filter, publication)
    );
  }

  /** Who asks for what is new since some time gets the present life of a topic that was started over. */
  #isFormerLife(topic: string, index: number): boolean {
    return index < this.#broadcastsFrom && index < this.context.closedTopics.openedAt(topic);
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

  #followedSince(topic: string, index: number): boolean {
    return this.#namesAt(topic, index).length > 0;
  }

  #namesAt(topic: string, index: number): string[] {
    return this.selection.namesFor(topic).filter((name) => (this.#late?.get(name) ?? 0) <= index);
  }

  /** Everything it follows is closed, and stays so; up to this index, where more may follow that it has not read. */
  #isFinished(upTo = Infinity): boolean {
    if (this.selection.empty || this.selection.hasPatterns) return false;
    for (const topic of this.selection.topics) {
      const closedAt = this.context.closedTopics.closedAt(topic);
      if (closedAt < 0 || closedAt > upTo) return false;
    }
    return true;
  }

  /** The index before which the next private frame leaves. */
  #nextPrivate(): number {
    return this.#privates[this.#privatesRead]?.after ?? Infinity;
  }

  #takePrivate(index: number): Frame {
    const frame = this.#privates[this.#privatesRead++]!;
    this.#privateSize -= frame.size;
    if (this.#privatesRead === this.#privates.length) {
      this.#privates = NOTHING;
      this.#privatesRead = 0;
    }
    return frame.make(index);
  }

  /** Nothing has to be said to it that is not in the log. Who follows nothing is told when it follows something. */
  get #isTold(): boolean {
    return (!this.#untold || this.selection.empty) && this.#closesUntoldFrom === Infinity;
  }

  /**
   * Says what is lost, whichever place it was at: before anything behind the first of them leaves, because a cursor from
   * there claims all that is before it, and another node, which may still have it, would believe that. It is said in one
   * frame, which is the first to carry such a cursor: a connection may be cut between any two.
   */
  #tell(index: number): Frame[] {
    const frames = this.#passedClosesBefore(index);
    this.#closesUntoldFrom = Infinity;
    const loss = this.#untold;
    if (!loss || this.selection.empty) return frames;
    this.#untold = undefined;
    this.#toldEvictions = this.context.log.evictions;
    const { newestFloor } = this.context.log;
    this.#toldUpTo = newestFloor.index >= index ? newestFloor.index : -1;
    return [...frames, this.#resetAt(index, loss.reason, loss.names)];
  }

  /** That a topic is finished is told although its close went with what was lost, or was passed over. */
  #passedClosesBefore(index: number): Frame[] {
    const { log, closedTopics } = this.context;
    // With the last of them the stream ends, which says it all.
    if (this.#isFinished()) return [];
    const from = this.#closesUntoldFrom;
    const isPassed = (at: number): boolean => at >= from && (at < index || !log.itemAt(at));
    return [...this.selection.topics]
      .filter((topic) => isPassed(closedTopics.closedAt(topic)))
      .map((topic) => this.client.control.closed(this.client.cursorAt(index), topic));
  }

  #resetAt(index: number, reason: ResetReason, topics: readonly string[] = [...this.selection.names]): Frame {
    this.context.reporter.reset(this.client, reason);
    return this.client.control.reset(this.client.cursorAt(index), reason, topics);
  }

  /**
   * Has something from `index` on been evicted that it did not get yet? Asked anew before every step; cheap for a client
   * that is ahead of all evictions. Answers where to go on.
   */
  #lookForLoss(index: number): number {
    const { log } = this.context;
    const { onGap } = this.client;
    if (log.newestFloor.index < index) return index;
    const isLoss = (floor: Floor, name: string): boolean => floor.index >= Math.max(index, this.#late?.get(name) ?? 0);
    const loss = lossOf(log, this.selection, 'slow', isLoss, this.#toldEvictions);
    if (!loss) return index;
    this.#note(onGap === 'latest' ? { ...loss, names: undefined } : loss);
    this.#closesUntoldFrom = Math.min(this.#closesUntoldFrom, index);
    return onGap === 'latest' ? log.head : index;
  }

  /** The first reason counts, unless it is the least. */
  #note(loss: Loss): void {
    const known = this.#untold ?? loss;
    this.#untold = {
      reason: known.reason === 'late' ? loss.reason : known.reason,
      names: known.names && loss.names && [...new Set([...known.names, ...loss.names])],
    };
  }
}

function withoutName(loss: Loss, name: string): Loss | undefined {
  const names = loss.names?.filter((other) => other !== name);
  return names?.length === 0 ? undefined : { ...loss, names };
}
