import type { EventEntry } from '../backplane/backplane.js';
import { blocksOf } from '../log/publication.js';
import { parseCursor, type Position } from '../protocol/cursor.js';
import { Batch, Frame, HEARTBEAT } from '../protocol/frame.js';
import { cursorFrame, type ResetReason, type Resumed, retryFrame } from './control-frames.js';
import { SSEError } from './errors.js';
import type { Ticking } from './heartbeat.js';
import type { Hub } from './hub.js';
import { type Filter, Reader } from './reader.js';
import type { Selection } from './selection.js';
import { type OnGap, resolveStart, type Start, startAfterGap, type StartWish } from './start.js';
import type { Transport, TransportListener } from './transport.js';

/**
 * Why a stream ended: `closed` the other side left; `finished` its topics are closed; `removed` by the application;
 * `evicted` its group was full; `replaced` by a client with the same id; `expired` at `expiresAt`; `age` at
 * `maxConnectionAge`; `slow` it accepted nothing for `slowTimeout`; `shutdown`; `error` a filter or `initial` failed.
 */
export type DisconnectReason =
  'closed' | 'finished' | 'removed' | 'evicted' | 'replaced' | 'expired' | 'age' | 'slow' | 'shutdown' | 'error';

/** One open event stream, as applications see it: a read-only view. */
export interface SSEClient {
  readonly id: string;
  readonly connected: boolean;
  /** Whose client it is. */
  readonly group?: string;
  /** What it follows; patterns as text. */
  readonly topics: ReadonlySet<string>;
  readonly metadata: Record<string, unknown>;
  /** ISO 8601, like the other times. */
  readonly connectedAt: string;
  /** The cursor that was last sent to it. */
  readonly lastEventId?: string;
  readonly lastEventAt?: string;
  readonly lastHeartbeatAt?: string;
  /** The response that it was created with; direct transport only. */
  readonly response?: unknown;
}

/** What a client is, resolved: options of the call, filled up from the configuration. */
export interface ClientSettings {
  readonly id: string;
  readonly group: string | undefined;
  readonly metadata: Record<string, unknown>;
  readonly filter: Filter | undefined;
  readonly lastEventId: string;
  readonly since: number | undefined;
  readonly notBefore: number | undefined;
  readonly onGap: OnGap;
  /** Milliseconds since 1970; Infinity for never. */
  readonly expiresAt: number;
  readonly heartbeatInterval: number;
  readonly retryInterval: number;
  readonly controlEvents: boolean;
  /** What it gets right after connecting, unless everything it missed is replayed. */
  readonly initial: ((client: SSEClient) => readonly EventEntry[] | Promise<readonly EventEntry[]>) | undefined;
}

const QUIET_CURSOR_INTERVAL = 60_000;
const DEAF_PROBE_INTERVAL = 5_000;
/** Heartbeats of clients that fell quiet together drift apart by up to this part of the interval. */
const HEARTBEAT_SPREAD = 0.25;
/** A client that accepted something within this time, in milliseconds, keeps up: what it still needs is kept for it. */
const KEEPS_UP_WITHIN = 1_000;

type State = 'connecting' | 'initialising' | 'streaming' | 'gone';

/** A position in the log, and the transport that takes what follows it. */
export class Client implements SSEClient, TransportListener, Ticking {
  readonly reader: Reader;
  /** There is something it has not been given yet. Otherwise it stands wherever the last turn ended. */
  behind = false;
  #state: State = 'connecting';
  /** Undefined until it follows something: then its replay begins. */
  #start: Start | undefined;
  #following = false;
  #headerSent = false;
  readonly #connected = performance.now();
  readonly #endsAt: number;
  readonly #wish: StartWish;
  #heartbeatInterval: number;
  #lastWrite = performance.now();
  #lastEvent: number | undefined;
  #lastHeartbeat: number | undefined;
  #lastCursor: string | undefined;
  #lastCursorMove = performance.now();
  #blockedSince: number | undefined;
  #progress = 0;
  readonly #phase = Math.random();

