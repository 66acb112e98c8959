import type { Batch, Frame } from '../protocol/frame.js';

/** What a transport reports to the client that it carries. */
export interface TransportListener {
  /** It accepts data again. */
  drained(): void;
  /** The other side is gone, or nobody ever was there. */
  disconnected(): void;
}

/** How a stream ends behind what has been written: in an orderly way, or so that its reader takes it for a fault. */
export type Ending = 'end' | 'cut';

/** How bytes leave: one open response. */
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
  /** Starts the response and from then on reports to the listener. */
  open(listener: TransportListener): void;
  write(batch: Batch): void;
  /** Ends the stream behind what has been written. Idempotent, and silent: reports nothing. */
  end(ending: Ending): void;
  /** The same, at shutdown: a connection that could serve further requests is closed too. Settles when all is out. */
  close(ending: Ending): Promise<void>;
  /** Lets go of the response, and leaves it as it is. */
  release(): void;
  /** Ends it now, whatever is still unwritten. */
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
