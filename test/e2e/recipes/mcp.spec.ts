import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';

import { afterAll, describe, expect, it } from '@jest/globals';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { ResourceUpdatedNotificationSchema } from '@modelcontextprotocol/sdk/types.js';
import { type Backplane, MemoryBackplane, SSEService } from 'nestjs-sse-hub';
import { RedisBackplane } from 'nestjs-sse-hub/redis';
import { TestLog } from 'nestjs-sse-hub/testing';

import { returnToBaseline, until } from '../../support/baseline.js';
import { findRedis } from '../../support/brokers/redis-server.js';
import { platforms, type RunningApp } from '../../support/platforms.js';
import { HubEventStore } from './mcp/hub-event-store.js';
import { McpController } from './mcp/mcp.controller.js';

/** docs/recipes/mcp.md: sessions of the SDK's own client, and streams of them that are cut. */

const redis = await findRedis();
const prefix = `test-${randomUUID()}`;

afterAll(async () => {
  await redis?.forget(prefix);
  await redis?.stop();
});

const bench = returnToBaseline();
const express = platforms.find(({ name }) => name === 'Express')!;

function start(backplane: Backplane = new MemoryBackplane()): Promise<RunningApp> {
  return bench.start(express, { config: { backplane }, controllers: [McpController] });
}

async function connect({ url }: { url: string }) {
  const transport = new StreamableHTTPClientTransport(new URL(`${url}/mcp`), {
    reconnectionOptions: {
      initialReconnectionDelay: 50,
      maxReconnectionDelay: 50,
      reconnectionDelayGrowFactor: 1,
      maxRetries: 100,
    },
  });
  const client = new Client({ name: 'test', version: '1' });
  const updated: string[] = [];
  client.setNotificationHandler(ResourceUpdatedNotificationSchema, ({ params }) => void updated.push(params.uri));
  await client.connect(transport);
  const leave = async () => {
    await transport.terminateSession();
    await client.close();
  };
  return { client, updated, leave };
}

