import { comparePositions, ORIGIN, type Position } from '../protocol/cursor.js';
import type { EventLog } from './event-log.js';

interface Life {
  readonly closed: boolean;
  /** Of the entry that closed or opened it. */
  readonly index: number;
  readonly position: Position;
  /** Where it began; -1 when no other came before it. */
  readonly began: number;
}

/** Which topics are finished, and which have started over: known as long as the log retains the entry that says so. */
export class ClosedTopics {
  readonly #lives = new Map<string, Life>();
  #forgotten = ORIGIN;

  constructor(private readonly log: EventLog) {}

  get size(): number {
    return this.#lives.size;
  }

  /** What closed a topic up to here is not known any more, or never was. */
  get forgotten(): Position {
    return this.#forgotten;
  }

  isClosed(topic: string): boolean {
    return this.#lives.get(topic)?.closed ?? false;
  }

  /** Where the topic's latest life began, closed or not; -1 when it has had only one. */
  openedAt(topic: string): number {
    return this.#lives.get(topic)?.began ?? -1;
  }

  /** Where the topic was closed; -1 when it is not. */
  closedAt(topic: string): number {
    const life = this.#lives.get(topic);
    return life?.closed ? life.index : -1;
  }

  /** The place of the entry that closed the topic, if it is closed. */
  closedBy(topic: string): Position | undefined {
    const life = this.#lives.get(topic);
    return life?.closed ? life.position : undefined;
  }

  close(topic: string, index: number, position: Position): void {
    this.#lives.set(topic, { closed: true, index, position, began: this.openedAt(topic) });
  }

  open(topic: string, index: number, position: Position): void {
    if (this.#lives.has(topic)) this.#lives.set(topic, { closed: false, index, position, began: index });
  }

  /** The same also for a topic that was never closed: what came before is none of its new life. */
  begin(topic: string, index: number, position: Position): void {
    this.#lives.set(topic, { closed: false, index, position, began: index });
  }

  /** Forgets what the log has let go of, but for what is from `keepFrom` on: somebody has yet to be told of that. */
  prune(keepFrom: number): void {
    for (const [topic, { index, position }] of this.#lives) {
      if (index >= keepFrom || this.log.itemAt(index) !== undefined) continue;
      this.#lives.delete(topic);
      this.missed(position);
    }
  }

  /** What was before this place is unknown. */
  missed(upTo: Position): void {
    if (comparePositions(upTo, this.#forgotten) > 0) this.#forgotten = upTo;
  }

  /** Another life of the log begins here. */
  restart(from: Position): void {
    this.#lives.clear();
    this.#forgotten = from;
  }
}
