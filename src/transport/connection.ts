import { EventEmitter } from 'node:events';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import { constants, type Http2ServerRequest, type Http2ServerResponse, type Http2Session } from 'node:http2';
import { Socket } from 'node:net';
import type { Writable } from 'node:stream';

import type { EndedStreams } from './ended-streams.js';

/** What a request comes on: a socket, or on HTTP/2 the session, which it shares with others. */
export type Connection = Socket | Http2Session;

/** A socket, with what Node keeps on it: how much its handle has not sent yet, and the response that it carries. */
export type Carrier = Socket & {
  readonly _handle?: { readonly writeQueueSize?: number } | null;
  readonly _httpMessage?: unknown;
  readonly server?: Server;
  readonly parser?: unknown;
};

export type NodeRequest = IncomingMessage | Http2ServerRequest;

/** The connection of a request: `undefined` where something stands in for a connection, in Fastify's `inject()` for instance, or it is gone. */
export function connectionOf(request: NodeRequest): Connection | undefined {
  if (request.httpVersionMajor > 1) return (request as Http2ServerRequest).stream.session;
  return request.socket instanceof Socket ? request.socket : undefined;
}

/** What has to know when a connection closes: a stream, as a rule. */
export interface ConnectionListener {
  readonly request: NodeRequest;
  connectionClosed(): void;
}

/**
 * Who listens to a connection: one stream, as a rule; several where a handler merges them into one response, or on
 * HTTP/2. One function on the connection serves them all.
 */
const listeners = new WeakMap<Connection, ConnectionListener | Set<ConnectionListener>>();

/** From now on the connection is not given up for being quiet, and the listener is told when it closes. */
export function listen(connection: Connection, listener: ConnectionListener): void {
  const known = listeners.get(connection);
  if (known instanceof Set) {
    known.add(listener);
  } else {
    listeners.set(connection, known ? new Set([known, listener]) : listener);
    if (known) return;
    connection.on('close', onClose);
    keepQuiet(connection);
  }
}

/** The opposite of `listen`. Idempotent. */
export function unlisten(connection: Connection, listener: ConnectionListener): void {
  const known = listeners.get(connection);
  if (known instanceof Set) known.delete(listener);
  if (known !== listener && !(known instanceof Set && known.size === 0)) return;
  listeners.delete(connection);
  connection.off('close', onClose);
  restoreTimeout(connection);
}

function listenersOf(connection: Connection): readonly ConnectionListener[] {
  const known = listeners.get(connection);
  if (!known) return [];
  return known instanceof Set ? [...known] : [known];
}

// Shared by all connections: a closure for each would be memory that every idle client pays for.
function onClose(this: Connection): void {
  for (const listener of listenersOf(this)) listener.connectionClosed();
}

/** Whether the request was pipelined behind a stream, so that it can be answered only when that has ended. */
export function isBehindStream(request: NodeRequest): boolean {
  const connection = connectionOf(request);
  if (!(connection instanceof Socket)) return false;
  return listenersOf(connection).some((listener) => listener.request !== request);
}

/** What a session's timeout was: sessions do not know their server. */
const timeouts = new WeakMap<Http2Session, number>();

type WithTimeout = Http2Session & { readonly timeout?: number };

/** A stream may be silent for longer than a connection may be idle, and what it says is not to wait for more. */
function keepQuiet(connection: Connection): void {
  if (connection instanceof Socket) {
    connection.setNoDelay(true);
    connection.setKeepAlive(true);
  } else {
    timeouts.set(connection, (connection as WithTimeout).timeout ?? 0);
  }
  connection.setTimeout(0);
}

/** Puts the idle timeout back, as Node does with a connection that goes on to its next request. */
function restoreTimeout(connection: Connection): void {
  if (connection.destroyed) return;
  const { server } = connection as Carrier;
  connection.setTimeout(connection instanceof Socket ? (server?.timeout ?? 0) : (timeouts.get(connection) ?? 0));
}

/**
 * Throws away what is left of a request's body. Node stops reading from a connection whose body nobody takes, and then
 * does not notice that the client leaves.
 *
 * Only where there is one: a request that has been read to its end emits 'close', which many a middleware takes for the
 * client leaving, and a GET is left unread by everybody.
 */