  constructor(
    private readonly hub: Hub,
    private readonly settings: ClientSettings,
    private readonly transport: Transport | undefined,
    selection: Selection,
  ) {
    const { lastEventId, since, notBefore, onGap } = settings;
    this.#wish = { lastEventId, since, notBefore, onGap, head: hub.log.head };
    this.#heartbeatInterval = settings.heartbeatInterval;
    this.#endsAt = hub.connectionAge();
    this.reader = new Reader(
      {
        log: hub.log,
        lives: hub.lives,
        control: hub.controlFrames(settings.controlEvents),
        onGap: settings.onGap,
        deserialize: hub.options.deserialize,
        onReset: (reason) => hub.countReset(this, reason),
        onFilterError: (error, topic) => hub.reportFilter(this, error, topic),
      },
      settings,
      settings.filter,
      selection,
    );
    this.reader.next = hub.log.head;
    if (!transport) this.#state = 'gone';
  }

  get id(): string {
    return this.settings.id;
  }

  get group(): string | undefined {
    return this.settings.group;
  }

  get metadata(): Record<string, unknown> {
    return this.settings.metadata;
  }

  get connected(): boolean {
    return this.#state !== 'gone';
  }

  get topics(): ReadonlySet<string> {
    return this.reader.selection.names;
  }

