import { once } from 'node:events';
import net from 'node:net';

import { afterEach, describe, expect, it } from '@jest/globals';
import { SSEService } from 'nestjs-sse-hub';

import { until } from '../support/baseline.js';
import { ScriptedServer, stream } from '../support/network/scripted-server.js';
import { closeAllPlain, startPlain } from '../support/plain-server.js';
import { RecordedClient } from '../support/readers/client-record.js';

/** A way to a server that can fall silent: nothing comes over what is open then, and nobody closes it. */
class StuckWay {
  readonly #sockets: net.Socket[] = [];
  readonly #server: net.Server;

  constructor(port: number) {
    this.#server = net.createServer((inside) => {
      const outside = net.connect(port, '127.0.0.1');
      for (const socket of [inside, outside]) socket.on('error', () => {});
      inside.pipe(outside).pipe(inside);
      this.#sockets.push(inside, outside);
    });
  }

  async open(): Promise<string> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
    return `http://127.0.0.1:${(this.#server.address() as net.AddressInfo).port}`;
  }

  fallSilent(): void {
    for (const socket of this.#sockets) socket.unpipe().pause();
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }
}

const endings: (() => unknown)[] = [];

afterEach(async () => {
  for (const end of endings.splice(0).toReversed()) await end();
  await closeAllPlain();
});

function open(url: string): RecordedClient {
  const client = new RecordedClient(url, { maxRetry: 50 });
  endings.push(() => client.source.close());
  return client;
}

async function startHub(heartbeatInterval: number): Promise<{ sse: SSEService; way: StuckWay; url: string }> {
  const { sse, url } = await startPlain({ heartbeatInterval, retryInterval: 50 });
  const way = new StuckWay(Number(new URL(url).port));
  endings.push(() => way.close());
  return { sse, way, url: `${await way.open()}/events/t` };
}

describe('a line that is dead', () => {
  it('is noticed by the heartbeats that do not come; the stream goes on over another, and nothing is lost', async () => {
    const { sse, way, url } = await startHub(200);
    const client = open(url);
    await client.untilCount('sse.open', 1);
    sse.broadcast('t', 'n', 1);
    await client.untilCount('n', 1);
    way.fallSilent();
    const begin = performance.now();
    sse.broadcast('t', 'n', 2);
    await client.untilCount('n', 2);
    expect(performance.now() - begin).toBeGreaterThanOrEqual(1.25 * 200);
    expect(client.data).toEqual(['1', '2']);
    expect(client.errors).toEqual([{ code: undefined, message: 'Nothing came for 1300 ms, reconnecting', state: 0 }]);
  });

  it('is noticed as well when the answer to a reconnect does not come', async () => {
    const silent = await ScriptedServer.start((response, n) => {
      const hello = 'retry: 10\nevent: sse.open\nid: a\ndata: {"heartbeatInterval":20}\n\n';
      if (n === 0) stream(response, hello).end();
      else if (n === 2) stream(response, 'data: 1\n\n');
    });
    endings.push(() => silent.close());
    const client = open(silent.url);
    await client.untilCount('message', 1);
    expect(client.errors.map(({ message }) => message)).toEqual([
      'The stream has ended, reconnecting',
      'Nothing came for 1030 ms, reconnecting',
    ]);
    expect(silent.lastEventIds).toEqual([undefined, 'a', 'a']);
  });
});

describe('a line that is quiet', () => {
  it('is kept while heartbeats come', async () => {
    const { sse, url } = await startHub(100);
    const client = open(url);
    await client.untilCount('sse.open', 1);
    const begin = performance.now();
    await until('it was quiet for three times as long as a dead one would be', () => performance.now() - begin > 3_500);
    sse.broadcast('t', 'n', 1);
    await client.untilCount('n', 1);
    expect([client.opened, client.errors]).toEqual([1, []]);
  });

  it('is kept where no heartbeats are promised', async () => {
    const { sse, url } = await startHub(0);
    const client = open(url);
    await client.untilCount('sse.open', 1);
    const begin = performance.now();
    await until('it was quiet', () => performance.now() - begin > 2_500);
    sse.broadcast('t', 'n', 1);
    await client.untilCount('n', 1);
    expect([client.opened, client.errors]).toEqual([1, []]);
  });
});
