import http2 from 'node:http2';
import type { AddressInfo } from 'node:net';

import { describe, expect, it } from '@jest/globals';
import { type ClientOptions, SSEService } from 'nestjs-sse-hub';

import { returnToBaseline, until } from '../../support/baseline.js';
import { openHttp2 } from '../../support/network/http2-stream.js';
import { platforms, type RunningApp } from '../../support/platforms.js';
import type { EventStream } from '../../support/readers/event-stream.js';
import { transports } from '../../support/stream-controllers.js';

const bench = returnToBaseline();

type Options = Omit<ClientOptions, 'topics'>;

interface Ended {
  readonly stream: EventStream;
  readonly sse: SSEService;
  /** Of the last event that was published before. */
  readonly cursor: string;
}

interface Way {
  readonly name: string;
  readonly options?: () => Options;
  readonly config?: object;
  /** Ends the stream. */
  readonly act: (app: RunningApp, id: string) => unknown;
}

/** After these it is to come back. */
const PLANNED: readonly Way[] = [
  { name: 'removeClient()', act: ({ sse }, id) => sse.removeClient(id) },
  { name: 'shutdown', act: ({ app }) => app.close() },
  { name: 'expiresAt', options: () => ({ expiresAt: Date.now() + 300 }), act: () => {} },
  { name: 'maxConnectionAge', config: { maxConnectionAge: 300 }, act: () => {} },
  {
    name: 'a filter that fails',
    options: () => ({ filter: failing }),
    act: ({ sse }) => sse.broadcast('t', 'n', 'bad'),
  },
];

/** And after these it is not. */
const FINAL: readonly Way[] = [
  { name: 'removeClient() for good', act: ({ sse }, id) => sse.removeClient(id, { reconnect: false }) },
  { name: 'closeTopic()', act: ({ sse }) => sse.closeTopic('t') },
  {
    name: 'being replaced',
    options: () => ({ id: 'same', group: 'g' }),
    act: ({ url }) => bench.open(`${url}/events/other`),
  },
];

function failing({ data }: { data: unknown }): boolean {
  if (data === 'bad') throw new Error('This filter fails.');
  return true;
}

/** Whether the answer came to its orderly end. */
function isComplete({ response }: EventStream): boolean {
  return response.complete;
}

for (const platform of platforms) {
  for (const transport of transports) {
    describe(`a planned end, ${transport.name} on ${platform.name}`, () => {
      const start = (options: () => Options, config: object = {}) =>
        bench.start(platform, {
          config: { drainTimeout: 200, ...config },
          controllers: [transport.controller(options)],
        });

      /** A stream that gets an event and then ends in this way. */
      const end = async ({ options = () => ({}), config, act }: Way, plannedEnd: 'end' | 'cut'): Promise<Ended> => {
        const app = await start(() => ({ since: 0, ...options(), plannedEnd }), config);
        // It leaves with `sse.open`, however short the time of the stream is.
        const cursor = await app.sse.publish('t', 'n', 1);
        const stream = await bench.connect(`${app.url}/events/t`);
        const { clientId } = JSON.parse(stream.events[0]!.data) as { clientId: string };
        const acting = act(app, clientId);
        await stream.untilEnd();
        await acting;
        return { stream, sse: app.sse, cursor };
      };

      for (const way of PLANNED) {
        it(`${way.name}: is cut behind the last event and its cursor with 'cut', and ends in order otherwise`, async () => {
          const [ended, cut] = await Promise.all([end(way, 'end'), end(way, 'cut')]);
          expect([isComplete(ended.stream), isComplete(cut.stream)]).toEqual([true, false]);
          for (const { stream, cursor } of [ended, cut]) {
            expect(stream.data).toEqual([1]);
            expect(stream.lastEventId >= cursor).toBe(true);
          }
          expect(cut.stream.events.map(({ event }) => event)).toEqual(ended.stream.events.map(({ event }) => event));
        });
      }

      it('a stream that is over for good ends in order either way', async () => {
        const all = await Promise.all(FINAL.map((way) => end(way, 'cut')));
        expect(all.map(({ stream }) => [stream.data, isComplete(stream)])).toEqual(FINAL.map(() => [[1], true]));
      });

      it('one that is refused for now is cut behind sse.busy', async () => {
        const { url } = await start(() => ({ plannedEnd: 'cut' }), { maxClients: 1 });
        await bench.connect(`${url}/events/t`);
        const refused = await bench.open(`${url}/events/t`);
        await refused.untilEnd();
        expect([refused.status, refused.events.map(({ event }) => event), isComplete(refused)]).toEqual([
          200,
          ['sse.busy'],
          false,
        ]);
      });

      it('one whose initial events cannot be had is cut', async () => {
        const initial = (): Promise<never> => Promise.reject(new Error('They cannot be had.'));
        const { url } = await start(() => ({ plannedEnd: 'cut', initial }));
        const stream = await bench.open(`${url}/events/t`);
        await stream.untilEnd();
        expect([stream.events.map(({ event }) => event), isComplete(stream)]).toEqual([['sse.open'], false]);
      });

      it('sse.expired says where to go on', async () => {
        const { sse, url } = await start(() => ({ expiresAt: Date.now() + 300, since: 0 }));
        const cursor = await sse.publish('t', 'n', 1);
        const stream = await bench.connect(`${url}/events/t`);
        await stream.untilEnd();
        sse.broadcast('t', 'n', 2);
        expect(stream.data).toEqual([1]);
        expect(stream.events.at(-1)).toEqual({ event: 'sse.expired', data: '{}', lastEventId: cursor });
        const back = await bench.connect(`${url}/events/t`, { lastEventId: cursor });
        expect(await back.messagesUpTo(1)).toEqual([2]);
      });

      it('without control events nothing is said of it', async () => {
        const { sse, url } = await start(() => ({ expiresAt: Date.now() + 300, since: 0, controlEvents: false }));
        sse.broadcast('t', 'n', 1);
        const stream = await bench.open(`${url}/events/t`);
        await stream.untilEnd();
        expect([stream.events.map(({ event }) => event), stream.raw.includes('sse.')]).toEqual([['n'], false]);
      });
    });
  }
}

