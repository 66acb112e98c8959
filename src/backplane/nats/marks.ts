/** From one mark to the next it is so large a part of what the log keeps, or up to three times as much. */
const LEAST_STEP = 1 / 100;

/** A place at which the log can be cut off. */
interface Mark {
  /** The message that is the oldest then. */
  readonly message: number;
  /** How many entries were read before it. */
  readonly before: number;
}

/**
 * Where the log can be cut off without having fewer entries than it is to keep. JetStream's own limit is one of messages,
 * and these have up to a thousand entries each; how many, a node knows that has read them.
 */
export class Marks {
  /** Oldest first. Only the first one may have more entries behind it than the log is to keep. */
  #marks: Mark[] = [];
  #read = 0;
  /** How many were read before the newest mark, and which part of the limit follows until the next. */
  #newest = 0;
  #step = LEAST_STEP;

  /** How many entries the log is to keep, and the most messages that it can. */
  constructor(public limit = Infinity) {}

  /** Another epoch of the log is read. */
  clear(): void {
    this.#marks = [];
    this.#read = 0;
    this.#newest = 0;
  }

  /**
   * To be called for each message that is read. Answers now and then with the one that could be the oldest, when something
   * before it is still there.
   */
  note(message: number, entries: number): number | undefined {
    const isDue = this.#read - this.#newest >= this.limit * this.#step;
    if (isDue) this.#mark(message);
    this.#read += entries;
    if (!isDue) return undefined;
    const at = this.#marks.findLastIndex(({ before }) => this.#read - before >= this.limit);
    if (at < 0) return undefined;
    const [oldest] = this.#marks.splice(0, at + 1).slice(-1);
    return message - oldest!.message + 1 < this.limit ? oldest!.message : undefined;
  }

  #mark(message: number): void {
    this.#marks.push({ message, before: this.#read });
    // At other places on each node, because otherwise it could always be the message of one that may not cut anything off.
    this.#step = LEAST_STEP * (1 + 2 * Math.random());
    this.#newest = this.#read;
  }
}
