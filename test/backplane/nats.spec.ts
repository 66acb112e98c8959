import { randomUUID } from 'node:crypto';

import { afterEach, describe, expect, it } from '@jest/globals';
import { connect } from '@nats-io/transport-node';
import { Logger } from '@nestjs/common';
import { SSEService } from 'nestjs-sse-hub';
import { NatsBackplane, type NatsBackplaneOptions } from 'nestjs-sse-hub/nats';

import { nanosOf } from '../../src/backplane/nats/log.js';
import { until } from '../support/baseline.js';
import { NatsServer } from '../support/brokers/nats-server.js';
import { isInstalled } from '../support/brokers/server-process.js';
import { BrokerProxy } from '../support/network/broker-proxy.js';

// That a connection is lost is what one of these tests is about.
Logger.overrideLogger(['error', 'fatal']);

describe('the options', () => {
  it.each<[NatsBackplaneOptions, RegExp]>([
    [{ prefix: 'a.b' }, /`prefix` is "a.b"; it has to be a text of 1 to 64 letters/],
    [{ servers: [] }, /`servers`/],
    [{ storage: 'tape' as 'file' }, /`storage` is "tape"; it has to be 'file' or 'memory'/],
    [{ maxAge: 50 }, /`maxAge` is 50/],
    [{ replicas: 6 }, /`replicas`/],
    [{ url: 'nats://x' } as NatsBackplaneOptions, /no option `url`/],
    [{ connection: {} as never }, /`connection`/],
  ])('%j is refused, with the reason', (options, message) => {
    expect(() => new NatsBackplane(options)).toThrow(TypeError);
    expect(() => new NatsBackplane(options)).toThrow(message);
  });
});

describe('a time of the server', () => {
  it('is read to the nanosecond', () => {
    expect(nanosOf('2024-01-31T12:00:00.123456789Z')).toBe(1_706_702_400_123_456_789n);
    expect(nanosOf('2024-01-31T12:00:00.5Z')).toBe(1_706_702_400_500_000_000n);
    expect(nanosOf('2024-01-31T12:00:00Z')).toBe(1_706_702_400_000_000_000n);
    expect(nanosOf('0001-01-01T00:00:00Z')).toBe(0n);
  });
});

((await isInstalled('nats-server')) ? describe : describe.skip)('on a server', () => {
  const endings: (() => unknown)[] = [];
  afterEach(async () => {
    for (const end of endings.splice(0).toReversed()) await end();
  });

  async function startServer(): Promise<NatsServer> {
    const server = await NatsServer.start({ persistent: false });
    endings.push(() => server.remove());
    return server;
  }

  async function startHub(options: NatsBackplaneOptions): Promise<SSEService> {
    const sse = new SSEService({ backplane: new NatsBackplane(options), drainTimeout: 100 });
    endings.push(() => sse.shutdown());
    return sse.start();
  }

  it('a connection that was handed in is shared, outlives a cut, and stays its owner’s', async () => {
    const server = await startServer();
    const proxy = await BrokerProxy.start(server.port);
    endings.push(() => proxy.close());
    const where = `nats://127.0.0.1:${proxy.port}`;
    const connection = await connect({ servers: where, reconnectTimeWait: 50, maxReconnectAttempts: -1 });
    endings.push(() => connection.close());
    const prefix = `test-${randomUUID()}`;
    const [a, b] = [await startHub({ connection, prefix }), await startHub({ connection, prefix })];
    const seen: unknown[] = [];
    b.observe('t').subscribe(({ data }) => seen.push(data));
    await a.publish('t', 'n', 0);
    for (let n = 1; n <= 5; n++) {
      proxy.cut();
      a.broadcast('t', 'n', n);
      await a.publish('t', 'n', -n);
    }
    await until('all has come', () => seen.length >= 11);
    expect(seen).toEqual([0, 1, -1, 2, -2, 3, -3, 4, -4, 5, -5]);
    await a.shutdown();
    await b.shutdown();
    expect(connection.isClosed()).toBe(false);
    await connection.flush();
    await connection.close();
    const late = await startHub({ connection, prefix, publishTimeout: 200 });
    expect(late.stats().backplane.status).toBe('down');
    await late.shutdown();
  });

  it('what would delete inside the log is taken off a stream that is there already', async () => {
    const server = await startServer();
    const prefix = `test-${randomUUID()}`;
    await server.run(({ streams }) =>
      streams.add({ name: prefix, subjects: [`${prefix}.log`], max_msgs_per_subject: 1, max_msgs: 5 }),
    );
    const sse = await startHub({ servers: server.url, prefix, maxLength: 100 });
    for (let n = 0; n < 10; n++) await sse.publish('t', 'n', n);
    sse.broadcastAll('n', 'everybody');
    const { config, state } = await server.run(({ streams }) => streams.info(prefix));
    expect(config).toMatchObject({ max_msgs_per_subject: -1, max_msgs: 100, discard: 'old', retention: 'limits' });
    expect(state.messages).toBeGreaterThanOrEqual(10);
  });

  it('an entry that is more than the server takes is refused at once, and others go on', async () => {
    const server = await startServer();
    const sse = await startHub({ servers: server.url, prefix: 'sse', maxEntryBytes: 256 * 1024 * 1024 });
    const hub = new SSEService({ backplane: new NatsBackplane({ servers: server.url }), maxEventSize: 2 ** 28 });
    endings.push(() => hub.shutdown());
    await hub.start();
    const large = hub.publish('t', 'n', 'x'.repeat(9 * 1024 * 1024));
    await expect(large).rejects.toMatchObject({ code: 'BACKPLANE_UNAVAILABLE', cause: { stored: 'no' } });
    await sse.publish('t', 'n', 1);
    await hub.publish('t', 'n', 2);
  });

  it('an event that was trimmed before its own node had read it counts as stored, and is not sent again', async () => {
    const server = await startServer();
    const sse = await startHub({ servers: server.url, prefix: 'sse', maxLength: 3 });
    const places = new Set<string>();
    let turns = 0;
    // One after the other, so that there are many messages.
    while (turns < 2_000) {
      const turn = Array.from({ length: 20 }, () => sse.publish('t', 'n', turns++));
      for (const place of await Promise.all(turn)) places.add(place);
    }
    expect(places.size).toBe(2_000);
  });

  it('a stream that was deleted and made again while no node was there has another epoch', async () => {
    const server = await startServer();
    const prefix = `test-${randomUUID()}`;
    const before = await startHub({ servers: server.url, prefix });
    const cursor = await before.publish('t', 'n', 1);
    await before.shutdown();
    await server.run(({ streams }) => streams.delete(prefix));
    const after = await startHub({ servers: server.url, prefix });
    const again = await after.publish('t', 'n', 1);
    expect(again.split('~')[1]).not.toBe(cursor.split('~')[1]);
    await after.shutdown();
    const last = await startHub({ servers: server.url, prefix });
    expect((await last.publish('t', 'n', 1)).split('~')[1]).toBe(again.split('~')[1]);
  });
});