describe('a planned end elsewhere', () => {
  it('is RST_STREAM on HTTP/2, and the connection goes on', async () => {
    const sse = bench.watch(new SSEService({ drainTimeout: 200 }));
    const server = http2.createServer((_request, response) => {
      sse.createClient(response, { topics: 't', plannedEnd: 'cut' });
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    bench.onEnd(() => server.close());
    const { port } = server.address() as AddressInfo;
    const stream = await openHttp2(`http://127.0.0.1:${port}/`);
    await stream.next();
    sse.broadcast('t', 'n', 'x'.repeat(200_000));
    for (const { id } of sse.getClients()) sse.removeClient(id);
    await stream.untilEnd();
    expect([stream.data.map((data) => String(data).length), stream.response.complete]).toEqual([[200_000], false]);
    const closing = await openHttp2(`http://127.0.0.1:${port}/`);
    await closing.next();
    await sse.shutdown();
    await closing.untilEnd();
    expect(closing.response.complete).toBe(false);
  });

  it('is an error of the body where a web response has no connection, behind all that was in it', async () => {
    const sse = bench.watch(new SSEService({ maxClients: 1 }));
    const request = new Request('http://localhost/');
    const { client, response } = sse.addClient({ request, topics: 't', plannedEnd: 'cut' });
    const refused = sse.addClient({ request, topics: 't', plannedEnd: 'cut' });
    const texts = ['', ''];
    const read = async (body: ReadableStream<Uint8Array>, i: number): Promise<void> => {
      for await (const piece of body) texts[i] += Buffer.from(piece).toString();
    };
    const outcomes = [response, refused.response].map(({ body }, i) => read(body!, i).catch(String));
    await until('it is open', () => texts[0]!.includes('sse.open'));
    sse.broadcast('t', 'n', 'x'.repeat(200_000));
    sse.removeClient(client.id);
    for (const outcome of outcomes) expect(await outcome).toContain('to be continued');
    expect(texts[0]!.endsWith(`${'x'.repeat(200_000)}\n\n`)).toBe(true);
    expect(texts[1]).toMatch(/^event: sse\.busy\n[^]*\n\n$/);
  });

  it('is one of the two', () => {
    const sse = bench.watch(new SSEService());
    const request = new Request('http://localhost/');
    expect(() => sse.addClient({ request, topics: 't', plannedEnd: 'reset' as 'cut' })).toThrow(
      /plannedEnd.*'reset'|plannedEnd.*"reset"/,
    );
  });
});
