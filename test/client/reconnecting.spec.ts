import { afterEach, describe, expect, it } from '@jest/globals';
import type { EventSourceOptions, Fresh } from 'nestjs-sse-hub/client';

import { until } from '../support/baseline.js';
import { type Answer, ScriptedServer, stream } from '../support/network/scripted-server.js';
import { RecordedClient } from '../support/readers/client-record.js';

/** What brings the client back, when, and what does not. */

let server: ScriptedServer;
const clients: RecordedClient[] = [];

afterEach(async () => {
  for (const { source } of clients.splice(0)) source.close();
  await server.close();
});

function open(url: Fresh<string | URL>, options?: EventSourceOptions): RecordedClient {
  const client = new RecordedClient(url, options);
  clients.push(client);
  return client;
}

async function follow(answer: Answer, options?: EventSourceOptions): Promise<RecordedClient> {
  server = await ScriptedServer.start(answer);
  return open(server.url, options);
}

/** The first answer is this, the others are a stream with one event. */
function once(first: Answer): Answer {
  return (response, number, request) => {
    if (number === 0) first(response, number, request);
    else stream(response, 'data: 1\n\n');
  };
}

describe('a stream that ends', () => {
  it('is opened again after `retry`, with the last event ID', async () => {
    const client = await follow((response, n) => stream(response, `retry: 300\nid: ${n}\ndata: ${n}\n\n`).end());
    await client.untilCount('message', 3);
    expect(server.lastEventIds.slice(0, 3)).toEqual([undefined, '0', '1']);
    expect(server.asked[1]!.at - server.asked[0]!.at).toBeGreaterThanOrEqual(295);
    expect(client.errors[0]).toEqual({ code: undefined, message: 'The stream has ended, reconnecting', state: 0 });
  });

  it('is opened again after a cut, and what was torn off is not dispatched', async () => {
    const client = await follow((response, n) => {
      stream(response, `retry: 10\nid: ${n}\ndata: ${n}\n\nid: torn\ndata: torn\n`);
      response.write('', () => setImmediate(() => response.destroy()));
    });
    await client.untilCount('message', 2);
    expect(client.data.slice(0, 2)).toEqual(['0', '1']);
    expect(server.lastEventIds[1]).toBe('0');
  });

  it('keeps its place over a stream that says nothing', async () => {
    const client = await follow((response, n) => {
      stream(response, n === 0 ? 'retry: 10\nid: a\ndata: 0\n\n' : 'data: more\n\n').end();
    });
    await client.untilCount('message', 3);
    expect(server.lastEventIds.slice(0, 3)).toEqual([undefined, 'a', 'a']);
    expect(client.events.at(-1)?.lastEventId).toBe('a');
  });

  it('sends an id that is not ASCII as bytes of UTF-8', async () => {
    const client = await follow((response) => stream(response, 'retry: 10\nid: é 漢 😅\ndata: 0\n\n').end());
    await client.untilCount('message', 2);
    expect(Buffer.from(server.lastEventIds[1]!, 'latin1').toString()).toBe('é 漢 😅');
  });

  it('waits until a server is there', async () => {
    const gone = await ScriptedServer.start(() => {});
    const { url } = gone;
    await gone.close();
    server = await ScriptedServer.start((response) => stream(response, 'data: 1\n\n'));
    const there = server.url;
    let isThere = false;
    const client = open(() => (isThere ? there : url), { maxRetry: 50 });
    await until('it has failed', () => client.errors.length > 0);
    expect(client.errors[0]).toEqual({ code: undefined, message: expect.stringMatching('fetch failed'), state: 0 });
    isThere = true;
    await client.untilCount('message', 1);
  });
});

