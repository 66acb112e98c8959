import type { EventLog, LogItem } from '../log/event-log.js';
import type { Floor } from '../log/history.js';
import { Publication } from '../log/publication.js';
import type { SSEEvent } from '../protocol/event.js';
import type { Frame } from '../protocol/frame.js';
import type { ControlFrames, ResetReason } from './control-frames.js';
import type { Journal } from './journal.js';
import type { Selection } from './selection.js';
import type { SSEClient } from './sse-client.js';
import { type Loss, lossesOf, lossOfAll, type OnGap, type Start } from './start.js';
import type { TopicLives } from './topic-lives.js';

/** Lets an event through for one client. One that throws hides the event and ends that client. */
export type Filter = (event: SSEEvent) => boolean;

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
  readonly lives: TopicLives;
  readonly journal: Journal;
  readonly deserialize: (text: string) => unknown;
}

/** Whose reader it is. */
interface Owner extends SSEClient {
  readonly expiresAt: number;
  readonly notBefore: number | undefined;
  readonly onGap: OnGap;
  readonly control: ControlFrames;
  /** The cursor as this client has to bring it back. */
  asOwn(cursor: string): string;
}

/** Most readers never need theirs, and there are many readers. */
const NOTHING: readonly never[] = Object.freeze([]);
const NO_LOSSES: ReadonlyMap<string, Loss> = new Map();

/**
 * One client's way through the log: the events that follow its position, for its topics. Live delivery, replay and
 * catching up are all the same reading, so nothing can get lost or doubled between them.
 */
