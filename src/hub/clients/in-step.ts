import type { Client } from './client.js';

/** The clients of a selection that are written to at the same time. */
export class Lane {
  readonly clients = new Set<Client>();
  /** Those of them that have got everything so far. */
  readonly inStep = new InStep();
}

/**
 * The clients of a lane that are at the same place and get just what everybody gets. What comes next is the same
 * bytes for all of them, and nothing of a client is looked at for it: that would cost more than the hub's whole part of
 * the write.
 */
export class InStep implements Iterable<Client> {
  readonly #clients = new Set<Client>();
  /** No client's time is up before this, in milliseconds since 1970. */
  #until = Infinity;

  get size(): number {
    return this.#clients.size;
  }

  add(client: Client): void {
    this.#clients.add(client);
    this.#until = Math.min(this.#until, client.expiresAt);
  }

  delete(client: Client): void {
    this.#clients.delete(client);
    if (this.#clients.size === 0) this.#until = Infinity;
  }

  get until(): number {
    return this.#until;
  }

  /** Has those leave to whom an event of this time must not be given any more. */
  expire(ms: number): void {
    for (const client of [...this.#clients]) if (client.expiresAt < ms) client.leaveStep();
    this.#until = [...this.#clients].reduce((until, { expiresAt }) => Math.min(until, expiresAt), Infinity);
  }

  [Symbol.iterator](): IterableIterator<Client> {
    return this.#clients.values();
  }
}
