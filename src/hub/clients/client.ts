import { AsyncResource } from 'node:async_hooks';

import { blockOf, cursorBlock } from '../../log/publication.js';
import { parseCursor, withInitialDue } from '../../protocol/cursor.js';
import { encodedSize } from '../../protocol/encode.js';
import type { EventEntry } from '../../protocol/entry.js';
import { Batch, Frame, HEARTBEAT } from '../../protocol/frame.js';
import type { DisconnectReason, Resumed, SSEClient } from '../../sse.client.js';
import { type Filter, type OnGap } from '../../sse.client.js';
import { SSEError } from '../../sse.error.js';
import type { Ending, Transport, TransportListener } from '../../transport/transport.js';
import type { Hub } from '../hub.js';
import type { Timed } from '../timer-wheel.js';
import type { ClientSettings } from './client-settings.js';
import { ConnectionTimer } from './connection-timer.js';
import type { ControlFrames } from './control-frames.js';
import type { Selection } from './followers.js';
import { type PrivateFrame, Reader } from './reader.js';
import { anewAt, resolveStart, skipsRetained, type Start, startAfterGap } from './start.js';

const QUIET_CURSOR_INTERVAL = 60_000;
/** A client that accepted something within this time, in milliseconds, keeps up: what it still needs is kept for it. */
const KEEPS_UP_WITHIN = 1_000;
/** What a frame for one client costs beside its text. */
const FRAME_BYTES = 256;

const UNKNOWN = -1;

/** Where a client is, and what it was given last. Those who were given the same share one: writing leaves nothing else behind. */
export interface Place {
  /** The index of the first entry that it has not passed. */
  readonly next: number;
  readonly cursor: string | undefined;
  /** When, on the clock of `performance.now()`. */
  readonly at: number;
  /** When there was an event in it, or before it. */
  readonly eventAt: number | undefined;
}

/** What a turn has for everybody in step. */
export interface Shared {
  /** All that a client keeps of it: not the bytes, which would then stay as long as the client has nothing newer. */
  readonly place: Place;
  readonly batch: Batch;
  readonly events: number;
}

type State = 'connecting' | 'initialising' | 'streaming' | 'gone';

/** A position in the log, and the transport that takes what follows it. */
export class Client implements SSEClient, TransportListener, Timed {
  #state: State = 'connecting';
  /** There is something it has not been given yet. Otherwise it stands wherever the last turn ended. */
  #behind = false;
  /** Since when it has lacked something that is in the log. */
  #behindSince = 0;
  /** Undefined until it is open. */
  #start: Start | undefined;
  /** Whether its way through the log has begun. One that follows nothing yet stays at its cursor. */
  #following = false;
  #announced = false;
  /** Until all of its `initial` events have left, its cursors say that they have not: it may have to come back for them. */
  #initialDue = false;
  /** Its place is in another history, for this reason; until it has a new one. */
  #gap: 'epoch' | 'diverged' | undefined;
  #pumping = false;
  /** Whether it is one of those in step. */
  #inStep = false;
  #place: Place;
  /** The asynchronous context that it came in: what the application wants to be asked about it is asked there. */
  readonly origin = new AsyncResource('SSEClient');
  /** The head when it connected. */
  #headThen: number;
  /** The cursor of that place, for who begins there: by the time it is open, the place may have left the window. */
  #cursorThen: string | undefined;
  readonly control: ControlFrames;
  #metadata: Record<string, unknown> | undefined;
  readonly #timer: ConnectionTimer;
  readonly #connected = performance.now();
  #lastHeartbeat: number | undefined;

  readonly #hub: Hub;
  readonly #settings: ClientSettings;
  readonly #transport: Transport;
  readonly #reader: Reader;

  constructor(hub: Hub, settings: ClientSettings, transport: Transport, selection: Selection) {
    this.#hub = hub;
    this.#settings = settings;
    this.#transport = transport;
    this.#headThen = hub.ready ? hub.log.head : UNKNOWN;
    const beginsThere = settings.lastEventId === '' && settings.since === undefined;
    if (hub.ready && beginsThere) this.#cursorThen = hub.log.cursorBefore(hub.log.head);
    this.#metadata = settings.metadata;
    this.control = hub.controlFrames(settings.controlEvents);
    this.#timer = new ConnectionTimer(transport, settings.heartbeatInterval, hub.deadlinesOf(settings.expiresAt));
    this.#reader = new Reader(hub.readerContext, this, settings.filter, selection);
    this.#place = { next: hub.log.head, cursor: undefined, at: this.#connected, eventAt: undefined };
  }

