import type { Floor } from '../../log/history.js';
import type { Frame } from '../../protocol/frame.js';
import type { ResetReason } from '../../sse.client.js';
import type { Following } from '../topics/following.js';
import type { ReaderContext, ReaderOwner } from './client-context.js';
import { type Loss, lossOf, type Start } from './starting-place.js';
import type { Subscriptions } from './subscriptions.js';

/**
 * What one client has lost, until it has been told by `sse.reset`, which is before anything else; and until it is at the
 * head, what it was told, so that it is told once.
 */
export class Losses {
  #untold: Loss | undefined;
  /** What so many evictions of the log took has been told, or was never asked for. */
  #toldEvictions = -1;
  /** What it was told of lies up to here, and it was given no cursor behind that; -1 when it was. */
  #toldUpTo = -1;
  /** From where on it has to be told which of its topics were closed in what it does not get; until it has been told. */
  #closesUntoldFrom = Infinity;

  constructor(
    private readonly context: ReaderContext,
    private readonly client: ReaderOwner,
    start?: Start,
  ) {
    if (!start) return;
    this.#untold = start.loss;
    if (start.anew) this.#toldEvictions = context.log.evictions;
    // Whoever comes anew learns which of its topics have been finished before; who resumes has been told.
    if (start.resumed !== 'full') this.#closesUntoldFrom = 0;
  }

  /** Something is lost that it does not know of: no cursor may claim it. */
  get areUntold(): boolean {
    return this.#untold !== undefined;
  }

  /** Nothing has to be said to it that is not in the log. Who follows nothing is told when it follows something. */
  isTold(following: Following): boolean {
    return (!this.#untold || following.empty) && this.#closesUntoldFrom === Infinity;
  }

  /** A client at the head needs nothing of this any more. */
  get isOver(): boolean {
    return !this.#untold && this.#closesUntoldFrom === Infinity && this.#toldUpTo < 0;
  }

  /** The first reason counts, unless it is the least. */
  note(loss: Loss): void {
    const known = this.#untold ?? loss;
    this.#untold = {
      reason: known.reason === 'late' ? loss.reason : known.reason,
      names: known.names && loss.names && [...new Set([...known.names, ...loss.names])],
    };
  }

  /** It follows this name no longer. */
  forget(name: string): void {
    const names = this.#untold?.names?.filter((other) => other !== name);
    if (names) this.#untold = names.length === 0 ? undefined : { ...this.#untold!, names };
  }

  /**
   * Looks for something from `index` on that has been evicted and that it did not get yet. Answers where to go on. Asked
   * before every step for which the log has let go of something from there on.
   */
  look(index: number, following: Following, subscriptions: Subscriptions | undefined): number {
    const { log } = this.context;
    const { onGap } = this.client.settings;
    const isLoss = (floor: Floor, name: string): boolean =>
      floor.index >= Math.max(index, subscriptions?.since(name) ?? 0);
    const loss = lossOf(log, following, 'slow', isLoss, this.#toldEvictions);
    if (!loss) return index;
    this.note(onGap === 'latest' ? { ...loss, names: undefined } : loss);
    this.#closesUntoldFrom = Math.min(this.#closesUntoldFrom, index);
    return onGap === 'latest' ? log.head : index;
  }

  /**
   * Says what is lost, whichever place it was at: before anything behind the first of them leaves, because a cursor from
   * there claims all that is before it, and another node, which may still have it, would believe that. It is said in one
   * frame, which is the first to carry such a cursor: a connection may be cut between any two.
   */
  tell(index: number, following: Following, isFinished: boolean): Frame[] {
    // With the last of its topics the stream ends, which says it all.
    const frames = isFinished ? [] : this.#passedClosesBefore(index, following);
    this.#closesUntoldFrom = Infinity;
    const loss = this.#untold;
    if (!loss || following.empty) return frames;
    this.#untold = undefined;
    this.#toldEvictions = this.context.log.evictions;
    const { newestFloor } = this.context.log;
    this.#toldUpTo = newestFloor.index >= index ? newestFloor.index : -1;
    return [...frames, this.reset(index, loss.reason, loss.names ?? [...following.names])];
  }

  reset(index: number, reason: ResetReason, names: readonly string[]): Frame {
    this.context.reporter.reset(this.client, reason);
    return this.client.control.reset(this.client.cursorAt(index), reason, names);
  }

  /** It is given an event of this index, and with it a cursor. */
  givenAt(index: number): void {
    if (index > this.#toldUpTo) this.#toldUpTo = -1;
  }

  /** At the head: the frame that takes its cursor past what it was told, which would be told with every connection otherwise. */
  cursorPast(index: number): Frame | undefined {
    if (this.#toldUpTo < 0) return undefined;
    this.#toldUpTo = -1;
    return this.client.control.cursor(this.client.cursorAt(index));
  }

  /** That a topic is finished is told although its close went with what was lost, or was passed over. */
  #passedClosesBefore(index: number, following: Following): Frame[] {
    const { log, closedTopics } = this.context;
    const from = this.#closesUntoldFrom;
    const isPassed = (at: number): boolean => at >= from && (at < index || !log.itemAt(at));
    return [...following.topics]
      .filter((topic) => isPassed(closedTopics.closedAt(topic)))
      .map((topic) => this.client.control.closed(this.client.cursorAt(index), topic));
  }
}
