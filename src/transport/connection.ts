import type { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import type { Http2ServerResponse } from 'node:http2';

/** Something that depends on a connection. */
export interface Passenger {
  connectionClosed(): void;
  /** Node has stopped reading from it. */
  connectionPaused?(): void;
}

/** Who depends on a connection: one, as a rule, but pipelining can make them many. One listener serves them all. */
const passengers = new WeakMap<EventEmitter, Passenger | Set<Passenger>>();

/** From now on the passenger is told what becomes of the connection. */
export function board(connection: EventEmitter, passenger: Passenger): void {
  const known = passengers.get(connection);
  if (known instanceof Set) {
    known.add(passenger);
  } else {
    passengers.set(connection, known ? new Set([known, passenger]) : passenger);
    if (!known) watch(connection);
  }
}

/** The opposite. Idempotent. */
export function alight(connection: EventEmitter, passenger: Passenger): void {
  const known = passengers.get(connection);
  if (known instanceof Set) known.delete(passenger);
  if (known !== passenger && !(known instanceof Set && known.size === 0)) return;
  passengers.delete(connection);
  connection.off('close', onClose);
  connection.off('pause', onPause);
}

function watch(connection: EventEmitter): void {
  connection.on('close', onClose);
  connection.on('pause', onPause);
}

function passengersOf(connection: EventEmitter): readonly Passenger[] {
  const known = passengers.get(connection);
  if (!known) return [];
  return known instanceof Set ? [...known] : [known];
}

// Shared by all connections: a closure for each would be memory that every idle client pays for.
function onClose(this: EventEmitter): void {
  for (const passenger of passengersOf(this)) passenger.connectionClosed();
}

function onPause(this: EventEmitter): void {
  for (const passenger of passengersOf(this)) passenger.connectionPaused?.();
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

/**
 * Whether the response is over, or its connection is. On HTTP/2 only the stream says so, and for a pipelined request, whose
 * response has no connection yet, only the request's.
 */
export function isGone(response: ServerResponse | Http2ServerResponse): boolean {
  if (response.req.httpVersionMajor > 1) return (response as Http2ServerResponse).stream.destroyed;
  return (response as ServerResponse).destroyed || (response as ServerResponse).req.socket.destroyed;
}

/**
 * Settles once the response is out, or its connection is gone. A connection of HTTP/2 that is being closed has to be
 * gone too: a server that then destroys its connections would take the end of the stream from whoever has not read it.
 */
export async function whenClosed(response: ServerResponse | Http2ServerResponse): Promise<void> {
  const session = (response as Partial<Http2ServerResponse>).stream?.session;
  if (!isGone(response)) await new Promise<void>((resolve) => response.once('close', resolve));
  if (!session?.closed || session.destroyed) return;
  await new Promise<void>((resolve) => board(session, { connectionClosed: resolve }));
}

/** Whoever does not read must not keep the end of a stream in memory for ever. */
export function destroyUnlessClosed(
  response: ServerResponse | Http2ServerResponse,
  destroy: () => void,
  timeout: number,
): void {
  if (isGone(response)) return;
  const timer = setTimeout(destroy, timeout).unref();
  response.once('close', () => clearTimeout(timer));
}
