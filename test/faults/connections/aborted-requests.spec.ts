import { once } from 'node:events';
import http from 'node:http';
import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

import { describe, expect, it } from '@jest/globals';
import { Controller, Get, Inject, Req, Res, Sse } from '@nestjs/common';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { type NodeResponseLike, SSEService } from 'nestjs-sse-hub';
import { EMPTY, type Observable } from 'rxjs';

import { returnToBaseline, until } from '../../support/baseline.js';
import { askHttp2, openHttp2 } from '../../support/network/http2-stream.js';
import { PATIENCE } from '../../support/patience.js';
import { type Platform, platforms } from '../../support/platforms.js';
import { type EventStream, open } from '../../support/readers/event-stream.js';

const bench = returnToBaseline();

/** Ghosts that nobody notices would stay for as long as a test may take. */
const config = { maxClients: 3, slowTimeout: 600_000, heartbeatInterval: 0 };

type NodeRequest = http.IncomingMessage | http2.Http2ServerRequest;
type NodeResponse = http.ServerResponse | http2.Http2ServerResponse;

/** How a client speaks to the server. */
interface Protocol {
  readonly open: (url: string) => Promise<EventStream>;
  /** Asks for something, and answers how to leave before there is an answer. */
  readonly ask: (url: string) => () => void;
}

const http1: Protocol = {
  open,
  ask: (url) => {
    const request = http.get(url, { agent: false });
    request.on('error', () => {});
    return () => request.destroy();
  },
};
const overHttp2: Protocol = { open: openHttp2, ask: askHttp2 };

const servers: readonly (Platform & { readonly protocol: Protocol })[] = [
  ...platforms.map((platform) => ({ ...platform, protocol: http1 })),
  {
    name: 'Fastify over HTTP/2',
    adapter: () => new FastifyAdapter({ http2: true } as object),
    protocol: overHttp2,
  },
];

/** What handlers wait for, and what they are doing. */
class Handling {
  entered = 0;
  connecting = 0;
  #leave!: () => void;
  readonly #left = new Promise<void>((resolve) => (this.#leave = resolve));

  /** A handler that takes its time until its client has gone, if that is what the request is for. */
  async begins(url: string | undefined, response: NodeResponse): Promise<void> {
    if (!url?.includes('slow')) return;
    const closed = once(response, 'close');
    this.entered++;
    await closed;
  }

  /** It has connected its client, and goes on until the test lets it. */
  async goesOn(url: string | undefined): Promise<void> {
    this.connecting++;
    if (url?.includes('slow')) await this.#left;
  }

  end(): void {
    this.#leave();
  }
}

/** Asks a few times, each time leaving while the handler is busy with something else. */
async function askAndLeave({ ask }: Protocol, url: string, handling: Handling): Promise<void> {
  const leaving = Array.from({ length: config.maxClients }, () => ask(url));
  await until('all handlers have begun', () => handling.entered === leaving.length);
  for (const leave of leaving) leave();
  await until('all handlers have gone on', () => handling.connecting === leaving.length);
}