  get connectedAt(): string {
    return isoTime(this.#connected);
  }

  get lastEventId(): string | undefined {
    return this.#lastCursor;
  }

  get lastEventAt(): string | undefined {
    return this.#lastEvent === undefined ? undefined : isoTime(this.#lastEvent);
  }

  get lastHeartbeatAt(): string | undefined {
    return this.#lastHeartbeat === undefined ? undefined : isoTime(this.#lastHeartbeat);
  }

  get response(): unknown {
    return this.transport?.response;
  }

  get eager(): boolean {
    return this.transport?.eager ?? false;
  }

  /** Whether it can take the bytes that everybody with its selection gets for this turn. */
  get takesShared(): boolean {
    return (
      this.#state === 'streaming' &&
      !this.behind &&
      this.#following &&
      this.reader.next <= this.hub.turnStart &&
      this.reader.plain &&
      this.transport!.ready
    );
  }

  /** Whether what it has not got yet should be kept for it beyond the limits of its topics. */
  get keepsUp(): boolean {
    if (this.#state === 'initialising') return true;
    return this.#blockedSince === undefined || performance.now() - this.#blockedSince < KEEPS_UP_WITHIN;
  }

  open(): void {
    this.transport!.open(this);
    this.hub.heartbeat.schedule(this, this.#nextTick());
  }

  /** Writes what a whole selection gets for this turn. */
  writeShared(batch: Batch, events: number, cursor: string, now: number): void {
    this.transport!.write(batch);
    this.#lastWrite = now;
    this.#lastEvent = now;
    this.#lastCursor = cursor;
    this.#lastCursorMove = now;
    this.hub.countDelivered(events, batch.size);
  }

  /** Writes what follows its position until it is at the head or its transport is full. */
  pump(): void {
    if (this.#state === 'connecting') this.#begin();
    if (this.#state !== 'streaming') return;
    if (!this.#following && !this.reader.selection.empty) this.#follow();
    if (!this.#following) return this.#pumpPrivates();
    this.#pumpLog();
  }

  #pumpLog(): void {
    const { log } = this.hub;
    this.#takePosition();
    while (this.connected) {
      if (!this.transport!.ready) return this.#block();
      const reading = this.reader.read(this.hub.options.highWaterMark);
      const replayed = Math.min(reading.next, this.#wish.head) > this.reader.next ? reading.events : 0;
      this.reader.next = reading.next;
      if (reading.frames.length > 0) this.#write(reading.frames, reading.events);
      if (replayed > 0) this.hub.countReplayed(replayed);
      if (reading.ending) return this.#endOf(reading.ending);
      if (this.reader.next >= log.head && reading.frames.length === 0) break;
    }
    if (!this.connected) return;
    this.#unblock();
    this.reader.caughtUp();
  }

  // A client that follows nothing stays where it is; only what is meant for it alone leaves.
  #pumpPrivates(): void {
    if (!this.transport!.ready) return this.#block();
    const frames = this.reader.readPrivate();
    if (frames.length > 0) this.#write(frames, 0);
    this.#unblock();
  }

  /** At the end of every turn all who are not behind have passed everything: only then is the place of one spelled out. */
  #takePosition(): void {
    if (this.behind) return;
    this.reader.next = Math.max(this.reader.next, this.hub.turnStart);
    this.behind = true;
    this.hub.behind.add(this);
  }

  #block(): void {
    this.behind = true;
    this.hub.behind.add(this);
    if (this.#blockedSince !== undefined) return;
    this.#blockedSince = performance.now();
    this.#progress = this.transport!.progress;
    this.hub.heartbeat.schedule(this, this.#nextTick());
  }

  #unblock(): void {
    this.behind = false;
    this.hub.behind.delete(this);
    this.#blockedSince = undefined;
  }

  #write(frames: Frame[], events: number): void {
    const batch = new Batch(frames);
    const now = performance.now();
    this.transport!.write(batch);
    this.#lastWrite = now;
    this.#blockedSince = undefined;
    this.#lastCursor = this.hub.log.cursorBefore(this.reader.next);
    this.#lastCursorMove = now;
    if (events > 0) this.#lastEvent = now;
    this.hub.countDelivered(events, batch.size);
  }

  #begin(): void {
    if (!this.hub.ready) return this.#announce();
    const start = resolveStart(this.hub.log, this.hub.privateIds, this.reader.selection, this.#wish);
    if ('ahead' in start) return this.#holdUntil(start.ahead);
    this.#openAt(start);
  }

  /** Until this node's window is known, the client has its headers and `retry`, and heartbeats. */
  #announce(): void {
    if (this.#headerSent) return;
    this.#headerSent = true;
    const retry = this.hub.retry(this.settings.retryInterval);
    const { lastEventId } = this.settings;
    this.#send(parseCursor(lastEventId) ? cursorFrame(lastEventId, retry) : retryFrame(retry));
  }

  #holdUntil(position: Position): void {
    this.#announce();
    this.hub.holdUntil(this, position);
  }

  /** The node has not got what the client claims to have, and never will. */
  startDiverged(): void {
    if (this.#state !== 'connecting') return;
    this.#openAt(startAfterGap(this.hub.log, this.reader.selection, this.#wish, 'diverged'));
    this.pump();
  }

  #openAt(start: Start): void {
    this.#start = start;
    this.#following = !this.reader.selection.empty;
    this.reader.begin(start);
    this.behind = true;
    this.hub.behind.add(this);
    this.#state = 'streaming';
    this.#sendOpen(start.resumed);
    this.#tellClosedBefore(start);
    this.hub.reportStart(this, start);
    if (start.resumed !== 'full' && this.settings.initial) this.#initialise(this.settings.initial);
  }

  #sendOpen(resumed: Resumed): void {
    const cursor = this.hub.log.cursorBefore(this.reader.next);
    const frame = this.hub
      .controlFrames(this.settings.controlEvents)
      .open(cursor, this.hub.retry(this.settings.retryInterval), {
        clientId: this.id,
        resumed,
        heartbeatInterval: this.#heartbeatInterval,
      });
    this.#send(frame);
    this.#lastCursor = cursor;
    this.#lastCursorMove = performance.now();
  }

  /** Whoever comes anew learns which of its topics have been finished before; who resumes has been told. */
  #tellClosedBefore({ next, resumed }: Start): void {
    if (resumed === 'full') return;
    const control = this.hub.controlFrames(this.settings.controlEvents);
    for (const topic of this.reader.selection.topics) {
      const closedAt = this.hub.lives.closedAt(topic);
      if (closedAt < 0 || closedAt >= next) continue;
      this.reader.addPrivate({ after: next, size: 0, make: (cursor) => control.closed(cursor, topic) });
    }
  }

  /** The first topics came after the stream was open: the replay begins now, from the cursor it has kept. */
  #follow(): void {
    this.#following = true;
    this.behind = true;
    this.hub.behind.add(this);
    if (this.#start?.resumed !== 'full') return;
    const start = resolveStart(this.hub.log, this.hub.privateIds, this.reader.selection, this.#wish);
    if (!('ahead' in start)) this.reader.begin(start);
  }

  #initialise(initial: NonNullable<ClientSettings['initial']>): void {
    this.#state = 'initialising';
    void (async () => {
      try {
        this.#initialised(await initial(this));
      } catch (error) {
        if (!this.connected) return;
        this.hub.reportInitial(this, error);
        this.finish('error');
      }
    })();
  }

  #initialised(entries: readonly EventEntry[]): void {
    if (this.#state !== 'initialising') return;
    for (const entry of entries) this.#addPrivate(entry, this.reader.next);
    this.#state = 'streaming';
    if (this.eager) this.pump();
    else this.hub.wake(this);
  }

  #addPrivate(entry: EventEntry, after: number): void {
    const size = Buffer.byteLength(entry.data);
    const make = (cursor: string): Frame => {
      if (entry.id !== undefined) this.hub.rememberPrivateId(entry.id, cursor);
      return new Frame(blocksOf(entry, cursor));
    };
    this.reader.addPrivate({ after, size, make });
  }