describe('sessions of MCP', () => {
  it('hear of resources that change, whichever node publishes it', async () => {
    const backplane = new MemoryBackplane();
    const [here, there] = [await start(backplane), await start(backplane)];
    const { client, updated, leave } = await connect(here);
    await client.subscribeResource({ uri: 'order://7' });
    there.sse.broadcast('order:7', 'paid', {});
    there.sse.broadcast('order:8', 'paid', {});
    await until('it is told', () => updated.length > 0);
    expect(updated).toEqual(['order://7']);
    for (const uri of ['order://*', 'order://', 'mcp:1']) {
      await expect(client.subscribeResource({ uri })).rejects.toThrow('There is no such resource.');
    }
    await leave();
  });

  (redis ? it : it.skip)('miss nothing of what they are told while their stream is cut, again and again', async () => {
    const running = await start(new RedisBackplane({ url: redis!.url, prefix }));
    const { client, updated, leave } = await connect(running);
    const uris = Array.from({ length: 60 }, (_, id) => `order://${id}`);
    await Promise.all(uris.map((uri) => client.subscribeResource({ uri })));
    for (let id = 0; id < uris.length; id++) {
      running.sse.broadcast(`order:${id}`, 'paid', {});
      await delay(3);
      // A stream on which nothing came has nothing to be resumed with.
      if (id % 10 !== 0) continue;
      await until('something is told', () => updated.length > id);
      (running.app.getHttpServer() as Server).closeAllConnections();
    }
    await until('all are told', () => updated.length >= uris.length);
    expect(updated).toEqual(uris);
    await leave();
  });

  it('get the result of a tool whose stream was cut meanwhile', async () => {
    const sse = bench.watch(new SSEService());
    const mcp = new McpServer({ name: 'tools', version: '1' });
    let finish = (): void => {};
    const result = { content: [{ type: 'text' as const, text: 'done' }] };
    mcp.registerTool('wait', {}, async ({ _meta, sendNotification }) => {
      const params = { progressToken: _meta!.progressToken!, progress: 1 };
      await sendNotification({ method: 'notifications/progress', params });
      return new Promise((resolve) => (finish = () => resolve(result)));
    });
    const transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: () => 'one',
      eventStore: new HubEventStore(sse, 'mcp:one'),
    });
    await mcp.connect(transport);
    const server = createServer((request, response) => void transport.handleRequest(request, response));
    await once(server.listen(0, '127.0.0.1'), 'listening');
    const { client, leave } = await connect({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}` });
    let progress = 0;
    const called = client.callTool({ name: 'wait' }, undefined, { onprogress: () => progress++ });
    await until('it is at work', () => progress === 1);
    server.closeAllConnections();
    finish();
    expect(await called).toEqual(result);
    await leave();
    await new Promise((resolve) => server.close(resolve));
  });

  it('are answered 404 when they are not known any more, so that they begin anew', async () => {
    const { url } = await start();
    const headers = { accept: 'text/event-stream', 'mcp-session-id': 'another' };
    expect((await fetch(`${url}/mcp`, { headers })).status).toBe(404);
  });
});

describe('an application with sessions', () => {
  it('closes while their streams are open', async () => {
    const running = await start();
    const { client } = await connect(running);
    await client.subscribeResource({ uri: 'order://7' });
    await running.close();
    await client.close();
    expect(running.sse.stats().topics).toBe(0);
  });
});

describe('HubEventStore', () => {
  const message = (n: number) => ({ jsonrpc: '2.0' as const, method: `n${n}` });

  async function replayed(store: HubEventStore, lastEventId: string): Promise<[string, unknown][]> {
    const events: [string, unknown][] = [];
    await store.replayEventsAfter(lastEventId, {
      send: (id, data) => Promise.resolve(void events.push([id, data])),
    });
    return events;
  }

  it('replays what followed in the same stream, also what comes while it is at it', async () => {
    const store = new HubEventStore(bench.watch(new SSEService()), 'mcp:1');
    const ids = await Promise.all([
      store.storeEvent('a', message(1)),
      store.storeEvent('b', message(2)),
      store.storeEvent('a', message(3)),
    ]);
    const events: unknown[] = [];
    let more: Promise<string> | undefined;
    const stream = await store.replayEventsAfter(ids[0], {
      send: (_, data) => {
        more ??= store.storeEvent('a', message(4));
        return Promise.resolve(void events.push(data));
      },
    });
    expect([stream, events]).toEqual(['a', [message(3), message(4)]]);
    await more;
  });

  it('says so when it cannot replay because events are gone, or were never its own', async () => {
    const sse = bench.watch(new SSEService({ maxHistorySize: 2 }));
    const store = new HubEventStore(sse, 'mcp:1');
    const ids = [];
    for (let n = 0; n < 3; n++) ids.push(await store.storeEvent('a', message(n)));
    await new Promise(setImmediate);
    expect(await replayed(store, ids[1]!)).toEqual([[ids[2], message(2)]]);
    for (const id of [ids[0]!, 'nonsense']) await expect(replayed(store, id)).rejects.toThrow('no longer retained');
    await expect(replayed(new HubEventStore(sse, 'mcp:2'), ids[2]!)).rejects.toThrow('no longer retained');
  });

  it('has stored an event when it can be replayed here, or says that it has not', async () => {
    const backplane = new TestLog().node();
    const sse = bench.watch(new SSEService({ backplane }));
    const store = new HubEventStore(sse, 'mcp:1');
    const first = await store.storeEvent('a', message(1));
    backplane.hold();
    let stored = false;
    const second = store.storeEvent('a', message(2)).finally(() => (stored = true));
    await delay(20);
    expect(stored).toBe(false);
    backplane.release();
    expect(await replayed(store, first)).toEqual([[await second, message(2)]]);
    backplane.down();
    await expect(store.storeEvent('a', message(3))).rejects.toMatchObject({ code: 'BACKPLANE_UNAVAILABLE' });
    expect(sse.stats().topics).toBe(0);
  });
});
