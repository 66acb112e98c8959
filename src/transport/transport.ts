import type { Batch, Frame } from '../protocol/frame.js';

/** What a transport reports to the client that it carries. */
export interface TransportListener {
  /** It accepts data again. */
  drained(): void;
  /** The other side is gone, or was never there, or somebody else has ended the response. */
  disconnected(): void;
}

/** How a stream ends behind what has been written: in an orderly way, or so that its reader takes it for a fault. */
export type Ending = 'end' | 'cut';

/**
 * How bytes leave: one open response. A hub gives each client one, and only it calls it.
 *
 * Opening:
 * - `open` is called once, before anything else. It starts the response, whose headers leave with what is written first, or
 *   before.
 * - From then on the listener is told. That nobody is there any more it may hear before `open` has returned.
 *
 * Writing:
 * - What is written arrives once, complete and in order, whatever its size. The bytes of a batch are other clients' too:
 *   they are left as they are.
 * - `ready` asks to wait, and forbids nothing: what is written while it is not ready is kept, and leaves in its turn.
 * - When nobody reads, it is not ready after a limited number of bytes; where there is a `portion`, after so many, until
 *   they have been taken. Once it takes more again, and is ready, it calls `drained()`, once, and never within `write`.
 * - `progress` is another figure whenever the other side has taken something, and the same as long as it takes nothing.
 *
 * Ending:
 * - `end('end')` ends the stream in an orderly way behind what has been written, however much of that still waits. The
 *   connection may then serve another request.
 * - `end('cut')` ends it at the same place so that the reader takes it for a fault, where the protocol knows a difference.
 * - What nobody reads for `slowTimeout` after the end is given up.
 * - `close` ends it the same way, and closes the connection too. It settles when all is out, or nobody will read it: the
 *   other side has left, or the stream was destroyed.
 * - `destroy` ends it now, whatever is still unwritten. Its reader takes that for a fault.
 * - `release` lets go of the response, and leaves it as it is.
 * - Behind any of these nothing leaves, nothing is reported, and each may be called again. The first one says how it ends.
 *
 * Leaving:
 * - `disconnected()` is told once, and nothing after it, when the other side is gone, or when somebody else ends the
 *   response: nothing is written behind their end. It may be told within `write`.
 * - A connection that breaks is told of, and not thrown: neither out of `write`, nor later at the process.
 *
 * `test/transport/contract.slow.spec.ts` holds everything that implements it to these sentences.
 */
export interface Transport {
  /** Whether it takes more now. When not, it calls `drained()` once it does. */
  readonly ready: boolean;
  /** A figure that changes whenever the other side has taken something. */
  readonly progress: number;
  /** What is written leaves at once, within the call that published it, rather than at the end of the turn. */
  readonly atOnce: boolean;
  /** Bytes that it is to be given at a time, where that is fewer than for others. */
  readonly portion?: number;
  /** It takes what is compressed for all clients that do. */
  readonly compressed?: boolean;
  /** The response, where there is one that applications may see. */
  readonly response?: unknown;
  /** Starts the response, and from then on reports to the listener. */
  open(listener: TransportListener): void;
  write(batch: Batch): void;
  /** Ends the stream behind what has been written. */
  end(ending: Ending): void;
  /** The same, and closes the connection behind it, as at a shutdown. Settles when all is out. */
  close(ending: Ending): Promise<void>;
  /** Lets go of the response, and leaves it as it is. */
  release(): void;
  /** Ends the stream now, whatever is still unwritten. */
  destroy(): void;
}

/** A request for a stream that has not been answered yet. Exactly one of the four is called. */
export interface Entrance {
  /** It can be answered only when another stream on its connection has ended. */
  readonly waits: boolean;
  /** Lets it in. */
  admit(): Transport;
  /** 200, this frame, the end: an EventSource comes back. */
  turnAway(
    frame: Frame,
    ending: Ending,
    /** The server is closing, so the connection is not to be used again. */ last: boolean,
  ): void;
  /** 204: an EventSource stops for good. [spec] 9.2.3: any status but 200 makes it fail the connection. */
  answerNoContent(): void;
  /** 200 and the headers, for HEAD. */
  answerHeaders(): void;
}
