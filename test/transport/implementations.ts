import http, { type ServerResponse } from 'node:http';
import http2, { type Http2ServerResponse } from 'node:http2';
import type { AddressInfo } from 'node:net';

import { Controller, Get, HttpException, Res, Sse } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { Observable, type Subscriber } from 'rxjs';

import { Frame } from '../../src/protocol/frame.js';
import { encodingFor } from '../../src/transport/encoding.js';
import { EndedStreams } from '../../src/transport/ended-streams.js';
import { MessageEntrance } from '../../src/transport/message-stream.js';
import { type StreamMessage } from '../../src/transport/message.js';
import { NodeEntrance } from '../../src/transport/node-response.js';
import { type NodeResponseLike, rawResponseOf, requestOf } from '../../src/transport/raw-response.js';
import type { Entrance, Transport } from '../../src/transport/transport.js';
import { WebEntrance } from '../../src/transport/web-response.js';
import { FakeTransport } from '../support/fake-transport.js';
import { type Platform, platforms } from '../support/platforms.js';
import { BodyReader, FakeReader, Http1Client, Http2Client, type OtherSide } from './other-sides.js';

/** Milliseconds that the rest of an ended stream may take to leave, unless a test says otherwise. */
const LONG = 600_000;
const HIGH_WATER_MARK = 65_536;

export interface AnswerOptions {
  /** What is done with the request; it is let in unless given. */
  readonly answer?: (entrance: Entrance) => void;
  readonly slowTimeout?: number;
  readonly method?: 'GET' | 'HEAD';
  /** Comes on the connection of this one, which is free. */
  readonly after?: OtherSide;
}

/** A request that has been answered, seen from both sides. */
export interface Answered {
  readonly transport: Transport;
  readonly other: OtherSide;
  /** Somebody else writes this to the response, and ends it; absent where nobody else has it. */
  readonly endElsewhere?: (text: string) => void;
}

export interface Implementation {
  readonly name: string;
  /** How many bytes wait somewhere is known, and limited. */
  readonly holdsBack: boolean;
  /** An orderly end and a fault look different. */
  readonly cuts: boolean;
  /** It comes on a connection, and others may come on it after. */
  readonly hasConnection: boolean;
  /** Nobody reads it, and it goes. */
  readonly givesUp: boolean;
  /** Requests may be answered otherwise than with a stream. */
  readonly refuses: boolean;
  start(): Promise<void>;
  connect(options?: AnswerOptions): Promise<Answered>;
  stop(): Promise<void>;
}

const ALL = { holdsBack: true, cuts: true, hasConnection: true, givesUp: true, refuses: true };

/** A request that has come to a server and waits to be answered by the test. */
class Arrivals {
  readonly #expected: { options: AnswerOptions; arrived: (answered: Omit<Answered, 'other'>) => void }[] = [];

