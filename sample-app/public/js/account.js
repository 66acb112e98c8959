/** Which numbers of a flow have been sent, and which have arrived. Nodes count for themselves, each in its own lane. */

/** @typedef {'live' | 'late' | 'waiting' | 'missing' | 'told' | 'doubled'} State */

/** A number that was known to be sent, and not here, for longer than this came from the log and not as it was published. */
const LATE = 200;

/** Numbers of a lane are further apart than this, in milliseconds, unless several that have waited come together. */
const TOGETHER = 100;

/** States of more than these are forgotten, the oldest first. */
const KEPT = 400;

class Lane {
  /** @type {Map<number, State>} */
  states = new Map();
  #waitingSince = new Map();
  #early = new Set();
  #arrivedAt = -Infinity;

  constructor(newest) {
    this.first = newest;
    this.newest = newest;
    this.next = newest + 1;
  }

  /** Published between the place where the stream begins and the state that it begins with, a number is in both. Once. */
  isEarly(n) {
    if (n > this.first || this.#early.has(n)) return false;
    this.#early.add(n);
    return true;
  }

  set(n, state) {
    this.states.set(n, state);
    if (this.states.size > KEPT) this.states.delete(this.states.keys().next().value);
  }

  sentUpTo(n) {
    for (let one = Math.max(this.newest + 1, n - KEPT); one <= n; one++) {
      this.set(one, 'waiting');
      this.#waitingSince.set(one, performance.now());
    }
    this.newest = Math.max(this.newest, n);
  }

  /** It will not come any more. */
  forget(n) {
    this.#waitingSince.delete(n);
  }

  /** Answers with how it came. */
  take(n) {
    const since = this.#waitingSince.get(n);
    this.#waitingSince.delete(n);
    const now = performance.now();
    const isLate = now - (since ?? now) > LATE || now - this.#arrivedAt < TOGETHER;
    this.#arrivedAt = now;
    return isLate ? 'late' : 'live';
  }
}

export class Account {
  /** @type {Map<string, Lane>} */
  lanes = new Map();
  received = 0;
  late = 0;
  missing = 0;
  doubled = 0;
  told = 0;

  get sent() {
    return this.received - this.doubled + this.missing + this.told + this.behind;
  }

  get behind() {
    let behind = 0;
    for (const { newest, next } of this.lanes.values()) behind += newest + 1 - next;
    return behind;
  }

  /** The newest number when a stream begins: what is before it is not its affair. */
  begin(lane, newest) {
    this.lanes.set(lane, new Lane(newest));
  }

  /** All counters at 0, from here on. */
  again() {
    const account = new Account();
    for (const [lane, { next }] of this.lanes) account.begin(lane, next - 1);
    return account;
  }

  /** A number is known to have been sent. */
  sentUpTo(lane, n) {
    this.lanes.get(lane)?.sentUpTo(n);
  }

  arrived(lane, n) {
    if (!this.lanes.has(lane)) this.begin(lane, n - 1);
    const known = this.lanes.get(lane);
    if (known.isEarly(n)) return;
    this.received++;
    if (n < known.next) {
      this.doubled++;
      known.set(n, 'doubled');
      return;
    }
    known.newest = Math.max(known.newest, n);
    this.missing += this.#pass(known, n, 'missing');
    const how = known.take(n);
    if (how === 'late') this.late++;
    known.set(n, how);
    known.next = n + 1;
  }

  /** The numbers up to this one will not come any more, and somebody has said so, or nobody has. */
  gone(lane, n, state) {
    const known = this.lanes.get(lane);
    // Another life of the counter, in which the old numbers mean nothing.
    if (!known || n < known.next - 1) return this.begin(lane, n);
    known.newest = Math.max(known.newest, n);
    this[state] += this.#pass(known, n + 1, state);
    known.next = n + 1;
  }

  #pass(lane, to, state) {
    const passed = to - lane.next;
    for (let n = Math.max(lane.next, to - KEPT); n < to; n++) {
      lane.forget(n);
      lane.set(n, state);
    }
    return passed;
  }
}
