import type { Transport } from '../../transport/transport.js';
import type { Timed, TimerWheel } from '../timer-wheel.js';

/** Heartbeats of clients that fell quiet together drift apart by up to this part of the interval. */
const HEARTBEAT_SPREAD = 0.25;

/** When a connection has to end. */
export interface Deadlines {
  /** Milliseconds since 1970; Infinity for never. */
  readonly expiresAt: number;
  /** On the clock of `performance.now()`, like everything else here; Infinity for never. */
  readonly endsAt: number;
  /** Milliseconds without any progress. */
  readonly slowTimeout: number;
}

/** Why the time of a connection is up: its rights end, it is too old, it accepts nothing. */
export type TimeIsUp = 'expired' | 'age' | 'slow';

/** Whose time it is. */
export interface TimedClient {
  readonly connected: boolean;
  /** What it was given last, perhaps together with others. */
  readonly place: { readonly at: number };
  end(why: TimeIsUp): void;
  /** Sends a sign of life. Answers whether it could. */
  beat(now: number): boolean;
}

/** What time does to one connection: heartbeats, the end of its rights, its age, and giving up on one that accepts nothing. */
export class ConnectionTimer implements Timed {
  #lastWrite = performance.now();
  #blockedSince: number | undefined;
  #progress = 0;
  #lastBeat: number | undefined;
  readonly #phase = Math.random();

  constructor(
    private readonly wheel: TimerWheel,
    private readonly client: TimedClient,
    private readonly transport: Transport,
    /** Milliseconds between heartbeats; 0 for none. */
    private interval: number,
    private readonly deadlines: Deadlines,
  ) {}

  /** Milliseconds between heartbeats; 0 for none. */
  get heartbeatInterval(): number {
    return this.interval;
  }

  setHeartbeat(interval: number): void {
    this.interval = interval;
    this.start();
  }

  /** Looks again when the next of it is due. */
  start(): void {
    this.#noteShared();
    this.wheel.schedule(this, this.#next());
  }

  stop(): void {
    this.wheel.remove(this);
  }

  tick(now: number): number {
    if (!this.client.connected) return Infinity;
    this.#noteShared();
    const due = this.#due(now);
    if (due === 'heartbeat') this.#beat(now);
    else if (due) this.client.end(due);
    return this.client.connected ? this.#next() : Infinity;
  }

  /** Something was written, at this time. */
  wroteAt(at: number): void {
    this.#lastWrite = Math.max(this.#lastWrite, at);
  }

  /** For how long the transport has accepted nothing although there is something to write. Milliseconds. */
  get blockedFor(): number {
    return this.#blockedSince === undefined ? 0 : performance.now() - this.#blockedSince;
  }

  /** The transport takes no more: heartbeats rest, and the time runs after which it is given up. */
  block(): void {
    if (this.#blockedSince !== undefined) return;
    this.#blockedSince = performance.now();
    this.#progress = this.transport.progress;
    this.start();
  }

  unblock(): void {
    if (this.#blockedSince === undefined) return;
    this.#blockedSince = undefined;
    this.start();
  }

  /** When a heartbeat was sent last. */
  get lastBeat(): number | undefined {
    return this.#lastBeat;
  }

  #beat(now: number): void {
    if (this.client.beat(now)) this.#lastBeat = now;
  }

  #noteShared(): void {
    this.wroteAt(this.client.place.at);
  }

  #due(now: number): TimeIsUp | 'heartbeat' | undefined {
    if (Date.now() >= this.deadlines.expiresAt) return 'expired';
    if (now >= this.deadlines.endsAt) return 'age';
    if (this.#isTooSlow(now)) return 'slow';
    return this.interval > 0 && now - this.#lastWrite >= this.interval ? 'heartbeat' : undefined;
  }

  #next(): number {
    const now = performance.now();
    const { endsAt, expiresAt, slowTimeout } = this.deadlines;
    return Math.min(
      endsAt,
      expiresAt === Infinity ? Infinity : now + expiresAt - Date.now(),
      // Nothing can be written to one that is blocked, and what waits to be sent finds out whether the other side is there.
      this.#blockedSince === undefined ? Math.max(this.#nextBeat(), now + 1) : this.#blockedSince + slowTimeout,
    );
  }

  #nextBeat(): number {
    if (this.interval === 0) return Infinity;
    return this.#lastWrite + this.interval * (1 + HEARTBEAT_SPREAD * this.#phase);
  }

  // A large write that is on its way is no reason to give up: any progress counts.
  #isTooSlow(now: number): boolean {
    if (this.#blockedSince === undefined) return false;
    const { progress } = this.transport;
    if (progress !== this.#progress) {
      this.#progress = progress;
      this.#blockedSince = now;
    }
    return now - this.#blockedSince >= this.deadlines.slowTimeout;
  }
}
