import { setTimeout as delay } from 'node:timers/promises';

import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { AckPolicy, type StreamConfig } from '@nats-io/jetstream';
import { connect, type NatsConnection } from '@nats-io/transport-node';
import { SSEService, topicPattern } from 'nestjs-sse-hub';
import { NatsBackplane, type NatsBackplaneOptions } from 'nestjs-sse-hub/nats';

import { lastPlaceIn } from '../../src/backplane/nats/message.js';
import type { Audience } from '../../src/backplane/presence.js';
import { until } from '../support/baseline.js';
import { LogRecorder } from '../support/brokers/log-recorder.js';
import { NatsServer } from '../support/brokers/nats-server.js';
import { isInstalled } from '../support/brokers/server-process.js';
import { freePort } from '../support/processes/free-port.js';
import { BrokerProxy } from '../support/network/broker-proxy.js';
import { ACKNOWLEDGEMENT, APPEND, DELIVERY, NatsProxy } from '../support/network/nats-proxy.js';
import { event } from '../support/test-hub.js';

((await isInstalled('nats-server')) ? describe : describe.skip)('a backplane in NATS', () => {
  let server: NatsServer;
  let proxy: BrokerProxy;
  let prefix = '';
  let tests = 0;
  const endings: (() => unknown)[] = [];

  beforeAll(async () => {
    server = await NatsServer.start({ persistent: false });
  });
  afterAll(() => server.remove());

  beforeEach(async () => {
    prefix = `test-${++tests}`;
    proxy = await BrokerProxy.start(server.port);
    endings.push(() => proxy.close());
  });
  afterEach(async () => {
    for (const end of endings.splice(0).toReversed()) await end();
  });

  function make(options: NatsBackplaneOptions = {}): { log: NatsBackplane; reader: LogRecorder } {
    const where = options.connection ? {} : { servers: `nats://127.0.0.1:${proxy.port}` };
    const log = new NatsBackplane({ ...where, prefix, ...options });
    const reader = new LogRecorder();
    endings.push(() => log.close(reader));
    return { log, reader };
  }

  async function handedIn(): Promise<NatsConnection> {
    const connection = await connect({ servers: `nats://127.0.0.1:${proxy.port}` });
    endings.push(() => connection.close());
    return connection;
  }

  async function lastSequence(): Promise<number> {
    return (await server.run(({ streams }) => streams.info(prefix))).state.last_seq;
  }

  it('that is closed while it connects lets go of the connection', async () => {
    const { log, reader } = make();
    proxy.hold(/CONNECT/);
    const starting = log.start(reader);
    await until('it connects', () => proxy.holds);
    await log.close(reader);
    proxy.release();
    await starting;
    await until('the connection is closed', async () => (await server.openConnections()) === 0);
  });

  it('lets go of a connection on which nobody answers', async () => {
    const { log, reader } = make({ publishTimeout: 200 });
    // What comes after the handshake.
    proxy.hold(/^PING/);
    await log.start(reader);
    await until('it has given up', () => reader.warnings.length > 0);
    await log.close(reader);
    proxy.release();
    await until('the connection is closed', async () => (await server.openConnections()) === 0);
  });

  it('that is closed while it begins to read stops reading, also on a connection that is not its own', async () => {
    const connection = await handedIn();
    const { log, reader } = make({ connection });
    proxy.hold(/CONSUMER\.CREATE/);
    const starting = log.start(reader);
    await until('it begins to read', () => proxy.holds);
    await log.close(reader);
    proxy.release();
    await starting;
    // The answer is there, and what it led to has arrived.
    for (let i = 0; i < 3; i++) await connection.flush();
    const [consumer] = await server.run(({ consumers }) => consumers.list(prefix).next());
    expect(consumer).toMatchObject({ num_waiting: 0 });
  });

  it('that may not read is not up, and tries again ever less often', async () => {
    await server.run(async ({ streams, consumers }) => {
      await streams.add({ name: prefix, subjects: [`${prefix}.log`], max_consumers: 1 });
      await consumers.add(prefix, { name: 'other', ack_policy: AckPolicy.None });
    });
    const { log, reader } = make({ publishTimeout: 200 });
    await log.start(reader);
    const before = await server.connections();
    await until('it has tried again', async () => (await server.connections()) >= before + 4);
    expect(reader.warnings).toEqual([expect.stringContaining('maximum consumers limit')]);
    await server.run(({ consumers }) => consumers.delete(prefix, 'other'));
    await until('it reads', () => log.status === 'up');
  });

  describe('does not store an entry twice', () => {
    const limits = { maxLength: 3, maxAge: 1_000 };

    /** Appends an entry that is stored, and cut off before that is known. */
    async function appendUnheard(log: NatsBackplane, data: string): Promise<unknown> {
      proxy.hold(/Nats-Msg-Id/);
      const appended = log.append(event(data), 'queue').catch((error: unknown) => error);
      await until('it is stored', async () => (await lastSequence()) === 1);
      proxy.leadTo(await freePort());
      proxy.release();
      return appended;
    }

    it('when it may have been trimmed before it was read, and NATS has forgotten its ID', async () => {
      const { log, reader } = make(limits);
      await log.start(reader);
      const other = make({ ...limits, servers: server.url });
      await other.log.start(other.reader);
      const appended = appendUnheard(log, 'x');
      await until('it is read elsewhere', () => other.reader.data.includes('x'));
      await delay(2 * limits.maxAge);
      for (let n = 0; n < 5; n++) await other.log.append(event(String(n)), 'queue');
      proxy.leadTo(server.port);
      expect(await appended).toMatchObject({ name: 'BackplaneError', stored: 'unknown' });
      await log.append(event('after'), 'queue');
      await until('that is read', () => other.reader.data.includes('after'));
      expect(other.reader.data).toEqual(['x', '0', '1', '2', '3', '4', 'after']);
    });

    it('when all that was added meanwhile has been trimmed', async () => {
      const { log, reader } = make(limits);
      await log.start(reader);
      const appended = appendUnheard(log, 'x');
      await until('it is gone', async () => {
        const { state } = await server.run(({ streams }) => streams.info(prefix));
        return state.last_seq === 1 && state.messages === 0;
      });
      await delay(limits.maxAge);
      proxy.leadTo(server.port);
      expect(await appended).toMatchObject({ name: 'BackplaneError', stored: 'unknown' });
      const { position } = await log.append(event('after'), 'queue');
      expect(position.seq).toBe(lastPlaceIn(2));
      await until('that is read', () => reader.data.length > 0);
      expect(reader.entries).toMatchObject([{ previous: { seq: lastPlaceIn(1) } }]);
    });
  });

  describe('when the newest entries of the log were deleted', () => {
    it.each([
      ['one', [4]],
      ['several', [3, 4]],
    ])('%s, starts with what is left, and can append', async (_, deleted) => {
      const before = make();
      await before.log.start(before.reader);
      for (const data of ['1', '2', '3', '4']) await before.log.append(event(data), 'queue');
      await before.log.close(before.reader);
      for (const seq of deleted) await server.run(({ streams }) => streams.deleteMessage(prefix, seq));
      const { log, reader } = make();
      await log.start(reader);
      expect(log.status).toBe('up');
      const { position } = await log.append(event('after'), 'timeout');
      expect(position.seq).toBe(lastPlaceIn(5));
      expect(reader.data).toEqual([...['1', '2', '3', '4'].slice(0, 4 - deleted.length), 'after']);
      expect(reader.entries.at(-1)).toMatchObject({ previous: { seq: lastPlaceIn(4) } });
      expect(await log.end()).toEqual(position);
    });

    it('while a node was away, that one goes on', async () => {
      const { log, reader } = make();
      await log.start(reader);
      const other = make({ servers: server.url });
      await other.log.start(other.reader);
      await log.append(event('0'), 'queue');
      proxy.leadTo(await freePort());
      await other.log.append(event('1'), 'queue');
      await server.run(({ streams }) => streams.deleteMessage(prefix, 2));
      proxy.leadTo(server.port);
      await until('it reads again', () => log.status === 'up');
      expect(await log.end()).toMatchObject({ seq: lastPlaceIn(2) });
      await log.append(event('2'), 'timeout');
      expect(reader.entries).toMatchObject([
        { position: { seq: lastPlaceIn(1) } },
        { position: { seq: lastPlaceIn(3) }, previous: { seq: lastPlaceIn(2) } },
      ]);
      await until('it is not behind', () => log.lag === 0);
    });
  });

  describe('whose node reads behind the log', () => {
    let between: NatsProxy;

    beforeEach(async () => {
      between = await NatsProxy.start(server.port);
      endings.push(() => between.close());
    });

    /** NATS forgets IDs at once, and keeps everything. */
    async function startForgetful(options?: NatsBackplaneOptions): Promise<ReturnType<typeof make>> {
      const node = make({ servers: between.url, ...options });
      await node.log.start(node.reader);
      await server.run(({ streams }) => streams.update(prefix, { duplicate_window: 100_000_000, max_age: 0 }));
      return node;
    }

    it('does not append again what NATS has answered for, and stays up', async () => {
      const { log, reader } = await startForgetful();
      between.hold(DELIVERY);
      const appended = log.append(event('x'), 'queue');
      const seen = new Set<string>();
      for (const end = performance.now() + 5_000; performance.now() < end; await delay(50)) seen.add(log.status);
      expect(await lastSequence()).toBe(1);
      expect([...seen]).toEqual(['up']);
      between.release();
      expect(await appended).toMatchObject({ position: { seq: lastPlaceIn(1) } });
      expect((await log.append(event('after'), 'timeout')).position.seq).toBe(lastPlaceIn(2));
      expect(reader.data).toEqual(['x', 'after']);
    });

    it('gives up what it cannot tell to be in the log, once NATS may have forgotten it', async () => {
      const { log, reader } = await startForgetful({ maxAge: 4_000 });
      between.hold(DELIVERY);
      between.lose(ACKNOWLEDGEMENT);
      await expect(log.append(event('x'), 'queue')).rejects.toMatchObject({ stored: 'unknown' });
      between.lose(undefined);
      between.release();
      expect((await log.append(event('after'), 'timeout')).position.seq).toBe(lastPlaceIn(2));
      expect(reader.data).toEqual(['x', 'after']);
    });

    it('but has read far enough appends what the log has not, however long that takes', async () => {
      const { log, reader } = await startForgetful({ maxAge: 4_000 });
      between.lose(APPEND);
      const appended = log.append(event('x'), 'queue');
      await delay(5_000);
      between.lose(undefined);
      expect((await appended).position.seq).toBe(lastPlaceIn(1));
      expect(reader.data).toEqual(['x']);
    });
  });

  it('keeps the order of a publisher: nothing is stored before what the server did not take for a while', async () => {
    const { log, reader } = make();
    await log.start(reader);
    await log.append(event('0'), 'queue');
    const change = (config: Partial<StreamConfig>): Promise<unknown> =>
      server.run(({ streams }) => streams.update(prefix, config));
    await change({ discard: 'new', max_msgs: 1 });
    const appended = ['1', '2'].map((data) => log.append(event(data), 'queue'));
    await until('it is refused', () => log.status === 'down');
    appended.push(log.append(event('3'), 'queue'));
    await change({ discard: 'old', max_msgs: 100 });
    await Promise.all(appended);
    expect(reader.data).toEqual(['0', '1', '2', '3']);
  });

  it('gives up what the server will never take', async () => {
    await server.run(({ streams }) => streams.add({ name: prefix, subjects: [`${prefix}.log`], max_msg_size: 2_000 }));
    const { log, reader } = make();
    await log.start(reader);
    const large = log.append(event('x'.repeat(3_000)), 'queue');
    await expect(large).rejects.toMatchObject({
      stored: 'no',
      message: expect.stringContaining('size exceeds maximum'),
    });
    expect(log.status).toBe('up');
    await log.append(event('1'), 'queue');
  });

  it('is not disturbed by what others say where nodes ask each other', async () => {
    const hubs = [prefix, prefix].map((name) => {
      const sse = new SSEService({ backplane: new NatsBackplane({ servers: server.url, prefix: name }) });
      endings.push(() => sse.shutdown());
      return sse;
    });
    const [sse, other] = hubs as [SSEService, SSEService];
    for (const hub of hubs) await hub.start();
    sse.addClient({ topics: topicPattern('a:*') });
    await until('it is counted', async () => (await other.countClients('a:b')) === 1);
    const before = await server.connections();
    await server.run(async (_, nc) => {
      for (const text of ['', 'x', 'null', '{}', '[]', '7', '{"node":7,"topic":7}']) {
        nc.publish(`${prefix}.presence.alive`, text);
        nc.publish(`${prefix}.presence.ask`, text, { reply: 'nobody' });
      }
      nc.publish(`${prefix}.presence.ask`, '{"node":"x","topic":7}', { reply: 'nobody' });
      await nc.flush();
    });
    for (const hub of hubs) await hub.publish('t', 'n', 1);
    expect(await other.countClients('a:b')).toBe(1);
    // The one who said it.
    expect(await server.connections()).toBe(before + 1);
  });

  it('that one hub leaves while another joins counts the clients of the other', async () => {
    const { log, reader } = make();
    const [first, next] = [audience(1), audience(2)];
    log.presence.join(first);
    await log.start(reader);
    const other = make({ servers: server.url });
    other.log.presence.join(audience(0));
    await other.log.start(other.reader);
    // It is not closed before this is stored.
    proxy.hold(/Nats-Msg-Id/);
    const last = log.append(event('0'), 'queue');
    await until('it is on its way', () => proxy.holds);
    await log.presence.leave(first);
    const closing = log.close(reader);
    log.presence.join(next);
    const nextReader = new LogRecorder();
    endings.push(() => log.close(nextReader));
    const starting = log.start(nextReader);
    proxy.release();
    await Promise.all([closing, starting, last]);
    expect(await log.presence.count('t')).toBe(2);
    await until('others count them', async () => (await other.log.presence.count('t')) === 2);
  });

  it('says that it is there only to the node that has come', async () => {
    const NODES = 10;
    const nodes = Array.from({ length: NODES + 1 }, () => make({ servers: server.url }));
    for (const { log } of nodes) log.presence.join(audience(1));
    const newcomer = nodes.pop()!;
    await Promise.all(nodes.map(({ log, reader }) => log.start(reader)));
    await until('all know each other', async () => {
      const counts = await Promise.all(nodes.map(({ log }) => log.presence.count('t')));
      return counts.every((count) => count === NODES);
    });
    await server.run(async (_, nc) => {
      const said: string[] = [];
      nc.subscribe(`${prefix}.presence.alive`, { callback: (_error, message) => void said.push(message.string()) });
      await nc.flush();
      await newcomer.log.start(newcomer.reader);
      expect(await newcomer.log.presence.count('t')).toBe(NODES + 1);
      await nc.flush();
      expect(said.filter((text) => text.includes('hello'))).toHaveLength(1);
      // Those who have only renewed their leases meanwhile.
      expect(said.length).toBeLessThan(NODES);
    });
  });

  it('that is closed for one hub while another starts stays open for that one', async () => {
    const { log, reader } = make();
    await log.start(reader);
    proxy.hold(/Nats-Msg-Id/);
    const last = log.append(event('0'), 'queue');
    await until('it is on its way', () => proxy.holds);
    const closing = log.close(reader);
    const next = new LogRecorder();
    endings.push(() => log.close(next));
    const starting = log.start(next);
    proxy.release();
    await Promise.allSettled([closing, starting, last]);
    await log.append(event('1'), 'timeout');
    await until('it is read', () => next.data.includes('1'));
    expect(log.status).toBe('up');
  });
});

function audience(clients: number): Audience {
  return {
    groups: () => [],
    count: () => clients,
    changes: () => ({ topics: new Map(), patterns: new Map() }),
    matches: () => false,
  };
}
