import { setTimeout as delay } from 'node:timers/promises';

import type { Backplane } from '../backplane/backplane.js';
import { comparePositions, type Position } from '../protocol/cursor.js';
import type { Member } from './clients/followers.js';
import { describe, type SSELogger } from './reporting/logger.js';

/** Milliseconds. */
const ASK_AGAIN_AFTER = 1_000;

/**
 * Clients whose cursor is beyond what this node has read. They wait until it has; or until the log says that it ends before
 * that, so that the cursor belongs to another history.
 */
export class HeldClients {
  readonly #held = new Map<Member, Position>();
  /** Those of them that have come since the log was last asked for its end. */
  readonly #unasked = new Set<Member>();
  #asking = false;
  /** That the log's end cannot be read has been said. */
  #endIsUnknown = false;

  constructor(
    private readonly backplane: Backplane,
    private readonly logger: SSELogger,
  ) {}

  get size(): number {
    return this.#held.size;
  }

  hold(client: Member, position: Position): void {
    if (this.#held.has(client)) return;
    this.#held.set(client, position);
    this.#unasked.add(client);
    void this.#askForEnd();
  }

  forget(client: Member): void {
    this.#held.delete(client);
    this.#unasked.delete(client);
  }

  /** Those for whom this node has read far enough. They wait no longer. */
  release(readUpTo: Position): Member[] {
    const released: Member[] = [];
    for (const [client, position] of this.#held) {
      if (comparePositions(position, readUpTo) > 0) continue;
      this.#held.delete(client);
      released.push(client);
    }
    return released;
  }

  /** The log is asked for its own end once for all who wait. */
  async #askForEnd(): Promise<void> {
    if (this.#asking) return;
    this.#asking = true;
    try {
      while (this.#unasked.size > 0) {
        const waiting = [...this.#unasked];
        this.#unasked.clear();
        this.#judge(waiting, await this.#endOfLog(waiting));
      }
    } finally {
      this.#asking = false;
    }
  }

  async #endOfLog(waiting: readonly Member[]): Promise<Position | undefined> {
    try {
      const end = await this.backplane.end();
      this.#endIsUnknown = false;
      return end;
    } catch (error) {
      if (!this.#endIsUnknown) {
        this.logger.warn(`The end of the log cannot be read; clients ahead of this node wait: ${describe(error)}`);
      }
      this.#endIsUnknown = true;
      await delay(ASK_AGAIN_AFTER, undefined, { ref: false });
      for (const client of waiting) if (this.#held.has(client)) this.#unasked.add(client);
      return undefined;
    }
  }

  #judge(waiting: readonly Member[], end: Position | undefined): void {
    if (!end) return;
    for (const client of waiting) {
      const position = this.#held.get(client);
      if (!position || comparePositions(position, end) <= 0) continue;
      this.#held.delete(client);
      client.startDiverged();
    }
  }
}