export class Reader {
  /** The index of the first entry that the client has not passed. */
  next: number;
  selection: Selection;
  /** What it has not been told yet, by name. */
  #losses: ReadonlyMap<string, Loss> = NO_LOSSES;
  /** So many evictions had happened when the client started anew: what they took was told, or never asked for. */
  #excused = -1;
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
    next: number,
  ) {
    this.selection = selection;
    this.next = next;
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
      this.#losses.size === 0 &&
      this.#notBefore === undefined
    );
  }

  /** Everything that it follows is closed. */
  get finished(): boolean {
    return this.#isFinished();
  }

  begin({ next, losses, anew, broadcastsFrom = 0 }: Start): void {
    this.next = next;
    this.#losses = NO_LOSSES;
    for (const loss of losses) this.#note(loss);
    this.#broadcastsFrom = broadcastsFrom;
    if (anew) this.#excused = this.context.log.evictions;
  }

  /** Whether the cursor before `index` is one that the client may come back with: nothing untold lies before it. */
  mayClaim(index: number): boolean {
    return index >= this.context.log.start && this.#nextLoss() >= index;
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
    this.#forgetLoss(name);
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

  /** What has to be said at its present place, without moving on: losses first, so that what follows is known to be after them. */
  readDue(): Frame[] {
    const frames: Frame[] = [];
    while (this.#nextStop() <= this.next) frames.push(this.#interruptionAt(this.next));
    return frames;
  }

  /** All that is for it alone: who follows nothing has nothing else to wait for. */
  readPrivates(index = this.next): Frame[] {
    const due = this.#privates.slice(this.#privatesRead);
    this.#privates = NOTHING;
    this.#privatesRead = 0;
    this.#privateSize = 0;
    return due.map(({ make }) => make(index));
  }

  /** What comes next, until `limit` bytes are reached, the client is at the head, or its stream is over. */
  read(limit: number): Reading {
    const { log } = this.context;
    let evictions = -1;
    const frames: Frame[] = [];
    let events = 0;
    let size = 0;
    let index = this.next;
    const push = (frame: Frame): void => {
      frames.push(frame);
      size += frame.chunk.length;
    };
    while (size < limit) {
      // A filter may have published, and something that is still to come been evicted for it.
      if (evictions !== log.evictions) index = this.#lookForLoss(index);
      evictions = log.evictions;
      const stop = this.#nextStop();
      index = Math.max(index, Math.min(this.selection.nextIn(log, index), stop));
      if (index >= stop) {
        push(this.#interruptionAt(index));
        continue;
      }
      if (index >= log.head) break;
      const item = log.itemAt(index)!;
      const step = this.#stepFor(item, index);
      index++;
      if (step === 'skip') continue;
      if (typeof step === 'string') {
        if (step === 'error') push(this.#resetAt(index, 'filter'));
        if (step === 'finished') frames.push(...this.readPrivates(index));
        return { frames, events, next: index, ending: step };
      }
      if (item instanceof Publication) events++;
      push(step);
    }
    const finished = index >= log.head && this.#privates.length === 0 && this.#isFinished();
    return { frames, events, next: index, ...(finished && { ending: 'finished' as const }) };
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
      this.context.journal.filterFailed(this.client, error, item.topic);
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
    return index < this.#broadcastsFrom && index < this.context.lives.openedAt(topic);
  }

  #passes(filter: Filter | undefined, publication: Publication): boolean {
    return !filter || filter(publication.envelope(this.context.deserialize));
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
      const closedAt = this.context.lives.closedAt(topic);
      if (closedAt < 0 || closedAt > upTo) return false;
    }
    return true;
  }

  /** The index before which something has to be said that is not in the log. */
  #nextStop(): number {
    return Math.min(this.#privates[this.#privatesRead]?.after ?? Infinity, this.#nextLoss() + 1);
  }

  /** Where the next loss is told. What lies before the window can only be told at its beginning. */
  #nextLoss(): number {
    let at = Infinity;
    for (const loss of this.#losses.values()) at = Math.min(at, loss.at);
    return Math.max(at, this.context.log.start - 1);
  }

  #interruptionAt(index: number): Frame {
    const at = this.#nextLoss();
    if (at + 1 <= index && this.#losses.size > 0) return this.#tellLosses(at, index);
    const frame = this.#privates[this.#privatesRead++]!;
    this.#privateSize -= frame.size;
    if (this.#privatesRead === this.#privates.length) {
      this.#privates = NOTHING;
      this.#privatesRead = 0;
    }
    return frame.make(index);
  }

  #tellLosses(at: number, index: number): Frame {
    const told = [...this.#losses.values()].filter((loss) => loss.at <= at);
    for (const { name } of told) this.#forgetLoss(name);
    return this.#resetAt(
      index,
      told[0]!.reason,
      told.map(({ name }) => name),
    );
  }

  #resetAt(index: number, reason: ResetReason, topics: readonly string[] = [...this.selection.names]): Frame {
    this.context.journal.reset(this.client, reason);
    return this.client.control.reset(this.client.asOwn(this.context.log.cursorBefore(index)), reason, topics);
  }

  /**
   * Has something from `index` on been evicted that it did not get yet? Asked anew before every step, because more may
   * be evicted between a loss and its telling; cheap for a client that is ahead of all evictions. Answers where to go on.
   */
  #lookForLoss(index: number): number {
    const { log } = this.context;
    const { onGap } = this.client;
    if (log.newestFloor.index < index) return index;
    const isLoss = (floor: Floor, name: string): boolean => floor.index >= Math.max(index, this.#late?.get(name) ?? 0);
    const losses = lossesOf(log, this.selection, 'slow', isLoss, this.#excused);
    if (losses.length === 0) return index;
    const told = onGap === 'latest' ? lossOfAll(this.selection, log.head - 1, 'slow') : losses;
    for (const loss of told) this.#note(loss);
    return onGap === 'latest' ? log.head : index;
  }

  #note(loss: Loss): void {
    const known = this.#losses.get(loss.name);
    const noted = known ? { ...known, at: Math.max(known.at, loss.at) } : loss;
    this.#losses = new Map(this.#losses).set(loss.name, noted);
  }

  #forgetLoss(name: string): void {
    if (!this.#losses.has(name)) return;
    const others = [...this.#losses].filter(([other]) => other !== name);
    this.#losses = others.length > 0 ? new Map(others) : NO_LOSSES;
  }
}
