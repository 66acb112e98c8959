import { AsyncResource } from 'node:async_hooks';

import { withInitialDue } from '../../protocol/cursor.js';
import type { EventEntry } from '../../protocol/entry.js';
import { Batch, type Frame, HEARTBEAT } from '../../protocol/frame.js';
import type { DisconnectReason, Filter, SSEClient } from '../../sse.client.js';
import { SSEError } from '../../sse.error.js';
import type { Transport, TransportListener } from '../../transport/transport.js';
import type { ClientContext, ReaderOwner } from './client-context.js';
import type { ClientSettings } from './client-settings.js';
import { ClientView, type Viewed } from './client-view.js';
import { ConnectionTimer, type Deadlines, type TimedClient } from './connection-timer.js';
import type { ControlFrames } from './control-frames.js';
import type { Followers, Shared } from './followers.js';
import { type GoodbyeKind, GOODBYES } from './goodbyes.js';
import { Opening, type OpeningClient } from './opening.js';
import type { Place } from './place.js';
import { privateClose, privateEvent } from './private-events.js';
import { Reader } from './reader.js';
import { Standing } from './standing.js';
import { anewAt, skipsRetained, type Start } from './starting-place.js';

/** Milliseconds. */
const QUIET_CURSOR_INTERVAL = 60_000;
/** A client that accepted something within this time, in milliseconds, keeps up: what it still needs is kept for it. */
const KEEPS_UP_WITHIN = 1_000;

/** One open stream: a place in the log, and the transport that takes what follows it. */
export class Client implements OpeningClient, Viewed, ReaderOwner, TimedClient, TransportListener {
  #gone = false;
  /** Until it has its place, and has what comes before everything else. */
  #opening: Opening | undefined;
  /** Where it began; undefined until it is open. */
  #start: Start | undefined;
  /** What is before this index, it had missed when it came. */
  missedBefore = 0;
  #pumping = false;
  /** It was to read more of the log than its transport took. */
  #isOwed = false;
  #metadata: Record<string, unknown> | undefined;
  #view: ClientView | undefined;
  #followers: Followers;
  readonly #context: ClientContext;
  readonly #transport: Transport;
  readonly standing: Standing;
  readonly reader: Reader;
  readonly timer: ConnectionTimer;
  initialDue = false;
  readonly openedAt = performance.now();
  /** The asynchronous context that it came in: what the application wants to be asked about it is asked there. */
  readonly origin = new AsyncResource('SSEClient');

  constructor(
    context: ClientContext,
    readonly settings: ClientSettings,
    transport: Transport,
    followers: Followers,
    readonly control: ControlFrames,
    deadlines: Deadlines,
  ) {
    this.#context = context;
    this.#transport = transport;
    this.#followers = followers;
    this.#metadata = settings.metadata;
    this.#opening = new Opening(context, this);
    this.standing = new Standing(this, context.turn, context.log.head);
    this.reader = new Reader(context, this, settings.filter, followers.following);
    this.timer = new ConnectionTimer(context.timers, this, transport, settings.heartbeatInterval, deadlines);
  }

  get id(): string {
    return this.settings.id;
  }

  get group(): string | undefined {
    return this.settings.group;
  }

  get expiresAt(): number {
    return this.settings.expiresAt;
  }

