import { EventEmitter } from 'node:events';
import type { ServerResponse } from 'node:http';
import { constants, type Http2ServerResponse } from 'node:http2';
import { Socket } from 'node:net';
import type { Writable } from 'node:stream';

/** A connection, with what Node keeps on it: how much its handle has not sent yet, and the response it carries. */
export type Carrier = Socket & {
  readonly _handle?: { readonly writeQueueSize?: number } | null;
  readonly _httpMessage?: unknown;
};

const NOTHING = Buffer.alloc(0);

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

/** Bytes that a connection has let go of: a large write shrinks in the kernel's queue long before Node reports it as done. */
export function bytesLeft(socket: Carrier): number {
  return socket.bytesWritten - socket.writableLength - (socket._handle?.writeQueueSize ?? 0);
}

/** A figure that changes whenever the other side has taken some of a response. */
export function progressOf(response: ServerResponse | Http2ServerResponse): number {
  const carrier = carrierOf(response);
  return carrier instanceof Socket ? bytesLeft(carrier) : -response.writableLength;
}

/** Whether more is on its way to the other side than there is room for. */
export function isBackedUp(response: ServerResponse | Http2ServerResponse): boolean {
  return carrierOf(response).writableNeedDrain;
}

/** Calls back when that is over. */
export function onceDrained(response: ServerResponse | Http2ServerResponse, callback: () => void): void {
  const carrier = carrierOf(response);
  const listener = (): void => {
    carrier.off('drain', listener);
    callback();
  };
  // A compressing middleware hands listeners on the response over to the stream that it has put before it.
  EventEmitter.prototype.on.call(carrier, 'drain', listener);
}

/** What a response leaves through, whatever has been put around it: without a connection, as in a pipeline, itself. */
function carrierOf(response: ServerResponse | Http2ServerResponse): Writable {
  if (response.req.httpVersionMajor > 1) return (response as Http2ServerResponse).stream;
  return (response as ServerResponse).socket ?? response;
}

/**
 * Has the connection of a response that is being ended close behind it, on HTTP/2 once its other streams are over. A
 * server that closes waits for its connections, and clients keep theirs open, or come back on them for ever.
 */
export function closeConnectionBehind(response: ServerResponse | Http2ServerResponse): void {
  if (response.req.httpVersionMajor > 1) return (response as Http2ServerResponse).stream.session?.close();
  const { socket } = (response as ServerResponse).req;
  if (!(socket instanceof Socket)) return;
  if ((response as ServerResponse).writableFinished) socket.destroySoon();
  else response.once('finish', () => socket.destroySoon());
}

/**
 * Ends a response behind what was written to it so that its reader takes that for a fault: without the last chunk on
 * HTTP/1.1, and with RST_STREAM on HTTP/2. What middleware has put around `end()` runs. HTTP/1.0 knows no difference.
 */
export function breakOff(
  response: ServerResponse | Http2ServerResponse,
  end: () => unknown = () => response.end(),
): void {
  if (response.req.httpVersionMajor > 1) {
    const { stream } = response as Http2ServerResponse;
    if (stream.destroyed) return;
    // Settles when what is before it has left: RST_STREAM overtakes what waits.
    stream.write(NOTHING, () => stream.close(constants.NGHTTP2_INTERNAL_ERROR));
    return;
  }
  (response as ServerResponse).chunkedEncoding = false;
  closeConnectionBehind(response);
  end();
}

/** The same for a response that a framework ends, when it does. */
export function breakOffAtEnd(response: ServerResponse | Http2ServerResponse): void {
  const end = response.end.bind(response) as () => unknown;
  Object.assign(response, {
    end: () => {
      breakOff(response, end);
      return response;
    },
  });
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

/** The same for a response that others may write to: it goes when for so long nothing of what it holds was taken. */
export function destroyUnlessRead(response: ServerResponse | Http2ServerResponse, timeout: number): void {
  if (isGone(response)) return;
  // What has nothing to leave yet has not been left lying.
  let before = response.writableLength > 0 ? progressOf(response) : undefined;
  const timer = setInterval(() => {
    const now = progressOf(response);
    if (response.writableLength === 0) stop();
    else if (now === before) response.destroy();
    before = now;
  }, timeout).unref();
  const stop = (): void => {
    clearInterval(timer);
    response.off('close', stop);
  };
  response.on('close', stop);
}
