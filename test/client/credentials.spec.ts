import { afterEach, describe, expect, it } from '@jest/globals';
import type { EventSourceOptions, Fresh } from 'nestjs-sse-hub/client';

import { until } from '../support/baseline.js';
import { type Answer, ScriptedServer, stream } from '../support/network/scripted-server.js';
import { RecordedClient } from '../support/readers/client-record.js';

let server: ScriptedServer;
const clients: RecordedClient[] = [];

afterEach(async () => {
  for (const { source } of clients.splice(0)) source.close();
  await server.close();
});

async function follow(
  answer: Answer,
  options: EventSourceOptions,
  urlOf: (url: string) => Fresh<string | URL> = (url) => url,
): Promise<RecordedClient> {
  server = await ScriptedServer.start(answer);
  const client = new RecordedClient(urlOf(server.url), { maxRetry: 10, ...options });
  clients.push(client);
  return client;
}

/** Lets in who has this token, with one event. */
function guard(token: () => string): Answer {
  return (response, _, { headers, url }) => {
    if ((headers.authorization ?? url) !== token()) response.writeHead(401).end();
    else stream(response, 'data: in\n\n');
  };
}

describe('a request', () => {
  it('is a GET with the headers that an EventSource sends, and no others of its own', async () => {
    const client = await follow((response) => stream(response, 'data: 1\n\n'), { lastEventId: 'begin' });
    await client.untilCount('message', 1);
    const [{ method, headers, body }] = server.asked as [(typeof server.asked)[0]];
    expect([method, body, headers.accept, headers['last-event-id']]).toEqual(['GET', '', 'text/event-stream', 'begin']);
  });

  it('is a POST with a body, and goes on with the same body', async () => {
    const client = await follow((response, n) => stream(response, `retry: 10\nid: ${n}\ndata: 1\n\n`).end(), {
      headers: { 'Content-Type': 'application/json', 'X-Shop': '7' },
      body: '{"a":1}',
    });
    await client.untilCount('message', 2);
    for (const { method, body, headers } of server.asked.slice(0, 2)) {
      expect([method, body, headers['content-type'], headers['x-shop']]).toEqual([
        'POST',
        '{"a":1}',
        'application/json',
        '7',
      ]);
    }
    expect(server.lastEventIds.slice(0, 2)).toEqual([undefined, '0']);
  });

  it('has the method that was asked for', async () => {
    const client = await follow((response) => stream(response, 'data: 1\n\n'), { method: 'REPORT' });
    await client.untilCount('message', 1);
    expect(server.asked[0]!.method).toBe('REPORT');
  });

  it('asks for headers and body anew for every connection', async () => {
    let n = 0;
    const client = await follow((response) => stream(response, 'retry: 10\ndata: 1\n\n').end(), {
      headers: async () => Promise.resolve({ Authorization: `token ${++n}` }),
      body: () => `body ${n}`,
    });
    await client.untilCount('message', 2);
    expect(server.asked.slice(0, 2).map(({ headers }) => headers.authorization)).toEqual(['token 1', 'token 2']);
  });
});

describe('a 401', () => {
  it('is answered with fresh headers at once, and with a word that the old ones are refused', async () => {
    const asked: boolean[] = [];
    const client = await follow(
      guard(() => 'token 2'),
      {
        maxRetry: 600_000,
        headers: (stale) => ({ Authorization: `token ${asked.push(stale)}` }),
      },
    );
    await client.untilCount('message', 1);
    expect(asked).toEqual([false, true]);
    expect(client.errors).toEqual([
      { code: 401, message: 'Server sent HTTP 401, asking for fresh credentials', state: 0 },
    ]);
  });

  it('is answered with a fresh URL, which is relative to nothing but the page', async () => {
    let n = 0;
    const client = await follow(
      guard(() => '/events?token=2'),
      {},
      (url) => () => new URL(`${url}?token=${++n}`),
    );
    await client.untilCount('message', 1);
    expect(client.source.url).toBe('');
  });

  it('after fresh credentials closes for good', async () => {
    const client = await follow(
      guard(() => 'none'),
      { headers: () => ({ Authorization: 'token' }) },
    );
    await client.untilClosed();
    expect(server.asked).toHaveLength(2);
    expect(client.errors.at(-1)!.message).toMatch(/^Server sent HTTP 401, not reconnecting/);
  });

  it('without anything to ask closes for good, and says what is missing', async () => {
    const client = await follow(
      guard(() => 'none'),
      { headers: { Authorization: 'token' } },
    );
    await client.untilClosed();
    expect(server.asked).toHaveLength(1);
    expect(client.errors).toEqual([
      {
        code: 401,
        message:
          'Server sent HTTP 401, not reconnecting: give `headers` or the URL as a function, which is asked for fresh ones',
        state: 2,
      },
    ]);
  });

  it('may come again when a stream was open in between', async () => {
    let valid = 2;
    let n = 0;
    const client = await follow(
      (response, _, { headers }) => {
        if (headers.authorization !== `token ${valid}`) response.writeHead(401).end();
        else {
          valid += 2;
          stream(response, 'retry: 10\ndata: in\n\n').end();
        }
      },
      { headers: () => ({ Authorization: `token ${++n}` }) },
    );
    await client.untilCount('message', 3);
    expect(client.source.readyState).not.toBe(2);
  });
});

describe('sse.expired', () => {
  it('brings it back at once, with fresh credentials and its cursor', async () => {
    const asked: boolean[] = [];
    const client = await follow(
      (response, n) => {
        const end = 'retry: 600000\nevent: sse.expired\nid: here\ndata: {}\n\n';
        if (n === 0) stream(response, end).end();
        else stream(response, 'data: 1\n\n');
      },
      { headers: (stale) => ({ Authorization: `token ${asked.push(stale)}` }) },
    );
    await client.untilCount('message', 1);
    expect(asked).toEqual([false, true]);
    expect(server.lastEventIds).toEqual([undefined, 'here']);
  });

  it('waits for `retry` where there is nothing to ask', async () => {
    const client = await follow((response, n) => {
      if (n === 0) stream(response, 'retry: 400\nevent: sse.expired\nid: here\ndata: {}\n\n').end();
      else stream(response, 'data: 1\n\n');
    }, {});
    await client.untilCount('message', 1);
    expect(server.asked[1]!.at - server.asked[0]!.at).toBeGreaterThanOrEqual(395);
  });
});

describe('what gives credentials', () => {
  it('may fail, and is asked again later', async () => {
    let n = 0;
    const client = await follow((response) => stream(response, 'data: 1\n\n'), {
      headers: () => {
        if (++n < 3) throw new Error('no network');
        return {};
      },
    });
    await client.untilCount('message', 1);
    expect(client.errors.map(({ message, state }) => [message, state])).toEqual([
      ['Error: no network', 0],
      ['Error: no network', 0],
    ]);
  });

  it('that fails when credentials have expired is not asked in a loop', async () => {
    let failures = 0;
    const client = await follow(
      (response, n) => {
        if (n === 0) stream(response, 'event: sse.expired\nid: here\ndata: {}\n\n').end();
        else stream(response, 'data: 1\n\n');
      },
      {
        maxRetry: 200,
        headers: (stale) => {
          if (stale && ++failures < 4) throw new Error('no network');
          return {};
        },
      },
    );
    const begin = performance.now();
    await until('it has failed', () => failures > 0);
    await client.untilCount('message', 1);
    expect(performance.now() - begin).toBeGreaterThanOrEqual(590);
  });
});