  get reader(): Reader {
    return this.#reader;
  }

  get id(): string {
    return this.#settings.id;
  }

  get group(): string | undefined {
    return this.#settings.group;
  }

  get metadata(): Record<string, unknown> {
    return (this.#metadata ??= {});
  }

  get connected(): boolean {
    return this.#state !== 'gone';
  }

  get topics(): ReadonlySet<string> {
    return this.#reader.selection.names;
  }

  get connectedAt(): string {
    return isoTime(this.#connected);
  }

  get lastEventId(): string | undefined {
    return this.#place.cursor;
  }

  get lastEventAt(): string | undefined {
    const { eventAt } = this.#place;
    return eventAt === undefined ? undefined : isoTime(eventAt);
  }

  get lastHeartbeatAt(): string | undefined {
    return this.#lastHeartbeat === undefined ? undefined : isoTime(this.#lastHeartbeat);
  }

  get response(): unknown {
    return this.#transport.response;
  }

  get compressed(): boolean {
    return this.#transport.compressed ?? false;
  }

  get atOnce(): boolean {
    return this.#transport.atOnce;
  }

  get notBefore(): number | undefined {
    return this.#settings.notBefore;
  }

  get onGap(): OnGap {
    return this.#settings.onGap;
  }

  get expiresAt(): number {
    return this.#settings.expiresAt;
  }

  /** Whether it has got everything before `end`, so that the turn has nothing for it. */
  hasPassed(end: number): boolean {
    return !this.#behind && this.#place.next >= end;
  }

  /**
   * The index of the first entry that it has not passed. Who is not behind has passed what all have passed who are not:
   * nothing is noted for each of them.
   */
  get next(): number {
    const { next } = this.#place;
    return this.#behind || !this.#following ? next : Math.max(next, this.#hub.delivery.passedBy(this));
  }

  /** Joins those in step, if it gets just what they get. */
  joinStep(): void {
    if (this.#inStep || this.#behind || !this.#following || !this.#isStreaming()) return;
    if (!this.#reader.plain || !this.#transport.ready) return;
    // Whoever has got a part of this turn already joins at its end.
    if (!this.atOnce && this.#place.next > this.#hub.turnStart) return this.#hub.delivery.joinLater(this);
    this.#inStep = true;
    this.#reader.selection.laneOf(this).inStep.add(this);
  }

  leaveStep(): void {
    if (!this.#inStep) return;
    this.#inStep = false;
    this.#reader.selection.laneOf(this).inStep.delete(this);
  }

  /** Whether what it has not got yet should be kept for it beyond the limits of its topics. */
  get keepsUp(): boolean {
    // Its place is found when the window is known: for what is within the limits then.
    if (!this.#hub.ready) return false;
    const { slowTimeout } = this.#hub.options;
    if (this.#state === 'initialising') return performance.now() - this.#connected < slowTimeout;
    // One that accepts a little now and then, and never gets there, must not keep everything for everybody.
    if (this.#behind && performance.now() - this.#behindSince > slowTimeout) return false;
    return this.#timer.blockedFor < KEEPS_UP_WITHIN;
  }

  open(): void {
    this.#transport.open(this);
    if (this.connected) this.#wakeInTime();
  }

  /** Writes what everybody in step gets. */
  writeShared(shared: Shared): void {
    this.#place = shared.place;
    try {
      this.#transport.write(shared.batch);
    } catch (error) {
      this.#fail(error);
    }
    if (!this.#transport.ready) this.#stall();
  }

  /** Nothing may follow for long that would notice that this one takes no more: its time runs from now on. */
  #stall(): void {
    if (!this.connected) return;
    this.takePosition();
    this.#block();
  }

  /**
   * Writes what follows its position until it is at the head or its transport is full. What it calls may lead back here
   * (a filter that publishes, an observer that removes the client): then the step under way sees to it.
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
    if (this.#state === 'connecting') this.#begin();
    if (!this.#isStreaming() || !this.#hub.ready) return;
    if (!this.#following && !this.#reader.selection.empty) this.#follow();
    if (this.#following) this.#pumpLog();
    else this.#pumpPrivates();
  }

  // One failing client must never disturb the others.
  #fail(error: unknown): void {
    this.#hub.reporter.clientFailed(this, error);
    this.abandon('error');
  }

  #isStreaming(): boolean {
    return this.#state === 'streaming';
  }

  #pumpLog(): void {
    this.takePosition();
    while (this.connected) {
      if (!this.#transport.ready) return this.#block();
      const from = this.#place.next;
      const reading = this.#reader.read(from, this.#portion);
      // A filter may have removed the client: then nothing more leaves.
      if (!this.connected) return;
      this.#moveTo(reading.next);
      if (reading.next >= this.#hub.log.head) this.#behindSince = performance.now();
      if (reading.frames.length > 0) this.#write(reading.frames, reading.events);
      if (from < this.#headThen) this.#hub.reporter.replayed(reading.events);
      if (reading.ending) return this.#endOf(reading.ending);
      if (reading.next >= this.#hub.log.head && reading.frames.length === 0) break;
    }
    if (!this.connected) return;
    this.#setBehind(false);
    this.#reader.caughtUp();
    this.joinStep();
  }

  get #portion(): number {
    return Math.min(this.#hub.options.highWaterMark, this.#transport.portion ?? Infinity);
  }

  // A client that follows nothing stays where it is; only what is meant for it alone leaves.
  #pumpPrivates(): void {
    if (!this.#transport.ready) return this.#block();
    const frames = this.#reader.readPrivates(this.#place.next);
    if (frames.length > 0) this.#write(frames, 0);
    if (!this.#transport.ready) this.#stall();
  }

  /** Spells out where it is, before what everybody has passed moves on. */
  takePosition(): void {
    if (this.#behind || !this.#following) return;
    this.#moveTo(this.next);
    this.#setBehind(true);
  }

  #moveTo(next: number): void {
    const { cursor, at, eventAt } = this.#place;
    this.#place = { next, cursor, at, eventAt };
  }

  #setBehind(behind: boolean): void {
    if (behind && !this.#behind) this.#behindSince = performance.now();
    this.#behind = behind;
    if (behind) {
      this.leaveStep();
      this.#hub.behind.add(this);
    } else {
      this.#hub.behind.delete(this);
      if (this.#timer.unblock()) this.#wakeInTime();
    }
  }

  #block(): void {
    if (this.#following) this.#setBehind(true);
    if (this.#timer.block()) this.#wakeInTime();
  }

  #write(frames: Frame[], events: number): void {
    const now = performance.now();
    this.#timer.unblock();
    const cursor = frames.at(-1)?.blocks.at(-1)?.id ?? this.#place.cursor;
    this.#given(cursor, now, events > 0);
    this.#transmit(new Batch(frames, 1, this.#reader.selection.compressedReaders), events);
  }

  #transmit(batch: Batch, events = 0): void {
    this.#timer.wroteAt(performance.now());
    this.#hub.reporter.delivered(events, batch.size);
    try {
      this.#transport.write(batch);
    } catch (error) {
      this.#fail(error);
    }
  }

  /** A cursor to come back with, for somebody who has everything before `index`: never one behind an untold loss. */
  cursorAt(index: number): string {
    return withInitialDue(this.#claimAt(index), this.#initialDue);
  }

  #claimAt(index: number): string {
    const { log } = this.#hub;
    if (this.#following && this.#reader.mayClaim(index)) return log.cursorBefore(index);
    return this.#place.cursor ?? this.#givenCursor ?? this.#cursorThen ?? log.cursorBefore(index);
  }

  get #givenCursor(): string | undefined {
    const { lastEventId } = this.#settings;
    return parseCursor(lastEventId) ? lastEventId : undefined;
  }

  /** What it has to come back with when its stream ends here. */
  get #lastCursor(): string {
    return this.#start ? this.cursorAt(this.next) : this.#hub.cursorOfUnopened(this.#settings);
  }

  #given(cursor: string | undefined, now: number, withEvents = false): void {
    const { next, eventAt } = this.#place;
    this.#place = { next, cursor, at: now, eventAt: withEvents ? now : eventAt };
  }

  #begin(): void {
    if (!this.#hub.ready) return this.#announce();
    // Whoever came before the window was known begins at the head that it now has.
    if (this.#headThen === UNKNOWN) this.#headThen = this.#hub.log.head;
    const start = this.#resolveStart();
    if (!('ahead' in start)) return this.#openAt(start);
    this.#announce();
    if (this.connected) this.#hub.holdUntil(this, start.ahead);
  }

  #resolveStart(): ReturnType<typeof resolveStart> {
    const { log } = this.#hub;
    const { lastEventId, since, notBefore, onGap } = this.#settings;
    const wish = { lastEventId, since, notBefore, onGap, head: this.#headThen };
    if (this.#gap) return startAfterGap(log, this.#reader.selection, wish, this.#gap);
    return resolveStart(log, this.#reader.selection, wish);
  }

  /** Until this node's window is known, or reaches to where the client is, it has its headers, `retry` and heartbeats. */
  #announce(): void {
    if (this.#announced) return;
    this.#announced = true;
    const retry = this.#hub.retry(this.#settings.retryInterval);
    this.#send(this.control.cursor(this.#hub.cursorOfUnopened(this.#settings), retry));
  }

  /** The log has not got what the client claims to have, and never will. */
  startDiverged(): void {
    if (this.#state !== 'connecting') return;
    this.#gap = 'diverged';
    this.pump();
  }

  #openAt(start: Start): void {
    this.#startAt(start);
    this.#following = !this.#reader.selection.empty;
    this.#state = 'streaming';
    if (this.#following) this.#setBehind(true);
    this.#hub.reporter.connected(this, start);
    const initial = start.resumed === 'full' ? undefined : this.#settings.initial;
    this.#initialDue = initial !== undefined;
    this.#sendOpen(start.resumed);
    if (initial && this.connected) void this.#initialise(initial);
  }

  /** `sse.open`, and in the same write what has to be said before anything else. */
  #sendOpen(resumed: Resumed): void {
    const cursor = this.cursorAt(this.#place.next);
    const retry = this.#hub.retry(this.#settings.retryInterval);
    const { interval } = this.#timer;
    const open = this.control.open(cursor, retry, { clientId: this.id, resumed, heartbeatInterval: interval });
    this.#given(cursor, performance.now());
    const { frames, next } = this.#reader.readDue(this.#place.next, this.#following);
    this.#moveTo(next);
    this.#write([open, ...frames], 0);
  }

  #tellClosed(topic: string, after: number): void {
    const make = (index: number): Frame => this.control.closed(this.cursorAt(index), topic);
    this.#reader.addPrivate({ after, size: FRAME_BYTES, make });
  }

  /** The first topics came after the stream was open: the replay begins now, from the cursor it has kept. */
  #follow(): void {
    this.#following = true;
    this.#setBehind(true);
    const start = this.#resolveStart();
    if ('ahead' in start) return;
    this.#startAt(start);
  }

  async #initialise(initial: NonNullable<ClientSettings['initial']>): Promise<void> {
    this.#state = 'initialising';
    try {
      this.#initialised(await this.origin.runInAsyncScope(initial, undefined, this));
    } catch (error) {
      if (!this.connected) return;
      this.#hub.reporter.initialFailed(this, error);
      this.finish('error');
    }
  }

  #initialised(entries: readonly EventEntry[]): void {
    if (this.#state !== 'initialising') return;
    const frames = entries.map((entry) => this.#privateFrame(entry, this.#place.next));
    const last = frames.pop();
    if (last) frames.push({ ...last, make: (index) => this.#lastInitial(last, index) });
    else this.#initialDue = false;
    this.#reader.addPrivateFirst(frames);
    this.#state = 'streaming';
    this.#pumpSoon();
  }

  #lastInitial(last: PrivateFrame, index: number): Frame {
    this.#initialDue = false;
    return last.make(index);
  }

  /** At once where others write at once, else at the end of the turn. */
  #pumpSoon(): void {
    if (this.atOnce) this.pump();
    else this.#hub.wake(this);
  }

  /** An event for this client alone, in its turn. Throws `SEND_ERROR` when too many of them wait already. */
  send(entry: EventEntry): void {
    const frame = this.#privateFrame(entry, this.#hub.log.head);
    if (!this.#hasRoomFor(frame.size)) this.pump();
    if (!this.connected) throw new SSEError('CLIENT_NOT_FOUND', `Client ${this.id} has ended just now.`);
    if (!this.#hasRoomFor(frame.size)) {
      throw new SSEError(
        'SEND_ERROR',
        `Client ${this.id} is behind, and ${this.#reader.privateSize} bytes wait for it alone already ` +
          `(highWaterMark is ${this.#hub.options.highWaterMark}). Publish to a topic instead: the log keeps it.`,
      );
    }
    this.leaveStep();
    this.#reader.addPrivate(frame);
    this.#pumpSoon();
  }

  #hasRoomFor(size: number): boolean {
    const { privateSize } = this.#reader;
    if (privateSize + size <= this.#hub.options.highWaterMark) return true;
    // A single large one may pass where nothing is in its way.
    return privateSize === 0 && this.#transport.ready;
  }

  #privateFrame(entry: EventEntry, after: number): PrivateFrame {
    const { metadata: _, ...wire } = entry;
    const { data, comment = '', id } = wire;
    const size = FRAME_BYTES + encodedSize('data', data) + encodedSize('', comment);
    const make = (index: number): Frame => {
      const cursor = this.cursorAt(index);
      const block = blockOf(wire, cursor);
      return new Frame(id === undefined ? [block] : [block, cursorBlock(cursor, this.control.named)]);
    };
    return { after, size, make };
  }

  /** Takes over a new selection, in which `name` is new. */
  addName(selection: Selection, name: string, filter: Filter | undefined): void {
    this.takePosition();
    this.#reader.selection = selection;
    this.#reader.setFilter(name, filter);
    this.#hub.wake(this);
    if (!this.#following) return;
    this.#reader.addLate(name, this.#hub.log.head);
    if (this.#skips(name, this.#hub.log.head)) this.#reader.noteLate(name);
    if (this.#hub.closedTopics.isClosed(name) && !this.#reader.finished) this.#tellClosed(name, this.#hub.log.head);
  }

  /** Nothing of this name from before is for it, wherever it is in the log. */
  countFromHere(name: string): void {
    this.#reader.addLate(name, this.#hub.log.head);
  }

  // Only a client that came back expects what was published while it was away.
  #skips(name: string, at: number): boolean {
    if (!this.#start || this.#settings.lastEventId === '') return false;
    return skipsRetained(this.#hub.log, this.#reader.selection, name, this.#start, at);
  }

  removeName(selection: Selection, name: string): void {
    this.takePosition();
    this.#reader.selection = selection;
    this.#reader.forget(name);
    this.#hub.wake(this);
  }

  setFilter(name: string, filter: Filter | undefined): void {
    this.leaveStep();
    this.#reader.setFilter(name, filter);
    this.#hub.wake(this);
  }

  /** Milliseconds; 0 for none. */
  setHeartbeat(interval: number): void {
    this.#timer.interval = interval;
    this.#wakeInTime();
  }

  #wakeInTime(): void {
    this.#timer.wroteAt(this.#place.at);
    this.#hub.timers.schedule(this, this.#timer.next());
  }

  tick(now: number): number {
    if (!this.connected) return Infinity;
    this.#timer.wroteAt(this.#place.at);
    const due = this.#timer.due(now);
    if (due === 'slow') this.abandon('slow');
    else if (due === 'expired' || due === 'age') this.#flushAndFinish(due);
    else if (due === 'heartbeat') this.#beat(now);
    return this.connected ? this.#timer.next() : Infinity;
  }

  #flushAndFinish(reason: DisconnectReason): void {
    this.pump();
    this.finish(reason);
  }

  #beat(now: number): void {
    const waits = this.#behind && this.#state === 'streaming' && this.#hub.ready;
    if (waits) return;
    if (!this.#transport.ready) return this.#stall();
    this.#send(this.#quietCursor(now) ?? HEARTBEAT);
    this.#lastHeartbeat = now;
    this.#hub.reporter.heartbeat();
  }

  /** A quiet client's cursor is moved on now and then, so that busy neighbours cannot make it look lost. */
  #quietCursor(now: number): Frame | undefined {
    if (this.#state !== 'streaming' || !this.#following) return undefined;
    const { at, cursor: last } = this.#place;
    if (now - at < QUIET_CURSOR_INTERVAL) return undefined;
    const cursor = this.cursorAt(this.next);
    if (cursor === last) return undefined;
    this.#given(cursor, now);
    return this.control.cursor(cursor);
  }

  #send(frame: Frame): void {
    this.#transmit(new Batch([frame]));
  }

  #endOf(ending: 'finished' | 'expired' | 'error'): void {
    if (ending === 'finished') this.finishForGood(ending);
    else this.finish(ending);
  }

  /** Ends the stream; an EventSource comes back, and who takes an end for the last word does after a cut. */
  finish(reason: DisconnectReason): void {
    const expired = reason === 'expired' && this.connected ? this.control.expired(this.#lastCursor) : undefined;
    if (expired) this.#send(expired);
    // One whose place another has taken is not to come back: it would take that one's in turn.
    this.#end(reason, reason === 'replaced' ? 'end' : this.#settings.plannedEnd);
  }

  #end(reason: DisconnectReason, ending: Ending): void {
    if (!this.#leave(reason)) return;
    try {
      this.#transport.end(ending);
    } catch (error) {
      this.#hub.reporter.clientFailed(this, error);
      this.#transport.destroy();
    }
  }

  /** Ends the stream with `sse.end`; an EventSource comes back once with the terminal cursor, and then never. */
  finishForGood(reason: DisconnectReason): void {
    if (!this.connected) return;
    this.#send(this.control.end());
    this.#end(reason, 'end');
  }

  /** Ends a stream that accepts nothing, or whose transport or filter broke in a way that nobody foresaw. */
  abandon(reason: DisconnectReason): void {
    if (this.#leave(reason)) this.#transport.destroy();
  }

  /** Ends the stream at shutdown: its cursor, and a `retry` that spreads those who come back. */
  async sendHome(retry: number): Promise<void> {
    this.pump();
    if (!this.connected) return;
    this.#send(this.control.cursor(this.#lastCursor, retry));
    this.#leave('shutdown');
    await this.#transport.close(this.#settings.plannedEnd);
  }

  /** Forgets a client whose response could not be begun, and leaves that one alone. */
  release(): void {
    if (!this.connected) return;
    this.#state = 'gone';
    this.#hub.withdraw(this);
    this.#transport.release();
  }

  /** What is safe to send to others: the fields of `SSEClient` without the response. */
  toJSON(): Omit<SSEClient, 'topics' | 'response'> & { topics: string[] } {
    const { id, connected, group, topics, metadata, connectedAt, lastEventId, lastEventAt, lastHeartbeatAt } = this;
    const json = { id, connected, group, metadata, connectedAt, lastEventId, lastEventAt, lastHeartbeatAt };
    return { ...json, topics: [...topics] };
  }

  /** Lets go of the connection, whatever is still unwritten. */
  destroy(): void {
    this.#transport.destroy();
  }

  /** Another life of the log has begun: nothing of the old one can follow. */
  restart(): void {
    if (!this.connected) return;
    this.#headThen = UNKNOWN;
    this.#cursorThen = undefined;
    if (this.#state === 'connecting') return;
    this.#gap = 'epoch';
    // Whoever follows nothing stays at its cursor, which is of the old life.
    this.#following &&= !this.#reader.selection.empty;
    this.#setBehind(this.#following);
    // As long as it is untold, nothing of the new life can be claimed.
    this.#startAt(anewAt(this.#hub.log.head, 'epoch'));
  }

  /** The window of the log is known. Whoever was in another life begins anew in it, like those who come back. */
  settle(): void {
    if (this.#gap === undefined || !this.#following) return;
    this.#headThen = this.#hub.log.head;
    const start = this.#resolveStart();
    if ('ahead' in start) return;
    this.#gap = undefined;
    this.#startAt(start);
  }

  #startAt(start: Start): void {
    this.#start = start;
    this.#moveTo(start.next);
    this.#reader.begin(start);
    for (const [name, at] of this.#reader.late) if (this.#skips(name, at)) this.#reader.noteLate(name);
  }

  drained(): void {
    if (!this.connected) return;
    // Heartbeats have rested meanwhile.
    if (this.#timer.unblock()) this.#wakeInTime();
    this.#pumpSoon();
  }

  disconnected(): void {
    this.#leave('closed');
  }

  /** Answers whether it was still there. */
  #leave(reason: DisconnectReason): boolean {
    if (!this.connected) return false;
    this.leaveStep();
    this.#state = 'gone';
    this.#hub.forget(this, reason);
    return true;
  }
}

function isoTime(monotonic: number): string {
  return new Date(Date.now() - (performance.now() - monotonic)).toISOString();
}