export function discardBody(request: NodeRequest): void {
  const { 'content-length': length = '0', 'transfer-encoding': coding } = request.headers;
  const { stream } = request as Partial<Http2ServerRequest>;
  if (stream ? !stream.endAfterHeaders : coding !== undefined || length !== '0') request.resume();
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

/** Calls back when there is room again. */
export function onceDrained(response: ServerResponse | Http2ServerResponse, callback: () => void): void {
  const carrier = carrierOf(response);
  const listener = (): void => {
    carrier.off('drain', listener);
    callback();
  };
  // A compressing middleware hands listeners on the response over to the stream that it has put before it.
  EventEmitter.prototype.on.call(carrier, 'drain', listener);
}

/** What a response leaves through, whatever has been put around it. One that has no connection yet is its own. */
function carrierOf(response: ServerResponse | Http2ServerResponse): Writable {
  if (response.req.httpVersionMajor > 1) return (response as Http2ServerResponse).stream;
  return (response as ServerResponse).socket ?? response;
}

/**
 * Has the connection of a response that is being ended close behind it, on HTTP/2 once its other streams are over. A
 * server that closes waits for its connections, and clients keep theirs open, or come back on them for ever.
 */
export function closeConnectionBehind(response: ServerResponse | Http2ServerResponse): void {
  const connection = connectionOf(response.req);
  if (!(connection instanceof Socket)) return connection?.close();
  const http1 = response as ServerResponse;
  // Node puts it into the headers, if they are not out yet.
  http1.shouldKeepAlive = false;
  if (http1.writableFinished) connection.destroySoon();
  else http1.once('finish', () => connection.destroySoon());
}

/**
 * Nest begins its event streams with `Connection: keep-alive`, whatever the client has asked for and however many
 * requests the connection may still have. A client that believes it is answered 503 there, which ends an EventSource for
 * good. Without the header Node says what holds.
 */
export function leaveConnectionHeader(response: ServerResponse | Http2ServerResponse): void {
  if (response.req.httpVersionMajor > 1) return;
  const http1 = response as ServerResponse;
  const writeHead = http1.writeHead.bind(http1) as (...args: unknown[]) => ServerResponse;
  http1.writeHead = (...args: unknown[]) => writeHead(...args.map(withoutConnection));
}

function withoutConnection(argument: unknown): unknown {
  if (typeof argument !== 'object' || argument === null || !('Connection' in argument)) return argument;
  const { Connection: _, ...headers } = argument;
  return headers;
}

const NOTHING = Buffer.alloc(0);

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
  const http1 = response as ServerResponse;
  // What was written in this turn is still in the response, as chunks: Node 24 holds it back, and fails where it is to end
  // such a response without.
  while (http1.writableCorked > 0) http1.uncork();
  http1.chunkedEncoding = false;
  closeConnectionBehind(response);
  end();
}

/** Has a response break off in this way when the framework ends it. */
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
  await new Promise<void>((resolve) => listen(session, { request: response.req, connectionClosed: resolve }));
}

/** Whether a request of this connection is being answered, or it no longer speaks HTTP/1. */
export function isAnswering(socket: Carrier): boolean {
  return !socket.parser || Boolean(socket._httpMessage);
}

/** A connection that is kept when its server has stopped listening is one that the server waits for. */
function closeWithServer(response: ServerResponse | Http2ServerResponse): void {
  const connection = connectionOf(response.req);
  if (connection instanceof Socket && (connection as Carrier).server?.listening === false) connection.destroySoon();
}

/** Gives an ended response up in time: whoever does not read must not keep the end of a stream in memory for ever. */
export function destroyUnlessClosed(
  response: ServerResponse | Http2ServerResponse,
  destroy: () => void,
  ended: EndedStreams,
): void {
  if (isGone(response)) return;
  const timer = setTimeout(destroy, ended.slowTimeout).unref();
  const forget = ended.add(destroy);
  response.once('close', () => {
    clearTimeout(timer);
    forget();
    closeWithServer(response);
  });
}

/** The same for a response that others may write to: it is given up when nothing of what it holds was taken for so long. */
export function destroyUnlessRead(response: ServerResponse | Http2ServerResponse, ended: EndedStreams): void {
  if (isGone(response)) return;
  // What has nothing to leave yet has not been left lying.
  let before = response.writableLength > 0 ? progressOf(response) : undefined;
  const timer = setInterval(() => {
    const now = progressOf(response);
    if (response.writableLength === 0) stop();
    else if (now === before) response.destroy();
    before = now;
  }, ended.slowTimeout).unref();
  const forget = ended.add(() => {
    if (response.writableLength > 0) response.destroy();
  });
  const stop = (): void => {
    clearInterval(timer);
    forget();
    response.off('close', stop);
  };
  response.on('close', stop);
  response.once('close', () => closeWithServer(response));
}
