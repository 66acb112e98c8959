import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from 'node:http';
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2';

import { show } from '../protocol/event.js';
import { SSEError } from '../sse.error.js';

/** A Fastify reply, as far as it is needed here. */
export interface FastifyReplyLike {
  readonly raw: ServerResponse | Http2ServerResponse;
  getHeaders(): OutgoingHttpHeaders;
  hijack(): unknown;
}

/** What an event stream can be written to directly: Express, Fastify, `node:http` and `node:http2`. */
export type NodeResponseLike = ServerResponse | Http2ServerResponse | FastifyReplyLike;

/** The response as it is written to: `flush` is what a compressing middleware has put on it. */
export type RawResponse = ServerResponse & {
  flush?: () => void;
  /** The text of the headers, once they have been written. */
  readonly _header?: string | null;
};

function isFastifyReply(response: NodeResponseLike): response is FastifyReplyLike {
  return 'raw' in response && 'hijack' in response;
}

/** Throws `INVALID_ROUTE`: without `@Res()` a handler's parameter is `undefined`, and a request looks much like a response. */
export function assertResponse(response: unknown): asserts response is NodeResponseLike {
  const isObject = typeof response === 'object' && response !== null;
  const raw = isObject
    ? (rawResponseOf(response as NodeResponseLike) as Partial<ServerResponse> | undefined)
    : undefined;
  if (typeof raw?.writeHead === 'function') return;
  throw new SSEError(
    'INVALID_ROUTE',
    `createClient() was given ${isObject ? 'an object that is no response' : show(response)}. It takes the response: ` +
      'in Nest, the parameter with @Res() of a handler of @Get().',
  );
}

/** The response of Node's own under whatever the framework has put around it. */
export function rawResponseOf(response: NodeResponseLike): ServerResponse | Http2ServerResponse {
  return isFastifyReply(response) ? response.raw : response;
}

/**
 * The same, which from here on the framework leaves alone. What it has put on it so far (CORS above all) stays: a Fastify
 * reply keeps its headers to itself until it sends.
 */
export function takeOver(response: NodeResponseLike): RawResponse {
  const raw = rawResponseOf(response) as RawResponse;
  if (!isFastifyReply(response)) return raw;
  for (const [name, value] of Object.entries(response.getHeaders())) {
    if (value !== undefined) raw.setHeader(name, value);
  }
  response.hijack();
  return raw;
}

export function requestOf(response: NodeResponseLike): IncomingMessage | Http2ServerRequest {
  return rawResponseOf(response).req;
}

/** Whether something has been sent already, the beginning of a stream for instance. */
export function isAnswered(response: NodeResponseLike): boolean {
  const raw = rawResponseOf(response);
  return raw.headersSent || raw.writableEnded;
}

/** Why answers differ, as far as the framework has said so yet. */
export function variesOf(response: NodeResponseLike): string[] {
  const values = [rawResponseOf(response).getHeader('Vary'), isFastifyReply(response) && response.getHeaders()['vary']];
  return [...new Set(values.flatMap((value) => (value ? String(value).split(/,\s*/) : [])))];
}
