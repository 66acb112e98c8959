import { once } from 'node:events';
import type { ClientRequest, IncomingMessage } from 'node:http';
import http2 from 'node:http2';

import { EventStream, type OpenOptions } from '../readers/event-stream.js';

/** Opens an event stream over HTTP/2, on a connection of its own. */
export async function openHttp2(url: string, { lastEventId, headers }: OpenOptions = {}): Promise<EventStream> {
  const { origin, pathname } = new URL(url);
  const session = http2.connect(origin);
  session.on('error', () => {});
  const stream = session.request({
    ...headers,
    ':path': pathname,
    accept: 'text/event-stream',
    ...(lastEventId !== undefined && { 'last-event-id': lastEventId }),
  });
  stream.on('close', () => session.close());
  const [answer] = (await once(stream, 'response')) as [http2.IncomingHttpHeaders];
  const response = Object.assign(stream, { statusCode: answer[':status'], headers: answer, complete: false });
  stream.on('end', () => (response.complete = stream.rstCode === http2.constants.NGHTTP2_NO_ERROR));
  stream.on('error', () => {});
  // It is both, and has all of them that an EventStream needs.
  return new EventStream(response as unknown as IncomingMessage, stream as unknown as ClientRequest);
}

/** Asks for something over HTTP/2, on a connection of its own. Answers how to leave before there is an answer. */
export function askHttp2(url: string): () => void {
  const { origin, pathname, search } = new URL(url);
  const session = http2.connect(origin);
  session.on('error', () => {});
  const stream = session.request({ ':path': pathname + search });
  stream.on('error', () => {});
  return () => {
    stream.on('close', () => session.close());
    stream.close(http2.constants.NGHTTP2_CANCEL);
  };
}