  get metadata(): Record<string, unknown> {
    return (this.#metadata ??= {});
  }

  get topics(): ReadonlySet<string> {
    return this.#followers.following.names;
  }

  get followers(): Followers {
    return this.#followers;
  }

  get atOnce(): boolean {
    return this.#transport.atOnce;
  }

  get compressed(): boolean {
    return this.#transport.compressed ?? false;
  }

  get response(): unknown {
    return this.#transport.response;
  }

  get connected(): boolean {
    return !this.#gone;
  }

  get place(): Place {
    return this.standing.place;
  }

  get next(): number {
    return this.standing.next;
  }

  /** Who follows nothing, or is still opening, lacks nothing yet. */
  get behind(): number {
    const lacks = this.connected && this.standing.progress === 'behind';
    return lacks ? this.#context.log.head - this.next : 0;
  }

  /** What the application gets to see. */
  get view(): SSEClient {
    return (this.#view ??= new ClientView(this));
  }

  /** Bytes that wait for it alone. */
  get privateBytes(): number {
    return this.reader.privateBytes;
  }

  get keepsUp(): boolean {
    // Its place is found when the window is known: for what is within the limits then.
    if (!this.#context.ready) return false;
    const { slowTimeout } = this.#context;
    if (this.#opening?.stage === 'initialising') return performance.now() - this.openedAt < slowTimeout;
    // One that accepts a little now and then, and never gets there, must not keep everything for everybody.
    return this.standing.behindFor <= slowTimeout && this.timer.blockedFor < KEEPS_UP_WITHIN;
  }

  hasPassed(end: number): boolean {
    return this.standing.hasPassed(end);
  }

  takePosition(): void {
    this.standing.fix();
  }

  joinStep(): void {
    if (this.standing.progress !== 'current' || !this.#isStreaming) return;
    if (!this.reader.plain || !this.#transport.ready) return;
    // Whoever has got a part of what the others are still to get joins when they have it.
    if (this.#context.turn.isPartlyGiven(this, this.place.next)) return this.#context.turn.joinLater(this);
    this.standing.become('inStep');
  }

  leaveStep(): void {
    if (this.standing.progress === 'inStep') this.standing.become('current');
  }

  /** Starts the response. */
  open(): void {
    this.#transport.open(this);
    if (this.connected) this.timer.start();
  }

  writeShared({ place, batch }: Shared): void {
    this.standing.share(place);
    try {
      this.#transport.write(batch);
    } catch (error) {
      this.#fail(error);
    }
    if (!this.#transport.ready) this.#stall();
  }

  /**
   * What it calls may lead back here (a filter that publishes, an observer that removes the client): then the step under way
   * sees to it.
   */
  pump(): void {
    if (this.#pumping) return;
    this.#pumping = true;
    try {
      this.#pumpOnce();
    } catch (error) {
      this.#fail(error);
    } finally {
      this.#pumping = false;
    }
  }

  #pumpOnce(): void {
    // What has ended while others were looked at must not be opened.
    if (this.#gone) return;
    this.#opening?.advance();
    if (this.#opening?.isDone) this.#opening = undefined;
    if (!this.#isStreaming || !this.#context.ready) return;
    if (this.standing.progress === 'idle') this.#pumpPrivates();
    else this.#pumpLog();
  }

  get #isStreaming(): boolean {
    return !this.#gone && (this.#opening?.stage ?? 'open') === 'open';
  }

  #pumpLog(): void {
    const { log, reporter } = this.#context;
    const standing = this.standing;
    standing.fix();
    while (this.connected) {
      this.#isOwed = standing.place.next < log.head;
      if (!this.#transport.ready) return this.#block();
      const from = standing.place.next;
      const { frames, events, next, ending } = this.reader.read(from, this.#portion);
      // A filter may have removed the client: then nothing more leaves.
      if (!this.connected) return;
      standing.moveTo(next);
      if (next >= log.head) standing.touchHead();
      if (frames.length > 0) this.write(frames, events);
      if (from < this.missedBefore) reporter.replayed(events);
      if (ending) return this.end(ending);
      if (next >= log.head && frames.length === 0) break;
    }
    if (!this.connected) return;
    standing.become('current');
    this.timer.unblock();
    this.reader.caughtUp();
    this.joinStep();
  }

  get #portion(): number {
    return Math.min(this.#context.highWaterMark, this.#transport.portion ?? Infinity);
  }

  // A client that follows nothing stays where it is; only what is meant for it alone leaves.
  #pumpPrivates(): void {
    if (!this.#transport.ready) return this.#block();
    const frames = this.reader.readPrivates(this.place.next);
    if (frames.length > 0) this.write(frames);
    if (!this.#transport.ready) this.#stall();
  }

  /** At once where others write at once, else at the end of the turn. */
  pumpSoon(): void {
    if (this.atOnce) this.pump();
    else this.#context.turn.wake(this);
  }

  #block(): void {
    if (this.standing.progress !== 'idle') this.standing.become('behind');
    this.timer.block();
  }

  /** Nothing may follow for long that would notice that this one takes no more: its time runs from now on. */
  #stall(): void {
    if (!this.connected) return;
    this.standing.fix();
    this.#block();
  }

  write(frames: Frame[], events = 0): void {
    this.timer.unblock();
    const cursor = frames.at(-1)?.blocks.at(-1)?.id ?? this.place.cursor;
    this.standing.give(cursor, performance.now(), events > 0);
    this.#transmit(new Batch(frames, 1, this.#followers.compressedReaders), events);
  }

  /** Writes what is not in the log, at once. */
  send(frame: Frame): void {
    this.#transmit(new Batch([frame]));
  }

  #transmit(batch: Batch, events = 0): void {
    this.timer.wroteAt(performance.now());
    this.#context.reporter.delivered(events, batch.size);
    try {
      this.#transport.write(batch);
    } catch (error) {
      this.#fail(error);
    }
  }

  // One failing client must never disturb the others.
  #fail(error: unknown): void {
    this.#context.reporter.clientFailed(this, error);
    this.end('broken');
  }

  /** Never one behind a loss that it has not been told of. */
  cursorAt(index: number): string {
    const { log } = this.#context;
    const mayClaim = this.standing.progress !== 'idle' && this.reader.mayClaim(index);
    const cursor = mayClaim
      ? log.cursorBefore(index)
      : (this.place.cursor ?? this.#opening?.cursorAt(index) ?? log.cursorBefore(index));
    return withInitialDue(cursor, this.initialDue);
  }

  /** What it has to come back with when its stream ends here. */
  get #lastCursor(): string {
    return this.#opening?.stage === 'seeking' ? this.#opening.cursor : this.cursorAt(this.next);
  }

  startDiverged(): void {
    this.#opening?.diverged();
    this.pump();
  }

  restart(): void {
    const wasOpen = this.#opening?.stage !== 'seeking';
    this.#opening ??= new Opening(this.#context, this, 'open');
    this.#opening.restart();
    if (!wasOpen) return;
    // Whoever follows nothing stays at its cursor, which is of the old epoch.
    const isIdle = this.standing.progress === 'idle' || this.#followers.following.empty;
    this.standing.become(isIdle ? 'idle' : 'behind');
    // As long as it is untold, nothing of the new epoch can be claimed.
    this.startAt(anewAt(this.#context.log.head, 'epoch'), this.missedBefore);
  }

  settle(): void {
    this.#opening?.settle();
  }

  startAt(start: Start, missedBefore: number): void {
    this.#start = start;
    this.missedBefore = missedBefore;
    this.standing.moveTo(start.next);
    this.reader.begin(start);
    for (const [name, at] of this.reader.late) if (this.#skips(name, at)) this.reader.noteLate(name);
  }

  /** An event for this client alone, in its turn. Throws `SEND_ERROR` when too many of them wait already. */
  sendEvent(entry: EventEntry): void {
    const frame = privateEvent(entry, this.#context.log.head, this);
    if (!this.#hasRoomFor(frame.size)) this.pump();
    if (!this.connected) throw new SSEError('CLIENT_NOT_FOUND', `Client ${this.id} has ended just now.`);
    if (!this.#hasRoomFor(frame.size)) {
      throw new SSEError(
        'SEND_ERROR',
        `Client ${this.id} is behind, and ${this.privateBytes} bytes wait for it alone already ` +
          `(highWaterMark is ${this.#context.highWaterMark}). Publish to a topic instead: the log keeps it.`,
      );
    }
    this.leaveStep();
    this.reader.addPrivate(frame);
    this.pumpSoon();
  }

  #hasRoomFor(size: number): boolean {
    if (this.privateBytes + size <= this.#context.highWaterMark) return true;
    // A single large one may pass where nothing is in its way.
    return this.privateBytes === 0 && this.#transport.ready;
  }

  /** Follows one more name, as one of these. */
  addName(followers: Followers, name: string, filter: Filter | undefined): void {
    const { log, closedTopics } = this.#context;
    this.#moveOver(followers);
    this.reader.setFilter(name, filter);
    if (this.standing.progress === 'idle') return;
    this.reader.countFrom(name, log.head);
    if (this.#skips(name, log.head)) this.reader.noteLate(name);
    if (closedTopics.isClosed(name) && !this.reader.isFinished()) {
      this.reader.addPrivate(privateClose(name, log.head, this));
    }
  }

  /** Follows this name no longer, as one of these. */
  removeName(followers: Followers, name: string): void {
    this.#moveOver(followers);
    this.reader.forget(name);
  }

  setFilter(name: string, filter: Filter | undefined): void {
    this.leaveStep();
    this.reader.setFilter(name, filter);
    this.#context.turn.wake(this);
  }

  /** Nothing of this name from before is for it, wherever it is in the log. */
  countFromHere(name: string): void {
    this.reader.countFrom(name, this.#context.log.head);
  }

  #moveOver(followers: Followers): void {
    this.standing.fix();
    this.#followers = followers;
    this.reader.follow(followers.following);
    this.#context.turn.wake(this);
  }

  // Only a client that came back expects what was published while it was away.
  #skips(name: string, at: number): boolean {
    if (!this.#start || this.settings.lastEventId === '') return false;
    return skipsRetained(this.#context.log, this.#followers.following, name, this.#start, at);
  }

  beat(now: number): boolean {
    const waits = this.standing.progress === 'behind' && this.#isStreaming && this.#context.ready;
    if (waits) return false;
    if (!this.#transport.ready) {
      this.#stall();
      return false;
    }
    this.send(this.#quietCursor(now) ?? HEARTBEAT);
    this.#context.reporter.heartbeat();
    return true;
  }

  /** A quiet client's cursor is moved on now and then, so that busy neighbours cannot make it look lost. */
  #quietCursor(now: number): Frame | undefined {
    if (!this.#isStreaming || this.standing.progress === 'idle') return undefined;
    if (now - this.place.at < QUIET_CURSOR_INTERVAL) return undefined;
    const cursor = this.cursorAt(this.next);
    if (cursor === this.place.cursor) return undefined;
    this.standing.give(cursor, now);
    return this.control.cursor(cursor);
  }

  drained(): void {
    if (!this.connected) return;
    this.timer.unblock();
    if (!this.#waitsWithOthers) return this.pumpSoon();
    this.standing.become('current');
    this.joinStep();
  }

  /**
   * Where there is a pace, a connection that is full after each write, and drained soon, must not have its client read what
   * others wait for. It has what they were given: its lane has had it read whatever it had for it, which it then was owed,
   * and whoever had anything else for it has woken it.
   */
  get #waitsWithOthers(): boolean {
    const { turn, ready } = this.#context;
    if (!turn.pace || this.#isOwed || turn.isAwake(this)) return false;
    return this.standing.progress === 'behind' && this.#isStreaming && ready && !this.reader.hasOwn;
  }

  disconnected(): void {
    this.end('closed');
  }

  /** Ends the stream. Idempotent. */
  end(kind: GoodbyeKind): void {
    const { reason, flush, farewell, response } = GOODBYES[kind];
    if (flush) this.pump();
    if (!this.connected) return;
    if (farewell === 'end') this.send(this.control.end());
    const expired = farewell === 'expired' ? this.control.expired(this.#lastCursor) : undefined;
    if (expired) this.send(expired);
    if (!this.#leave(reason) || response === 'gone') return;
    if (response === 'destroyed') return this.#transport.destroy();
    try {
      this.#transport.end(response === 'end' ? 'end' : this.settings.plannedEnd);
    } catch (error) {
      this.#context.reporter.clientFailed(this, error);
      this.#transport.destroy();
    }
  }

  /** Ends the stream at shutdown: its cursor, and a `retry` that spreads those who come back. Settles when all is out. */
  async endForShutdown(retry: number): Promise<void> {
    this.pump();
    if (!this.connected) return;
    this.send(this.control.cursor(this.#lastCursor, retry));
    this.#leave('shutdown');
    await this.#transport.close(this.settings.plannedEnd);
  }

  /** Lets go of the connection, whatever is still unwritten. */
  destroy(): void {
    this.#transport.destroy();
  }

  /** Forgets a client whose response could not be begun, and leaves that one alone. */
  release(): void {
    if (!this.connected) return;
    this.#depart();
    this.#context.withdraw(this);
    this.#transport.release();
  }

  /** Answers whether it was still there. */
  #leave(reason: DisconnectReason): boolean {
    if (!this.connected) return false;
    this.#depart();
    this.#context.left(this, reason);
    return true;
  }

  #depart(): void {
    this.standing.become('idle');
    this.#gone = true;
    this.timer.stop();
  }
}
