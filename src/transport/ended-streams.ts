/** Streams that have ended and whose clients have not read all of them yet. A server that closes would wait for them. */
export class EndedStreams {
  readonly #unread = new Set<() => void>();

  constructor(
    /** Milliseconds that the rest of each may take to leave, while the server is open. */
    readonly slowTimeout: number,
  ) {}

  /** One more, and how it is given up. Answers how to forget it, once it has been read. */
  add(giveUp: () => void): () => void {
    this.#unread.add(giveUp);
    return () => this.#unread.delete(giveUp);
  }

  /** The server closes: those that are still unread in so many milliseconds are given up. */
  giveUpIn(timeout: number): void {
    if (this.#unread.size === 0) return;
    setTimeout(() => {
      for (const giveUp of this.#unread) giveUp();
    }, timeout).unref();
  }
}
