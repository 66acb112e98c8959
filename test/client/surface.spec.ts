import { afterEach, describe, expect, it } from '@jest/globals';
import { EventSource, type EventSourceOptions } from 'nestjs-sse-hub/client';

import { until } from '../support/baseline.js';
import { type Answer, ScriptedServer, stream } from '../support/network/scripted-server.js';
import { closeAllPlain, startPlain } from '../support/plain-server.js';

/** What an application has in hand. */

const servers: ScriptedServer[] = [];
const sources: { close(): void }[] = [];

afterEach(async () => {
  for (const source of sources.splice(0)) source.close();
  for (const server of servers.splice(0)) await server.close();
  await closeAllPlain();
});

interface Shop {
  orders: { created: { id: number }; removed: { id: number } };
  '**': { message: string };
}

function open<Events extends object = Shop>(url: string, options?: EventSourceOptions): EventSource<Events> {
  const source = new EventSource<Events>(url, options);
  sources.push(source);
  return source;
}

async function serve(answer: Answer): Promise<string> {
  const server = await ScriptedServer.start(answer);
  servers.push(server);
  return server.url;
}

const THREE = 'id: 1\nevent: created\ndata: {"id":1}\n\nid: 2\nevent: removed\ndata: {"id":2}\n\nid: 3\ndata: text\n\n';

describe('an event', () => {
  it('is a MessageEvent with its data as text, for listeners and handlers that can be changed', async () => {
    const url = await serve((response) => stream(response, THREE));
    const source = open(url);
    const got: unknown[] = [];
    source.onmessage = () => got.push('replaced');
    source.onmessage = ({ data, lastEventId, origin, target }) =>
      got.push([data, lastEventId, origin, target === source]);
    source.addEventListener('created', ({ data, type }) => got.push([type, data]), { once: true });
    source.addEventListener('removed', { handleEvent: ({ data }) => got.push(data) });
    source.onopen = ({ type }) => got.push(type);
    await until('all have come', () => got.length === 4);
    expect(got).toEqual(['open', ['created', '{"id":1}'], '{"id":2}', ['text', '3', new URL(url).origin, true]]);
    expect([source.readyState, source.lastEventId, source.url]).toEqual([EventSource.OPEN, '3', url]);
  });

  it('is handed on parsed by `on()`, until that is stopped; what is not JSON is text', async () => {
    const source = open(await serve((response) => stream(response, `${THREE}${THREE}event: last\ndata: {"torn\n\n`)));
    const got: unknown[] = [];
    const stop = source.on('created', ({ id }, { lastEventId }) => {
      got.push([id, lastEventId]);
      stop();
    });
    source.on('message', (data) => got.push(data));
    open<object>(source.url).on('last', (data) => got.push(data));
    await until('all have come', () => got.length === 4);
    expect(got).toEqual([[1, '1'], 'text', 'text', '{"torn']);
  });

  it('of the hub is typed by its name too', async () => {
    const { sse, url } = await startPlain({ heartbeatInterval: 1_234 });
    const source = open(`${url}/events/orders`);
    const intervals: number[] = [];
    source.on('sse.open', ({ heartbeatInterval }) => intervals.push(heartbeatInterval));
    await until('it is open', () => intervals.length > 0);
    expect([intervals, sse.getClientCount()]).toEqual([[1_234], 1]);
    // @ts-expect-error has no such event
    source.on('unknown', () => {});
    // @ts-expect-error is a number
    source.on('created', ({ id }: { id: string }) => id);
  });
});

describe('a loop over the source', () => {
  it('gets all events in order, parsed, and ends when the stream is over for good', async () => {
    const { sse, url } = await startPlain();
    const source = open(`${url}/events/orders`);
    const got: unknown[] = [];
    for await (const { event, data, lastEventId } of source) {
      got.push([event, event === 'sse.open' ? undefined : data]);
      expect(lastEventId).toMatch(event === 'created' ? /^own$/ : /^1~/);
      if (event === 'sse.open') {
        sse.broadcast('orders', 'created', { id: 1 }, 'own');
        sse.broadcast('orders', 'removed', { id: 2 });
        sse.closeTopic('orders');
      }
      if (event === 'created') expect(data.id).toBe(1);
    }
    expect(got).toEqual([
      ['sse.open', undefined],
      ['created', { id: 1 }],
      ['removed', { id: 2 }],
      ['sse.end', {}],
    ]);
    expect(source.readyState).toBe(EventSource.CLOSED);
  });

  it('throws what has closed the stream', async () => {
    const source = open(await serve((response) => response.writeHead(403).end()));
    const loop = async (): Promise<void> => {
      for await (const event of source) void event;
    };
    await expect(loop()).rejects.toMatchObject({ message: 'Server sent HTTP 403, not reconnecting', code: 403 });
  });

  it('ends when the source is closed, and can be left while that stays open', async () => {
    const source = open(await serve((response) => stream(response, THREE)));
    for await (const { event } of source) if (event === 'created') break;
    expect(source.readyState).toBe(EventSource.OPEN);
    setImmediate(() => source.close());
    for await (const event of source) void event;
    expect(source.readyState).toBe(EventSource.CLOSED);
  });
});

describe('closing', () => {
  it('in a listener stops what has come already from being dispatched, and keeps the cursor of the last one', async () => {
    const source = open(await serve((response) => stream(response, THREE)));
    const got: string[] = [];
    source.on('created', () => {
      got.push('created');
      source.close();
    });
    source.on('removed', () => got.push('removed'));
    await until('the first has come', () => got.length > 0);
    for await (const event of source) void event;
    expect([got, source.lastEventId]).toEqual([['created'], '1']);
  });

  it('is heard by the server', async () => {
    let isGone = false;
    const source = open(
      await serve((response) => {
        response.on('close', () => (isGone = true));
        stream(response, 'data: 1\n\n');
      }),
    );
    await new Promise((resolve) => (source.onmessage = resolve));
    source.close();
    await until('it is gone', () => isGone);
  });

  it('is what a signal does, also one that was aborted before', async () => {
    const url = await serve((response) => stream(response));
    const abort = new AbortController();
    const source = open(url, { signal: abort.signal });
    await new Promise((resolve) => (source.onopen = resolve));
    abort.abort();
    expect(source.readyState).toBe(EventSource.CLOSED);
    expect(open(url, { signal: abort.signal }).readyState).toBe(EventSource.CLOSED);
  });
});

describe('what cannot work', () => {
  it.each(['/events', 'http://', ''])('is said at once: a URL that is none: "%s"', (url) => {
    expect(() => new EventSource(url)).toThrow(`An invalid or illegal string was specified: "${url}"`);
  });

  it('is said at once: a name that cannot be guessed', () => {
    const message = 'With a function as URL, `share` and `remember` need a name: share: "orders"';
    expect(() => new EventSource(() => 'http://127.0.0.1', { share: true })).toThrow(message);
    expect(() => new EventSource(() => 'http://127.0.0.1', { remember: true })).toThrow(message);
  });
});

describe('where there is no page', () => {
  it('works, without what only a page has', async () => {
    const source = open(await serve((response) => stream(response, THREE)), { share: 'one', remember: 'one' });
    await new Promise((resolve) => (source.onmessage = resolve));
    expect(source.lastEventId).toBe('3');
  });
});
