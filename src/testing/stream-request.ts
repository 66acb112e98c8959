import { once } from 'node:events';
import http from 'node:http';
import https from 'node:https';
import type { AddressInfo } from 'node:net';

import { afterRealTime } from './real-time.js';
import { parseData } from './received-event.js';
import { StreamRefusedError, WaitError } from './stream-errors.js';

/** A Nest application, as far as a stream needs it. */
export interface ApplicationLike {
  getHttpServer(): unknown;
  listen(port: number, hostname: string): Promise<unknown>;
}

/** What has the stream: a Nest application, a server of `node:http`, or the beginning of a URL. */
export type StreamTarget = ApplicationLike | http.Server | URL | string;

/** How a stream is asked for. */
export interface StreamRequest {
  /** Headers, beside `Accept: text/event-stream` or in its place. */
  readonly headers?: http.OutgoingHttpHeaders | undefined;
  /**
   * Of the request.
   *
   * @defaultValue `POST` with a `body`, else `GET`
   */
  readonly method?: string | undefined;
  /** Sent as JSON. */
  readonly body?: unknown;
  /**
   * The `Last-Event-ID` to come with, as a reader that is back.
   *
   * @defaultValue none
   */
  readonly lastEventId?: string | undefined;
  /**
   * Milliseconds that each wait may take, that for the stream to open included. Real ones, whatever fake timers say.
   *
   * @defaultValue `2_000`
   */
  readonly timeout?: number | undefined;
}

const starting = new WeakMap<object, Promise<unknown>>();

/** Has a server listen that does not yet, once for all who ask at the same time. */
async function listening(target: ApplicationLike | http.Server): Promise<string> {
  const server = ('getHttpServer' in target ? target.getHttpServer() : target) as http.Server;
  if (!server.listening) {
    const start = (): Promise<unknown> =>
      'getHttpServer' in target ? target.listen(0, '127.0.0.1') : once(server.listen(0, '127.0.0.1'), 'listening');
    const started = starting.get(server) ?? start().finally(() => starting.delete(server));
    starting.set(server, started);
    await started;
  }
  const { address, family, port } = server.address() as AddressInfo;
  const isAny = address === '::' || address === '0.0.0.0';
  const host = isAny ? '127.0.0.1' : family === 'IPv6' ? `[${address}]` : address;
  return `${server instanceof https.Server ? 'https' : 'http'}://${host}:${port}`;
}

async function urlOf(target: StreamTarget, path: string): Promise<URL> {
  const base = typeof target === 'string' || target instanceof URL ? String(target) : await listening(target);
  return new URL(base.replace(/\/$/, '') + path);
}

/** Asks for a stream, on a connection of its own, and answers when its headers are there. */
export async function requestStream(
  target: StreamTarget,
  path: string,
  { headers, body, method = body === undefined ? 'GET' : 'POST', lastEventId = '', timeout = 2_000 }: StreamRequest,
): Promise<http.IncomingMessage> {
  const url = await urlOf(target, path);
  const request = (url.protocol === 'https:' ? https : http).request(url, {
    method,
    agent: false,
    headers: {
      accept: 'text/event-stream',
      // As bytes: ids of the application may be of any characters.
      ...(lastEventId !== '' && { 'last-event-id': Buffer.from(lastEventId).toString('latin1') }),
      ...(body !== undefined && { 'content-type': 'application/json' }),
      ...headers,
    },
  });
  const stop = afterRealTime(timeout, () => {
    request.destroy(new WaitError(`waited ${timeout} ms for an answer to ${method} ${path}`));
  });
  try {
    // Node writes the headers of a request whose body is text in another encoding.
    request.end(body === undefined ? undefined : Buffer.from(JSON.stringify(body)));
    const [response] = (await once(request, 'response')) as [http.IncomingMessage];
    const { statusCode: status = 0, statusMessage = '' } = response;
    // What happens to the connection from now on, the response tells.
    request.on('error', () => {});
    if (status === 200 && /^text\/event-stream\b/i.test(response.headers['content-type'] ?? '')) return response;
    let text = '';
    for await (const chunk of response.setEncoding('utf8')) text += String(chunk);
    const said = `${method} ${path} was answered ${status} ${statusMessage} and no event stream`;
    throw new StreamRefusedError(text === '' ? said : `${said}: ${text}`, status, response.headers, parseData(text));
  } finally {
    stop();
  }
}