  /** An event for this client alone, in its turn. Throws `SEND_ERROR` when too many of them wait already. */
  send(entry: EventEntry): void {
    const size = Buffer.byteLength(entry.data);
    const full = (): boolean =>
      this.reader.privateSize > 0 && this.reader.privateSize + size > this.hub.options.highWaterMark;
    if (full()) this.pump();
    if (full() || (this.#isStuck() && size > this.hub.options.highWaterMark)) {
      throw new SSEError(
        'SEND_ERROR',
        `Client ${this.id} is behind and ${this.reader.privateSize} bytes wait for it alone already ` +
          `(highWaterMark is ${this.hub.options.highWaterMark}). Publish to a topic instead: the log keeps it.`,
      );
    }
    this.#addPrivate(entry, this.#following ? this.hub.log.head : this.reader.next);
    if (this.eager) this.pump();
    else this.hub.wake(this);
  }

  #isStuck(): boolean {
    return this.behind && !this.transport!.ready;
  }

  /** Takes over a new selection, in which `name` is new. */
  addName(selection: Selection, name: string, filter: Filter | undefined): void {
    this.reader.selection = selection;
    this.reader.setFilter(name, filter);
    if (!this.#following) return this.hub.wake(this);
    this.reader.addLate(name, this.hub.log.head);
    if (this.#skips(selection, name)) this.#tellLate(name);
    if (!this.behind && this.hub.turnStart === this.hub.log.head && this.reader.privateSize === 0)
      this.reader.caughtUp();
    this.hub.wake(this);
  }

  removeName(selection: Selection, name: string): void {
    this.reader.selection = selection;
    this.reader.forget(name);
  }

  setFilter(name: string, filter: Filter | undefined): void {
    this.reader.setFilter(name, filter);
  }

  // Only a client that came back expects what was published while it was away.
  #skips(selection: Selection, name: string): boolean {
    if (!this.#start || this.#wish.lastEventId === '') return false;
    const { log } = this.hub;
    const from = this.#start.next;
    const pattern = selection.patterns.get(name);
    if (!pattern) return (log.historyOf(name)?.newest ?? -1) >= from || log.floorOf(name).index >= from;
    const matches = selection.matcherOf(name);
    if (log.floorOfMatching(matches).index >= from) return true;
    for (let i = log.nextItem(from); i < log.head; i = log.nextItem(i + 1)) {
      const topic = log.itemAt(i)?.topic;
      if (topic !== undefined && matches(topic)) return true;
    }
    return false;
  }

  #tellLate(name: string): void {
    const control = this.hub.controlFrames(this.settings.controlEvents);
    this.hub.countReset(this, 'late');
    this.reader.addPrivate({
      after: this.hub.log.head,
      size: 0,
      make: (cursor) => control.reset(cursor, 'late', [name]),
    });
  }

  startHeartbeat(interval: number): void {
    this.#heartbeatInterval = interval;
    this.hub.heartbeat.schedule(this, this.#nextTick());
  }

  stopHeartbeat(): void {
    this.startHeartbeat(0);
  }

  tick(now: number): number {
    if (!this.connected) return Infinity;
    if (Date.now() >= this.settings.expiresAt) return this.#finishNow('expired');
    if (now >= this.#endsAt) return this.#finishNow('age');
    if (this.#isTooSlow(now)) return this.#finishNow('slow');
    if (now - this.#lastWrite >= this.#quietTime()) this.#beat(now);
    return this.#nextTick();
  }

  #finishNow(reason: 'expired' | 'age' | 'slow'): number {
    if (reason === 'slow') this.abandon();
    else {
      this.pump();
      this.finish(reason);
    }
    return Infinity;
  }

  #isTooSlow(now: number): boolean {
    if (this.#blockedSince === undefined) return false;
    const { progress } = this.transport!;
    if (progress !== this.#progress) {
      this.#progress = progress;
      this.#blockedSince = now;
    }
    return now - this.#blockedSince >= this.hub.options.slowTimeout;
  }

  #beat(now: number): void {
    if (!this.transport!.ready || (this.behind && this.#state === 'streaming' && this.#following)) return;
    const frame = this.#quietCursor(now) ?? HEARTBEAT;
    this.#send(frame);
    this.#lastHeartbeat = now;
    this.hub.countHeartbeat();
  }

  /** A quiet client's cursor is moved on now and then, so that busy neighbours cannot make it look lost. */
  #quietCursor(now: number): Frame | undefined {
    if (this.#state !== 'streaming' || !this.#following || now - this.#lastCursorMove < QUIET_CURSOR_INTERVAL) return;
    this.#lastCursorMove = now;
    const cursor = this.hub.log.cursorBefore(Math.max(this.reader.next, this.hub.turnStart));
    if (cursor === this.#lastCursor) return undefined;
    this.#lastCursor = cursor;
    return cursorFrame(cursor);
  }

  /** How long nothing may be written. */
  #quietTime(): number {
    const interval = this.#heartbeatInterval > 0 ? this.#heartbeatInterval : Infinity;
    return this.transport!.deaf ? Math.min(interval, DEAF_PROBE_INTERVAL) : interval;
  }

  #nextTick(): number {
    const beat = this.#heartbeatInterval * (1 + HEARTBEAT_SPREAD * this.#phase);
    return Math.min(
      this.#endsAt,
      this.settings.expiresAt === Infinity ? Infinity : performance.now() + this.settings.expiresAt - Date.now(),
      this.#blockedSince === undefined ? Infinity : this.#blockedSince + this.hub.options.slowTimeout,
      this.transport!.deaf === undefined ? Infinity : performance.now() + DEAF_PROBE_INTERVAL,
      this.#heartbeatInterval > 0 ? Math.max(this.#lastWrite + beat, performance.now() + 1) : Infinity,
    );
  }

  #send(frame: Frame): void {
    const batch = new Batch([frame]);
    this.transport!.write(batch);
    this.#lastWrite = performance.now();
    this.hub.countDelivered(0, batch.size);
  }

  #endOf(ending: 'finished' | 'expired' | 'error'): void {
    if (ending === 'finished') this.endForGood('finished');
    else this.finish(ending);
  }

  /** Ends the stream; an EventSource comes back. */
  finish(reason: DisconnectReason): void {
    if (!this.connected) return;
    this.#state = 'gone';
    this.transport!.end();
    this.hub.forget(this, reason);
  }

  /** Ends the stream with `sse.end`; an EventSource comes back once with the terminal cursor, and then never. */
  endForGood(reason: 'finished' | 'evicted' | 'removed'): void {
    if (!this.connected) return;
    this.#send(this.hub.controlFrames(this.settings.controlEvents).end());
    this.finish(reason);
  }

  /** Ends the stream at shutdown: its cursor, and a `retry` that spreads those who come back. */
  async sendHome(retry: number): Promise<void> {
    if (!this.connected) return;
    this.pump();
    if (!this.connected) return;
    const cursor = this.hub.ready ? this.hub.log.cursorBefore(this.#place()) : undefined;
    this.#send(cursor === undefined ? retryFrame(retry) : cursorFrame(cursor, retry));
    this.#state = 'gone';
    const closed = this.transport!.close();
    this.hub.forget(this, 'shutdown');
    await closed;
  }

  /** Lets go of the connection, whatever is still unwritten. */
  destroy(): void {
    this.transport?.destroy();
  }

  /** Another life of the log has begun: nothing of the old one can follow. */
  restart(reason: ResetReason): void {
    if (this.#state === 'connecting' || !this.connected) return;
    const { log } = this.hub;
    const loss = { at: log.head - 1, reason, topics: [...this.reader.selection.names] };
    this.reader.begin({ next: log.head, resumed: 'reset', loss });
    this.behind = true;
    this.hub.behind.add(this);
    this.hub.wake(this);
  }

  /** Ends a stream whose transport or filter broke in a way that nobody foresaw. */
  fail(): void {
    if (!this.connected) return;
    this.#state = 'gone';
    this.transport!.destroy();
    this.hub.forget(this, 'error');
  }

  /** Ends a stream that accepts nothing. */
  abandon(): void {
    if (!this.connected) return;
    this.#state = 'gone';
    this.transport!.destroy();
    this.hub.forget(this, 'slow');
  }

  #place(): number {
    return this.behind || !this.#following ? this.reader.next : Math.max(this.reader.next, this.hub.turnStart);
  }

  drained(): void {
    if (!this.connected) return;
    this.#blockedSince = undefined;
    if (this.eager) this.pump();
    else this.hub.wake(this);
  }

  disconnected(): void {
    if (!this.connected) return;
    this.#state = 'gone';
    this.hub.forget(this, 'closed');
  }
}

function isoTime(monotonic: number): string {
  return new Date(Date.now() - (performance.now() - monotonic)).toISOString();
}
