import type { Turn } from '../turn.js';
import type { Member } from './followers.js';
import type { Place, Progress } from './place.js';

/** Where one client stands in the log, and how far that is from the head. Its only position. */
export class Standing {
  #place: Place;
  #progress: Progress = 'idle';
  #behindSince = 0;

  constructor(
    private readonly client: Member,
    private readonly turn: Turn,
    next: number,
  ) {
    this.#place = { next, cursor: undefined, at: performance.now(), eventAt: undefined };
  }

  get place(): Place {
    return this.#place;
  }

  get progress(): Progress {
    return this.#progress;
  }

  /** It has got everything so far, whether or not together with others. */
  get isUpToDate(): boolean {
    return this.#progress === 'current' || this.#progress === 'inStep';
  }

  /** For how long it has lacked something that is in the log, in milliseconds. */
  get behindFor(): number {
    return this.#progress === 'behind' ? performance.now() - this.#behindSince : 0;
  }

  /**
   * The index of the first entry that it has not passed. Who is not behind has passed what all have passed who are not:
   * nothing is noted for each of them.
   */
  get next(): number {
    const { next } = this.#place;
    return this.isUpToDate ? Math.max(next, this.turn.passedBy(this.client)) : next;
  }

  /** Whether it has got everything before `end`, so that the turn has nothing for it. */
  hasPassed(end: number): boolean {
    return this.#progress !== 'behind' && this.#place.next >= end;
  }

  /** It was given what others were given, too. */
  share(place: Place): void {
    this.#place = place;
  }

  moveTo(next: number): void {
    const { cursor, at, eventAt } = this.#place;
    this.#place = { next, cursor, at, eventAt };
  }

  /** It was given this cursor, at this time, and with it an event or none. */
  give(cursor: string | undefined, at: number, withEvent = false): void {
    const { next, eventAt } = this.#place;
    this.#place = { next, cursor, at, eventAt: withEvent ? at : eventAt };
  }

  /** At the head just now, whatever there is still to write: its time to get there begins anew. */
  touchHead(): void {
    this.#behindSince = performance.now();
  }

  /** Spells out where it is, before what all have passed moves on. */
  fix(): void {
    if (!this.isUpToDate) return;
    this.moveTo(this.next);
    this.become('behind');
  }

  become(progress: Progress): void {
    const was = this.#progress;
    if (was === progress) return;
    if (was === 'inStep') this.client.followers.laneOf(this.client).inStep.delete(this.client);
    if (was === 'behind') this.turn.behind.delete(this.client);
    this.#progress = progress;
    if (progress === 'inStep') this.client.followers.laneOf(this.client).inStep.add(this.client);
    if (progress !== 'behind') return;
    this.#behindSince = performance.now();
    this.turn.behind.add(this.client);
  }
}
