import type { Transport } from '../../transport/transport.js';

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

/** What is due: the end of the stream, for one of three reasons, or a sign of life. */
export type Due = 'expired' | 'age' | 'slow' | 'heartbeat';

/** What time does to one connection. */
export class ConnectionTimer {
  #lastWrite = performance.now();
  #blockedSince: number | undefined;
  #progress = 0;
  readonly #phase = Math.random();

  constructor(
    private readonly transport: Transport,
    /** Milliseconds between heartbeats; 0 for none. */
    public interval: number,
    private readonly deadlines: Deadlines,
  ) {}

  /** Something was written at this time. */
  wroteAt(at: number): void {
    this.#lastWrite = Math.max(this.#lastWrite, at);
  }

  /** For how long the transport has accepted nothing although there is something to write. */
  get blockedFor(): number {
    return this.#blockedSince === undefined ? 0 : performance.now() - this.#blockedSince;
  }

  /** Answers whether this is new. */
  block(): boolean {
    if (this.#blockedSince !== undefined) return false;
    this.#blockedSince = performance.now();
    this.#progress = this.transport.progress;
    return true;
  }

  /** Answers whether it was blocked. */
  unblock(): boolean {
    if (this.#blockedSince === undefined) return false;
    this.#blockedSince = undefined;
    return true;
  }

  due(now: number): Due | undefined {
    if (Date.now() >= this.deadlines.expiresAt) return 'expired';
    if (now >= this.deadlines.endsAt) return 'age';
    if (this.#isTooSlow(now)) return 'slow';
    return this.interval > 0 && now - this.#lastWrite >= this.interval ? 'heartbeat' : undefined;
  }

  /** When to look again. */
  next(): number {
    const now = performance.now();
    const { endsAt, expiresAt, slowTimeout } = this.deadlines;
    return Math.min(
      endsAt,
      expiresAt === Infinity ? Infinity : now + expiresAt - Date.now(),
      // Nothing can be written to one that is blocked, and what waits to be sent finds out whether the other side is there.
      this.#blockedSince === undefined ? Math.max(this.#nextSign(), now + 1) : this.#blockedSince + slowTimeout,
    );
  }

  #nextSign(): number {
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
