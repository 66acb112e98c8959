import type { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { Http2ServerResponse } from 'node:http2';

/** What waits for a connection to close. One listener serves all of its requests: pipelining makes them many. */
const waiting = new WeakMap<EventEmitter, Set<() => void>>();

/** Calls back once the connection closes. Answers with a function that stops waiting. */
export function onceClosed(connection: EventEmitter, callback: () => void): () => void {
  const callbacks = waiting.get(connection) ?? watch(connection);
  callbacks.add(callback);
  return () => {
    callbacks.delete(callback);
  };
}

function watch(connection: EventEmitter): Set<() => void> {
  const callbacks = new Set<() => void>();
  waiting.set(connection, callbacks);
  connection.once('close', () => {
    waiting.delete(connection);
    for (const callback of callbacks) callback();
  });
  return callbacks;
}

/**
 * Has an HTTP/2 connection close once its streams are over. A server that closes waits for its connections, and clients
 * keep theirs open.
 */
export function closeSession(of: unknown): void {
  (of as Partial<Http2ServerResponse> | undefined)?.stream?.session?.close();
}

/**
 * Has the connection of a response that is being ended close behind it. A server that closes waits for its connections,
 * and clients keep theirs open, or come back on them for ever.
 */
export function closeConnectionBehind(response: ServerResponse | Http2ServerResponse): void {
  if (response.req.httpVersionMajor > 1) return closeSession(response);
  const { socket } = (response as ServerResponse).req;
  if ((response as ServerResponse).writableFinished) socket.destroySoon();
  else response.once('finish', () => socket.destroySoon());
}

/** Settles once the response is out, or its connection is gone. */
export async function whenClosed(response: ServerResponse | Http2ServerResponse): Promise<void> {
  if (response.destroyed || (response as ServerResponse).closed) return;
  await new Promise<void>((resolve) => response.once('close', resolve));
}

/** Whoever does not read must not keep the end of a stream in memory for ever. */
export function destroyUnlessClosed(response: EventEmitter, destroy: () => void, timeout: number): void {
  const timer = setTimeout(destroy, timeout).unref();
  response.once('close', () => clearTimeout(timer));
}
