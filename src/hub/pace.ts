import type { Followers, Lane, Wait } from './clients/followers.js';
import { type Timed, TimerWheel } from './timer-wheel.js';

/** Milliseconds between two looks at whose interval is over: intervals are short. */
const TICK = 1;

/** Where a turn began. */
export interface TurnBeginning {
  /** The index of its first entry. */
  readonly start: number;
  /** All bytes that the log had been given by then. */
  readonly bytesBefore: number;
}

/** All there is of what waits: its clients are positions in the log, as ever, and the log keeps what they were not given. */
class LaneWait implements Wait, Timed {
  /** When it is over, on the clock of `performance.now()`. */
  until = Infinity;
  isEnding = false;

  constructor(
    readonly followers: Followers,
    readonly lane: Lane,
    readonly from: number,
    /** The turn in which it began. */
    readonly turn: TurnBeginning,
    private readonly onOver: (wait: LaneWait) => void,
  ) {}

  tick(): number {
    this.onOver(this);
    return Infinity;
  }
}

/**
 * How soon one write to a client may follow another. The first event after a pause leaves as if there was no interval; what
 * is published within the interval behind a write waits until it is over, and then leaves together. Who reads a log in order
 * has to be given everything before an event with it: so a lane of followers waits as a whole, and the shortest
 * interval among the topics of what waits counts.
 */
export class Pace {
  /** In the order of the turns in which they began. */
  readonly #waits = new Map<Lane, LaneWait>();
  readonly #over = new Set<LaneWait>();
  readonly #wheel = new TimerWheel(TICK);

  constructor(
    /** Milliseconds, for an event on this topic, or to everybody. */
    readonly intervalOf: (topic: string | undefined) => number,
    /** Somebody's interval is over. */
    private readonly onOver: () => void,
  ) {}

  /** Where the turn began in which the longest wait did: nothing from before it waits. */
  get oldest(): TurnBeginning | undefined {
    for (const { turn } of this.#waits.values()) return turn;
    return undefined;
  }

  /** Whoever waits, those first who have done so longest. */
  get waits(): LaneWait[] {
    return [...this.#waits.values()];
  }

  /** Those whose interval is over. */
  get over(): LaneWait[] {
    return [...this.#over];
  }

  /**
   * Whether an event with this interval has to wait for the lane's last write, which from then on it does. What is before
   * `from` has been written to the lane, unless it waits already.
   */
  holds(followers: Followers, lane: Lane, interval: number, from: number, turn: TurnBeginning): boolean {
    // Some of them have been given it: what comes now is for all of them, again.
    if (lane.wait?.isEnding) return false;
    const now = performance.now();
    // A clock that was set back, as fake ones are, must not stretch it.
    const rest = lane.writtenAt === undefined ? 0 : Math.min(interval, lane.writtenAt + interval - now);
    if (rest <= 0) return false;
    const wait = this.#waits.get(lane) ?? this.#begin(followers, lane, from, turn);
    if (now + rest < wait.until) {
      wait.until = now + rest;
      this.#wheel.schedule(wait, wait.until);
    }
    return true;
  }

  /** The lane is about to be given what it waits for. */
  end(lane: Lane): void {
    const wait = this.#waits.get(lane);
    if (!wait) return;
    wait.isEnding = true;
    this.#waits.delete(lane);
    this.#over.delete(wait);
    this.#wheel.remove(wait);
  }

  /** The lane has been written to; what it had waited for is among that. */
  wrote(lane: Lane, wait: Wait | undefined): void {
    lane.writtenAt = performance.now();
    // One that has begun meanwhile is about what came meanwhile.
    if (lane.wait === wait) lane.wait = undefined;
  }

  stop(): void {
    this.#wheel.stop();
  }

  #begin(followers: Followers, lane: Lane, from: number, { start, bytesBefore }: TurnBeginning): LaneWait {
    const wait = new LaneWait(followers, lane, from, { start, bytesBefore }, this.#end);
    this.#waits.set(lane, wait);
    lane.wait = wait;
    return wait;
  }

  readonly #end = (wait: LaneWait): void => {
    this.#over.add(wait);
    this.onOver();
  };
}
