import type { Transport } from './transport.js';

const DEAF_PROBE_INTERVAL = 5_000;
/** Heartbeats of clients that fell quiet together drift apart by up to this part of the interval. */
const HEARTBEAT_SPREAD = 0.25;

export interface PulseOptions {
  /** Milliseconds; 0 for no heartbeat. */
  readonly heartbeatInterval: number;
  /** Milliseconds since 1970; Infinity for never. */
  readonly expiresAt: number;
  /** On the clock of `performance.now()`, like everything else here; Infinity for never. */
  readonly endsAt: number;
  readonly slowTimeout: number;
}

/** What is due: the end of the stream, for one of three reasons, or a sign of life. */
export type Due = 'expired' | 'age' | 'slow' | 'heartbeat';

/** What time does to one connection. */
export class Pulse {
  lastWrite = performance.now();
  #interval: number;
  #blockedSince: number | undefined;
  #progress = 0;
  readonly #phase = Math.random();

  constructor(
    private readonly options: PulseOptions,
    private readonly transport: Transport,
  ) {
    this.#interval = options.heartbeatInterval;
  }

  get interval(): number {
    return this.#interval;
  }

  set interval(milliseconds: number) {
    this.#interval = milliseconds;
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

  unblock(): void {
    this.#blockedSince = undefined;
  }

  due(now: number): Due | undefined {
    if (Date.now() >= this.options.expiresAt) return 'expired';
    if (now >= this.options.endsAt) return 'age';
    if (this.#isTooSlow(now)) return 'slow';
    return now - this.lastWrite >= this.#quietTime() ? 'heartbeat' : undefined;
  }

  /** When to look again. */
  next(): number {
    const now = performance.now();
    const { endsAt, expiresAt, slowTimeout } = this.options;
    const beat = this.lastWrite + this.#interval * (1 + HEARTBEAT_SPREAD * this.#phase);
    return Math.min(
      endsAt,
      expiresAt === Infinity ? Infinity : now + expiresAt - Date.now(),
      this.#blockedSince === undefined ? Infinity : this.#blockedSince + slowTimeout,
      this.transport.deaf === undefined ? Infinity : now + DEAF_PROBE_INTERVAL,
      this.#interval > 0 ? Math.max(beat, now + 1) : Infinity,
    );
  }

  // A large write that is on its way is no reason to give up: any progress counts.
  #isTooSlow(now: number): boolean {
    if (this.#blockedSince === undefined) return false;
    const { progress } = this.transport;
    if (progress !== this.#progress) {
      this.#progress = progress;
      this.#blockedSince = now;
    }
    return now - this.#blockedSince >= this.options.slowTimeout;
  }

  /** How long nothing may be written. */
  #quietTime(): number {
    const interval = this.#interval > 0 ? this.#interval : Infinity;
    return this.transport.deaf ? Math.min(interval, DEAF_PROBE_INTERVAL) : interval;
  }
}
