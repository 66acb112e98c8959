import { type OutgoingHttpHeaders, validateHeaderName, validateHeaderValue } from 'node:http';
import type { Http2ServerResponse } from 'node:http2';

import type { Frame } from '../protocol/frame.js';
import { NO_CONTENT_HEADERS, STREAM_HEADERS } from '../protocol/headers.js';
import { breakOff, closeConnectionBehind, isBehindStream } from './connection.js';
import { type Encoding, IDENTITY } from './encoding.js';
import { type OwnHeaders, ownHeaders, putHeader } from './headers.js';
import { Http1ResponseTransport } from './http1-response.js';
import { Http2ResponseTransport } from './http2-response.js';
import { type NodeResponseLike, type RawResponse, rawResponseOf, requestOf, takeOver } from './raw-response.js';
import type { ResponseLimits } from './response-transport.js';
import type { Ending, Entrance, Transport } from './transport.js';

/** The answer to a request for a stream, straight onto the response. */
export class NodeEntrance implements Entrance {
  readonly #headers: OwnHeaders;

  constructor(
    private readonly response: NodeResponseLike,
    headers: OutgoingHttpHeaders,
    private readonly limits: ResponseLimits,
    private readonly encoding: Encoding,
  ) {
    // Now, while the framework can still answer with an error: afterwards the response is taken over.
    this.#headers = ownHeaders(headers);
    for (const [name, value] of this.#headers) {
      validateHeaderName(name);
      for (const one of [value].flat()) validateHeaderValue(name, one);
    }
  }

  get waits(): boolean {
    return isBehindStream(requestOf(this.response));
  }

  admit(): Transport {
    const { response, limits, encoding } = this;
    const raw = rawResponseOf(response);
    const begin = (): unknown => this.#begin(encoding);
    return raw.req.httpVersionMajor > 1
      ? new Http2ResponseTransport(response, raw as Http2ServerResponse, begin, limits, encoding)
      : new Http1ResponseTransport(response, raw as RawResponse, begin, limits, encoding);
  }

  turnAway(frame: Frame, ending: Ending, last: boolean): void {
    if (last) closeConnectionBehind(rawResponseOf(this.response));
    const raw = this.#begin(IDENTITY);
    if (ending === 'end') {
      raw.end(frame.bytes);
      return;
    }
    raw.write(frame.bytes);
    breakOff(raw);
  }

  answerNoContent(): void {
    const raw = this.#takeOver();
    raw.writeHead(204, NO_CONTENT_HEADERS);
    raw.end();
  }

  answerHeaders(): void {
    this.#begin(this.encoding).end();
  }

  #begin(encoding: Encoding): RawResponse {
    const raw = this.#takeOver();
    raw.removeHeader('Content-Length');
    const { Vary: reason, ...coding } = encoding.headers;
    if (reason) putHeader(raw, 'Vary', reason);
    raw.writeHead(200, { ...STREAM_HEADERS, ...coding });
    return raw;
  }

  #takeOver(): RawResponse {
    const raw = takeOver(this.response);
    for (const [name, value] of this.#headers) putHeader(raw, name, value);
    return raw;
  }
}
