import { TERMINAL_CURSOR } from '../../protocol/cursor.js';
import { Frame } from '../../protocol/frame.js';
import { ResetReason, Resumed } from '../../sse.client.js';

/**
 * Why a connection is turned away for now: there are `maxClients`, or those of its group; the hub shuts down; the request
 * was `pipelined` behind another stream of its own connection.
 */
export type BusyReason = 'full' | 'shutdown' | 'pipelined' | 'outdated';

/** The frames that the hub sends on its own account. Without control events only their `id` and `retry` remain. */
export class ControlFrames {
  constructor(
    /** Whether they are events that a page can listen for. */
    readonly named: boolean,
  ) {}

  open(cursor: string, retry: number, data: { clientId: string; resumed: Resumed; heartbeatInterval: number }): Frame {
    return this.#frame('sse.open', data, { id: cursor, retry });
  }

  reset(cursor: string, reason: ResetReason, topics: readonly string[]): Frame {
    return this.#frame('sse.reset', { reason, topics }, { id: cursor });
  }

  closed(cursor: string, topic: string): Frame {
    return this.#frame('sse.closed', { topic }, { id: cursor });
  }

  end(): Frame {
    return this.#frame('sse.end', {}, { id: TERMINAL_CURSOR });
  }

  busy(cursor: string, retry: number, reason: BusyReason): Frame {
    return this.#frame('sse.busy', { reason }, { id: cursor, retry });
  }

  /** A page whose rights end can see to new ones. One that listens for nothing need not be told. */
  expired(cursor: string): Frame | undefined {
    return this.named ? this.#frame('sse.expired', {}, { id: cursor }) : undefined;
  }

  /** Moves a client's cursor on. */
  cursor(cursor: string, retry?: number): Frame {
    return this.#frame('sse.cursor', {}, { id: cursor, ...(retry !== undefined && { retry }) });
  }

  #frame(event: string, data: object, rest: { id: string; retry?: number }): Frame {
    return new Frame([this.named ? { event, ...rest, data: JSON.stringify(data) } : rest]);
  }
}