describe('an answer that is no stream', () => {
  it.each([429, 502, 503, 504])('with status %d passes, and is asked for again', async (status) => {
    const client = await follow(
      once((response) => response.writeHead(status, { 'Retry-After': '0' }).end()),
      { maxRetry: 10 },
    );
    await client.untilCount('message', 1);
    expect(client.errors).toEqual([{ code: status, message: `Server sent HTTP ${status}, reconnecting`, state: 0 }]);
  });

  it('is asked for again after `Retry-After`, in seconds or as a date', async () => {
    const client = await follow(
      (response, n) => {
        if (n === 0) response.writeHead(503, { 'Retry-After': '1' }).end();
        else if (n === 1) response.writeHead(503, { 'Retry-After': new Date(Date.now() + 2_000).toUTCString() }).end();
        else stream(response, 'data: 1\n\n');
      },
      { maxRetry: 100 },
    );
    await client.untilCount('message', 1);
    const [first, second, third] = server.asked.map(({ at }) => at);
    // Behind what was asked for comes a wait of its own, so that not everybody is back at the same moment.
    expect(second! - first!).toBeGreaterThanOrEqual(1_000 + 100 - 10);
    // A date has no milliseconds.
    expect(third! - second!).toBeGreaterThanOrEqual(1_000 + 100 - 10);
  });

  it.each([
    [204, 'Server sent HTTP 204, not reconnecting'],
    [400, 'Server sent HTTP 400, not reconnecting'],
    [403, 'Server sent HTTP 403, not reconnecting'],
    [404, 'Server sent HTTP 404, not reconnecting'],
    [500, 'Server sent HTTP 500, not reconnecting'],
  ])('with status %d closes for good', async (status, message) => {
    const client = await follow(once((response) => response.writeHead(status).end()));
    await client.untilClosed();
    expect(client.errors).toEqual([{ code: status, message, state: 2 }]);
  });

  it('with status 204 is asked for again when that was wanted', async () => {
    const client = await follow(
      once((response) => response.writeHead(204).end()),
      { reconnectOn204: true, maxRetry: 10 },
    );
    await client.untilCount('message', 1);
    expect(client.errors).toEqual([{ code: 204, message: 'Server sent HTTP 204, reconnecting', state: 0 }]);
  });

  it('with another type closes for good, and says which it was', async () => {
    const client = await follow(
      once((response) => response.writeHead(200, { 'Content-Type': 'text/html' }).end('<p>')),
    );
    await client.untilClosed();
    expect(client.errors[0]!.message).toBe(
      'Server sent Content-Type "text/html", not text/event-stream: check the URL',
    );
  });

  it('that fails again and again is asked for less and less, up to a limit', async () => {
    const client = await follow(
      (response, n) => {
        if (n === 0) stream(response, 'retry: 10\n\n').end();
        else response.writeHead(503).end();
      },
      { maxRetry: 600 },
    );
    await until('it has failed seven times', () => client.errors.length > 7);
    const waits = server.asked.map(({ at }, i) => (i === 0 ? 0 : at - server.asked[i - 1]!.at)).slice(2);
    // 250, 500, 600, 600…, each spread by up to half of it: what comes too late is the machine's doing.
    for (const [i, least] of [250, 500, 600, 600, 600].entries()) expect(waits[i]).toBeGreaterThanOrEqual(least - 10);
  });
});

describe('the hub', () => {
  it('is asked again less and less while it is busy, and the end is an end', async () => {
    const client = await follow((response, n) => {
      if (n < 2) stream(response, 'retry: 250\nevent: sse.busy\nid: 1~new\ndata: {"reason":"full"}\n\n').end();
      else stream(response, 'event: sse.end\nid: 1~end\ndata: {}\n\ndata: behind the end\n\n');
    });
    await client.untilClosed();
    expect(server.lastEventIds).toEqual([undefined, '1~new', '1~new']);
    expect(server.asked[2]!.at - server.asked[1]!.at).toBeGreaterThanOrEqual(240);
    expect(client.data).toEqual([]);
    expect(client.errors.at(-1)).toEqual({
      code: undefined,
      message: 'The stream is over for good (sse.end)',
      state: 2,
    });
  });
});