  expect(options: AnswerOptions): Promise<Omit<Answered, 'other'>> {
    return new Promise((arrived) => this.#expected.push({ options, arrived }));
  }

  /** Answers the next one that is expected. */
  answer(make: (slowTimeout: number) => Entrance, raw?: ServerResponse | Http2ServerResponse): void {
    const { options, arrived } = this.#expected.shift()!;
    const entrance = make(options.slowTimeout ?? LONG);
    const endElsewhere = raw && ((text: string): void => void (raw as ServerResponse).end(text));
    arrived({ transport: answerWith(entrance, options), ...(endElsewhere && { endElsewhere }) });
  }
}

/** The transport, or none where the request is not let in. */
function answerWith(entrance: Entrance, { answer }: AnswerOptions): Transport {
  if (!answer) return entrance.admit();
  answer(entrance);
  return undefined as unknown as Transport;
}

function directEntrance(response: NodeResponseLike, slowTimeout: number, compression?: Compression): Entrance {
  const limits = { highWaterMark: HIGH_WATER_MARK, ended: new EndedStreams(slowTimeout) };
  const accepted = requestOf(response).headers['accept-encoding'];
  return new NodeEntrance(response, {}, limits, encodingFor(accepted?.toString(), compression));
}

type Compression = Parameters<typeof encodingFor>[1];

interface Http1Options {
  readonly compression?: Compression;
  /** What a middleware does with the response before it is answered. */
  readonly prepare?: (response: ServerResponse) => void;
}

/** Straight to a response of `node:http`. */
function onHttp1(name: string, { compression, prepare }: Http1Options = {}): Implementation {
  const arrivals = new Arrivals();
  const server = http.createServer((_, response) => {
    prepare?.(response);
    // What others write in between is no gzip.
    const raw = compression ? undefined : response;
    arrivals.answer((slowTimeout) => directEntrance(response, slowTimeout, compression), raw);
  });
  return {
    ...ALL,
    name,
    start: () => listening(server),
    connect: (options = {}) =>
      connectHttp1(urlOf(server), arrivals, options, compression ? { 'accept-encoding': 'gzip' } : {}),
    stop: () => closed(server),
  };
}

async function connectHttp1(
  url: string,
  arrivals: Arrivals,
  options: AnswerOptions,
  headers: http.OutgoingHttpHeaders = {},
): Promise<Answered> {
  const arrived = arrivals.expect(options);
  const { method, after } = options;
  const agent = after instanceof Http1Client ? after.agent : undefined;
  const other = new Http1Client(url, { ...(method && { method }), headers, ...(agent && { agent }) });
  return { ...(await arrived), other };
}

function onHttp2(name: string, compression?: Compression): Implementation {
  const arrivals = new Arrivals();
  const server = http2.createServer((_, response) => {
    const raw = compression ? undefined : response;
    arrivals.answer((slowTimeout) => directEntrance(response, slowTimeout, compression), raw);
  });
  const sessions = new Set<http2.ClientHttp2Session>();
  return {
    ...ALL,
    name,
    start: () => listening(server),
    connect: async (options = {}) => {
      const arrived = arrivals.expect(options);
      const { method, after } = options;
      const session = after instanceof Http2Client ? after.session : undefined;
      const headers = compression && { 'accept-encoding': 'gzip' };
      const other = new Http2Client(urlOf(server), { method, headers, session });
      sessions.add(other.session);
      return { ...(await arrived), other };
    },
    stop: async () => {
      for (const session of sessions) session.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

type Route = 'direct' | 'web' | 'sse';
const METHODS: Record<Route, string> = { direct: 'createClient()', web: 'addClient()', sse: 'stream()' };

/** A handler of Nest's: under `@Get()` with `@Res()`, one that returns a web response, or one of `@Sse()`. */
function inNest(platform: Platform, route: Route): Implementation {
  const arrivals = new Arrivals();
  @Controller()
  class StreamController {
    @Get('direct')
    direct(@Res() response: NodeResponseLike): void {
      arrivals.answer((slowTimeout) => directEntrance(response, slowTimeout), rawResponseOf(response));
    }

    @Get('web')
    web(@Res({ passthrough: true }) response: NodeResponseLike): Response {
      const raw = rawResponseOf(response);
      let entrance!: WebEntrance;
      arrivals.answer((slowTimeout) => {
        entrance = new WebEntrance(
          {},
          raw.req,
          encodingFor(undefined, undefined),
          [],
          new EndedStreams(slowTimeout),
          raw,
        );
        return entrance;
      });
      return entrance.response;
    }

    @Sse('sse')
    sse(@Res({ passthrough: true }) response: NodeResponseLike): Observable<StreamMessage> {
      const raw = rawResponseOf(response);
      return new Observable((subscriber) =>
        arrivals.answer((slowTimeout) => messageEntrance(subscriber, slowTimeout, raw), raw),
      );
    }
  }
  let server!: http.Server;
  let close!: () => Promise<void>;
  return {
    ...ALL,
    name: `${METHODS[route]} on ${platform.name}`,
    start: async () => {
      const testing = await Test.createTestingModule({ controllers: [StreamController] }).compile();
      const app = testing.createNestApplication(platform.adapter(), { logger: ['fatal'] });
      await app.listen(0, '127.0.0.1');
      server = app.getHttpServer() as http.Server;
      close = () => app.close();
    },
    connect: (options = {}) => connectHttp1(`${urlOf(server)}/${route}`, arrivals, options),
    stop: async () => {
      server.closeAllConnections();
      await close();
    },
  };
}

function messageEntrance(
  subscriber: Subscriber<StreamMessage>,
  slowTimeout: number,
  response: ServerResponse | Http2ServerResponse | undefined,
): Entrance {
  return new MessageEntrance(subscriber, {
    highWaterMark: response ? HIGH_WATER_MARK : Infinity,
    ended: new EndedStreams(slowTimeout),
    noContent: () => new HttpException('', 204),
    response,
    recipient: undefined,
    onFirst: undefined,
    onClose: () => {},
  });
}

/** A web-standard response whose body somebody reads, on a request that may be aborted. */
function onWebStandard(
  name: string,
  makeRequest: () => { request?: Request; abort?: AbortController },
): Implementation {
  return {
    ...ALL,
    name,
    hasConnection: false,
    start: () => Promise.resolve(),
    connect: (options = {}) => {
      const { request, abort } = makeRequest();
      const { slowTimeout = LONG } = options;
      const ended = new EndedStreams(slowTimeout);
      const entrance = new WebEntrance({}, request, encodingFor(undefined, undefined), [], ended, undefined);
      const transport = answerWith(entrance, options);
      return Promise.resolve({ transport, other: new BodyReader(entrance.response, abort) });
    },
    stop: () => Promise.resolve(),
  };
}

/** The in-memory twin that tests of the hub use. */
function inMemory(): Implementation {
  const readers: FakeReader[] = [];
  return {
    ...ALL,
    name: 'the transport in memory',
    hasConnection: false,
    givesUp: false,
    refuses: false,
    start: () => Promise.resolve(),
    connect: () => {
      const transport = new FakeTransport({ capacity: 3 });
      const other = new FakeReader(transport);
      readers.push(other);
      return Promise.resolve({ transport, other });
    },
    stop: () => {
      for (const reader of readers) reader.stop();
      return Promise.resolve();
    },
  };
}

function listening(server: http.Server | http2.Http2Server): Promise<void> {
  return new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve()));
}

function urlOf(server: http.Server | http2.Http2Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

async function closed(server: http.Server): Promise<void> {
  server.closeAllConnections();
  await new Promise((resolve) => server.close(resolve));
}

/** As express-session and others do. */
function wrapWrite(response: ServerResponse): void {
  const write = response.write.bind(response) as (...args: unknown[]) => boolean;
  response.write = (...args: unknown[]) => write(...args);
}

const COMPRESSION = { threshold: 256, level: 6 };

export const implementations: readonly Implementation[] = [
  onHttp1('createClient() on HTTP/1.1'),
  onHttp1('createClient() on HTTP/1.1, compressed', { compression: COMPRESSION }),
  onHttp1('createClient() behind a middleware that wraps write()', { prepare: wrapWrite }),
  onHttp2('createClient() on HTTP/2'),
  onHttp2('createClient() on HTTP/2, compressed', COMPRESSION),
  ...platforms.flatMap((platform) => (['direct', 'web', 'sse'] as const).map((route) => inNest(platform, route))),
  onWebStandard('addClient() without a request', () => ({})),
  onWebStandard('addClient() with a web-standard request', () => {
    const abort = new AbortController();
    return { request: new Request('http://localhost/', { signal: abort.signal }), abort };
  }),
  inMemory(),
];

/** A frame with this as its data. */
export function frameOf(data: string): Frame {
  return new Frame([{ event: 'n', id: '1', data }]);
}

/** The data of all events in a stream. */
export function dataOf(text: string): string[] {
  return [...text.matchAll(/^data: (.*)\n\n/gm)].map(([, data]) => data!);
}
