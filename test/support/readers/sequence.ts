import { comparePositions, ORIGIN, parseCursor } from '../../../src/protocol/cursor.js';
import type { ReceivedEvent } from './event-stream.js';

/** What one client got over all its connections, in numbers. */
export interface Tally {
  readonly received: number;
  readonly losses: number;
  readonly duplicates: number;
  readonly resets: number;
  /** The first things that were wrong, in words. */
  readonly faults: readonly string[];
}

const FAULTS_KEPT = 5;

/**
 * The invariant for a client that was there before anything was published, and whose events say which of their topic
 * they are: `{ topic, n }`, with `n` from 0 on. Nothing has to be remembered but a number per topic.
 */
export class Sequence {
  #received = 0;
  #losses = 0;
  #duplicates = 0;
  #resets = 0;
  #last = ORIGIN;
  #opened = false;
  readonly #faults: string[] = [];
  readonly #next: Map<string, number>;

  constructor(topics: readonly string[]) {
    this.#next = new Map(topics.map((topic) => [topic, 0]));
  }

  accept(received: ReceivedEvent): void {
    if (received.event === 'sse.open') return this.#open(received);
    if (received.event === 'sse.reset') {
      this.#resets++;
      return this.#blame('told of a loss', received);
    }
    if (received.event === 'sse.cursor') return;
    if (received.event.startsWith('sse.')) return this.#blame('unexpected', received);
    this.#received++;
    this.#acceptEvent(received);
  }

  /** Whether it has all of what was published. */
  isComplete(published: Readonly<Record<string, number>>): boolean {
    return [...this.#next].every(([topic, next]) => next >= (published[topic] ?? 0));
  }

  tally(published: Readonly<Record<string, number>>): Tally {
    for (const [topic, next] of this.#next) {
      const missing = (published[topic] ?? 0) - next;
      if (missing > 0) this.#lose(topic, next, missing);
    }
    return {
      received: this.#received,
      losses: this.#losses,
      duplicates: this.#duplicates,
      resets: this.#resets,
      faults: this.#faults,
    };
  }

  #open(received: ReceivedEvent): void {
    const { resumed } = JSON.parse(received.data) as { resumed: string };
    if (resumed !== (this.#opened ? 'full' : 'none')) this.#blame('not a full resume', received);
    this.#opened = true;
  }

  #acceptEvent(received: ReceivedEvent): void {
    const { topic, n } = JSON.parse(received.data) as { topic: string; n: number };
    const next = this.#next.get(topic);
    if (next === undefined) return this.#blame('of a topic that it does not follow', received);
    this.#move(received);
    if (n > next) this.#lose(topic, next, n - next);
    if (n < next) {
      this.#duplicates++;
      return this.#blame('came again', received);
    }
    this.#next.set(topic, n + 1);
  }

  #move(received: ReceivedEvent): void {
    const position = parseCursor(received.lastEventId)?.position;
    if (!position) return this.#blame('without a cursor', received);
    if (comparePositions(position, this.#last) <= 0) this.#blame('out of order', received);
    this.#last = position;
  }

  #lose(topic: string, next: number, count: number): void {
    this.#losses += count;
    this.#note(`lost: ${count} of ${topic}, from ${next} on`);
  }

  #blame(what: string, { event, data, lastEventId }: ReceivedEvent): void {
    this.#note(`${what}: ${event} ${data} ${lastEventId}`);
  }

  #note(fault: string): void {
    if (this.#faults.length < FAULTS_KEPT) this.#faults.push(fault);
  }
}
