import { inNoContext } from './callbacks.js';

/** Milliseconds between two looks at who is due, unless somebody needs it finer. */
const TICK = 50;
const MAX_DELAY = 60 * 60 * 1_000;

/** Something that wants to be told when time has passed. */
export interface Timed {
  /** Answers when it wants to be called next; Infinity for never. Both on the clock of `performance.now()`. */
  tick(now: number): number;
}

/**
 * One timer for everything that clients do when time passes: heartbeats, expiry, the age of a connection, giving up on
 * a slow reader. They wait in buckets, so adding, moving and removing one takes constant time.
 */
export class TimerWheel {
  readonly #buckets = new Map<number, Set<Timed>>();
  readonly #bucketOf = new Map<Timed, number>();
  #timer: NodeJS.Timeout | undefined;
  #wakeAt = Infinity;

  constructor(private readonly interval = TICK) {}

  /** How many wait. */
  get size(): number {
    return this.#bucketOf.size;
  }

  /** Has `tick` called at this time or shortly after it, and no longer at another one. */
  schedule(client: Timed, at: number): void {
    this.remove(client);
    if (at === Infinity) return;
    const bucket = Math.ceil(at / this.interval);
    this.#bucketOf.set(client, bucket);
    const clients = this.#buckets.get(bucket);
    if (clients) clients.add(client);
    else this.#buckets.set(bucket, new Set([client]));
    this.#wake(bucket * this.interval);
  }

  remove(client: Timed): void {
    const bucket = this.#bucketOf.get(client);
    if (bucket === undefined) return;
    this.#bucketOf.delete(client);
    const clients = this.#buckets.get(bucket);
    clients?.delete(client);
    if (clients?.size === 0) this.#buckets.delete(bucket);
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#wakeAt = Infinity;
    this.#buckets.clear();
    this.#bucketOf.clear();
  }

  #wake(at: number): void {
    if (at >= this.#wakeAt) return;
    clearTimeout(this.#timer);
    this.#wakeAt = at;
    // Node cuts off the fraction, and would call too early.
    const delay = Math.min(Math.max(1, Math.ceil(at - performance.now())), MAX_DELAY);
    this.#timer = inNoContext(() => setTimeout(() => this.#tick(), delay)).unref();
  }

  #tick(): void {
    this.#wakeAt = Infinity;
    const now = performance.now();
    const due = Math.floor(now / this.interval);
    let next = Infinity;
    for (const [bucket, clients] of this.#buckets) {
      if (bucket > due) {
        next = Math.min(next, bucket);
        continue;
      }
      this.#buckets.delete(bucket);
      for (const client of clients) {
        // One that was due before it has moved it, or removed it.
        if (this.#bucketOf.get(client) !== bucket) continue;
        this.#bucketOf.delete(client);
        this.schedule(client, client.tick(now));
      }
    }
    if (next !== Infinity) this.#wake(next * this.interval);
  }
}
