import type { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { Http2ServerResponse } from 'node:http2';

import type { Batch } from '../protocol/frame.js';
import {
  closeConnectionBehind,
  type Connection,
  type ConnectionListener,
  connectionOf,
  destroyUnlessClosed,
  discardBody,
  isGone,
  listen,
  type NodeRequest,
  unlisten,
  whenClosed,
} from './connection.js';
import type { Encoding } from './encoding.js';
import type { EndedStreams } from './ended-streams.js';
import type { NodeResponseLike } from './raw-response.js';
import type { Ending, Transport, TransportListener } from './transport.js';

export interface ResponseLimits {
  /** Bytes that may wait before whoever writes is asked to. */
  readonly highWaterMark: number;
  readonly ended: EndedStreams;
}

/** What transports over a response of Node's have in common: its beginning and its end, and who is told of them. */
export abstract class ResponseTransport<Raw extends ServerResponse | Http2ServerResponse>
  implements Transport, ConnectionListener
{
  readonly atOnce = false;
  #listener: TransportListener | undefined;
  /** How the response is begun; not kept any longer than that. */
  #begin: (() => unknown) | undefined;
  #full = false;
  #waitingFor: { readonly emitter: EventEmitter; readonly listener: () => void } | undefined;

  /** Kept, because a stream of HTTP/2 that is gone does not know its session any more. */
  protected readonly connection: Connection | undefined;

  constructor(
    /** As the application knows it. */
    readonly response: NodeResponseLike,
    /** The same as Node knows it. */
    protected readonly raw: Raw,
    begin: () => unknown,
    protected readonly limits: ResponseLimits,
    protected readonly encoding: Encoding,
  ) {
    this.#begin = begin;
    this.connection = connectionOf(raw.req);
  }

  abstract get progress(): number;
  abstract write(batch: Batch): void;
  /** Writes what waits in the transport's own hands, as far as it is taken. */
  protected abstract writeRest(): void;
  /** Ends the response behind what has been written. */
  protected abstract endResponse(ending: Ending): void;
  /** Nothing waits in the process for this response any more. */
  protected abstract get isFlushed(): boolean;
  protected abstract destroyResponse(): void;

  get request(): NodeRequest {
    return this.raw.req;
  }

  get ready(): boolean {
    return !this.#full;
  }

  get compressed(): boolean {
    return this.encoding.head !== undefined;
  }

  open(listener: TransportListener): void {
    this.#listener = listener;
    this.raw.on('close', this.over);
    // Writing to a connection that has just been reset reports it here; 'close' follows.
    this.raw.on('error', ignore);
    // What has closed already tells nobody any more.
    if (isGone(this.raw)) queueMicrotask(this.over);
    else if (this.connection) listen(this.connection, this);
    discardBody(this.request);
    this.#begin?.();
    this.#begin = undefined;
    // Both have it, with overloads that TypeScript does not unite.
    if (this.encoding.head) (this.raw as ServerResponse).write(this.encoding.head);
  }

  end(ending: Ending): void {
    this.detach();
    if (this.raw.writableEnded) return;
    this.endResponse(ending);
    if (!this.isFlushed) destroyUnlessClosed(this.raw, () => this.destroy(), this.limits.ended);
  }

  async close(ending: Ending): Promise<void> {
    this.detach();
    const closed = whenClosed(this.raw);
    if (!this.raw.writableEnded) this.endResponse(ending);
    closeConnectionBehind(this.raw);
    await closed;
  }

  release(): void {
    this.detach();
  }

  destroy(): void {
    this.detach();
    this.destroyResponse();
  }

  connectionClosed(): void {
    this.over();
  }

  /** Lets go of everything that reports to it. */
  protected detach(): void {
    this.#listener = undefined;
    this.raw.off('close', this.over);
    if (this.connection) unlisten(this.connection, this);
    if (!this.#waitingFor) return;
    this.#waitingFor.emitter.off('drain', this.#waitingFor.listener);
    this.#waitingFor = undefined;
  }

  /** Is not ready until this says that it takes more. */
  protected waitForDrain(emitter: EventEmitter): void {
    if (this.#full) return;
    this.#full = true;
    const listener = (): void => {
      this.#waitingFor = undefined;
      this.#drained();
    };
    this.#waitingFor = { emitter, listener };
    emitter.once('drain', listener);
  }

  #drained(): void {
    this.#full = false;
    // Somebody else may have ended it meanwhile; on HTTP/2 nothing else says so before it is closed.
    if (this.raw.writableEnded) return this.over();
    this.writeRest();
    if (!this.#full) this.#listener?.drained();
  }

  /** The other side is gone, or somebody has ended the response. */
  protected readonly over = (): void => {
    const listener = this.#listener;
    this.detach();
    listener?.disconnected();
  };
}

function ignore(): void {}
