import type { IncomingMessage } from 'node:http';
import type { Http2ServerRequest } from 'node:http2';
import { clearImmediate, setImmediate } from 'node:timers';

import { lastEventIdOf } from '../protocol/headers.js';
import { connectionOf, listen, unlisten } from './connection.js';

/** A request for a stream, Node's or a web-standard one: its last event ID, what it accepts and when it is gone are read from it. */
export type RequestLike = IncomingMessage | Http2ServerRequest | Request;

/** Its `Last-Event-ID`, or what stands for it in its URL; `''` for none. */
export function lastEventIdFrom(request: RequestLike | undefined): string {
  if (!request) return '';
  if (request instanceof Request) return lastEventIdOf(request.headers.get('last-event-id') ?? undefined, request.url);
  return lastEventIdOf(request.headers['last-event-id'], request.url);
}

/** The codings that the client takes; `''` where it does not say. */
export function acceptEncodingFrom(request: RequestLike | undefined): string {
  const accepted =
    request instanceof Request ? request.headers.get('accept-encoding') : request?.headers['accept-encoding'];
  return [accepted ?? []].flat().join(',');
}

/** Calls back when the request is over without the body having been cancelled; answers how to stop that. */
export function whenGone(request: RequestLike | undefined, callback: () => void): () => void {
  if (!request) return () => {};
  if (request instanceof Request) {
    if (request.signal.aborted) return soon(callback);
    request.signal.addEventListener('abort', callback, { once: true });
    return () => request.signal.removeEventListener('abort', callback);
  }
  const { stream, socket } = request as Partial<Http2ServerRequest>;
  if ((stream ?? socket)?.destroyed) return soon(callback);
  stream?.once('close', callback);
  const connection = connectionOf(request);
  const listener = { request, connectionClosed: callback };
  if (connection) listen(connection, listener);
  return () => {
    stream?.off('close', callback);
    if (connection) unlisten(connection, listener);
  };
}

/** Calls back when the caller is done; answers how to stop that. */
function soon(callback: () => void): () => void {
  const scheduled = setImmediate(callback);
  return () => clearImmediate(scheduled);
}