for (const server of servers) {
  describe(`requests on ${server.name} whose clients leave before they are connected`, () => {
    let handling: Handling;

    @Controller()
    class SlowController {
      constructor(@Inject(SSEService) private readonly sse: SSEService) {}

      @Get('createClient')
      async direct(@Req() request: { url: string }, @Res() response: NodeResponseLike): Promise<void> {
        await handling.begins(request.url, rawOf(response));
        this.sse.createClient(response, { topics: 't' });
        await handling.goesOn(request.url);
      }

      @Get('addClient')
      async web(
        @Req() request: { url: string },
        @Res({ passthrough: true }) response: NodeResponseLike,
      ): Promise<Response> {
        await handling.begins(request.url, rawOf(response));
        const client = this.sse.addClient({ topics: 't' });
        await handling.goesOn(request.url);
        return client.response;
      }

      @Sse('stream')
      async stream(
        @Req() request: { url: string },
        @Res({ passthrough: true }) response: NodeResponseLike,
      ): Promise<Observable<object>> {
        await handling.begins(request.url, rawOf(response));
        handling.connecting++;
        return this.sse.stream('t');
      }

      /** As Nest 11 does, which subscribes to it whether or not the client has left. */
      @Sse('subscribed')
      async subscribed(
        @Req() request: { url: string },
        @Res({ passthrough: true }) response: NodeResponseLike,
      ): Promise<Observable<object>> {
        await handling.begins(request.url, rawOf(response));
        this.sse.stream('t').subscribe();
        await handling.goesOn(request.url);
        return EMPTY;
      }
    }

    it.each(['createClient', 'addClient', 'stream'])('C4: take no place: %s()', async (path) => {
      handling = new Handling();
      bench.onEnd(() => handling.end());
      const { url, sse } = await bench.start(server, { config, controllers: [SlowController] });
      await askAndLeave(server.protocol, `${url}/${path}?slow`, handling);
      await until('nobody is there', () => sse.getClientCount() === 0);

      const stream = await server.protocol.open(`${url}/${path}`);
      bench.onEnd(() => stream.close());
      expect((await stream.next()).event).toBe('sse.open');
      expect(sse.stats().refused).toBe(0);
    });

    it('C4: take no place: stream(), subscribed to all the same', async () => {
      handling = new Handling();
      bench.onEnd(() => handling.end());
      const { url, sse } = await bench.start(server, { config, controllers: [SlowController] });
      await askAndLeave(server.protocol, `${url}/subscribed?slow`, handling);
      await until('nobody is there', () => sse.getClientCount() === 0);
    });
  });
}

function rawOf(response: NodeResponseLike): NodeResponse {
  return 'raw' in response && 'hijack' in response ? response.raw : response;
}

describe('without a framework', () => {
  async function listen(
    server: http.Server | http2.Http2Server,
    handle: (request: NodeRequest, response: NodeResponse) => void,
  ): Promise<string> {
    server.on('request', handle);
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    bench.onEnd(() => server.close());
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  }

  it.each([
    ['node:http', () => http.createServer(), http1],
    ['node:http2', () => http2.createServer(), overHttp2],
  ])('C4: a client of addClient() whose request is over takes no place, on %s', async (_, create, protocol) => {
    const sse = bench.watch(new SSEService(config));
    const handling = new Handling();
    const url = await listen(create(), (request, response) => {
      void handling.begins(request.url, response).then(() => {
        sse.addClient({ request: request as http.IncomingMessage, topics: 't' });
        void handling.goesOn(request.url);
      });
    });
    await askAndLeave(protocol, `${url}?slow`, handling);
    await until('nobody is there', () => sse.getClientCount() === 0);

    const leave = protocol.ask(url);
    await until('one is there', () => sse.getClientCount() === 1);
    leave();
    await until('it has left', () => sse.getClientCount() === 0);
  });

  it('C4: a client of addClient() whose web-standard Request has been aborted takes no place', async () => {
    const sse = bench.watch(new SSEService(config));
    const changes: string[] = [];
    sse.connections.subscribe(({ type }) => changes.push(type));
    const request = new Request('http://localhost/', { signal: AbortSignal.abort() });
    const { client } = sse.addClient({ request, topics: 't' });
    await until('it is gone', () => !client.connected);
    expect(changes).toEqual(['connect', 'disconnect']);
  });

  it('C4: shutdown() does not wait for a client whose HTTP/2 request is over', async () => {
    const sse = bench.watch(new SSEService({ ...config, drainTimeout: 600_000 }));
    const handling = new Handling();
    let shutdown: Promise<void> | undefined;
    const url = await listen(http2.createServer(), (request, response) => {
      void handling.begins(request.url, response).then(() => {
        sse.createClient(response, { topics: 't' });
        shutdown ??= sse.shutdown();
        void handling.goesOn(request.url);
      });
    });
    await askAndLeave(overHttp2, `${url}?slow`, handling);
    expect(await Promise.race([shutdown!.then(() => 'it is over'), delay(PATIENCE, 'it waits')])).toBe('it is over');
  });
});
