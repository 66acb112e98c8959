import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import type { LogEntry } from 'nestjs-sse-hub';
import { NatsBackplane, type NatsBackplaneOptions } from 'nestjs-sse-hub/nats';

import { encodeBatch } from '../../src/backplane/broker/batch.js';
import { lastPlaceIn } from '../../src/backplane/nats/message.js';
import { comparePositions } from '../../src/protocol/cursor.js';
import { encodeEntry } from '../../src/protocol/entry.js';
import { until } from '../support/baseline.js';
import { LogRecorder } from '../support/brokers/log-recorder.js';
import { NatsServer } from '../support/brokers/nats-server.js';
import { isInstalled } from '../support/brokers/server-process.js';
import { ACKNOWLEDGEMENT, APPEND, DELIVERY, NatsProxy } from '../support/network/nats-proxy.js';
import { startPlain } from '../support/plain-server.js';
import { open } from '../support/readers/event-stream.js';
import { event } from '../support/test-hub.js';

interface Node {
  readonly log: NatsBackplane;
  readonly reader: LogRecorder;
}

interface Welcome {
  readonly resumed: string;
  readonly data: unknown[];
}

function numbers(count: number): string[] {
  return Array.from({ length: count }, (_, i) => String(i));
}

/** Those that do not follow the one before them. */
function holesIn(entries: readonly LogEntry[]): LogEntry[] {
  return entries.filter(({ previous }, i) => i > 0 && comparePositions(previous, entries[i - 1]!.position) !== 0);
}

((await isInstalled('nats-server')) ? describe : describe.skip)('batches in NATS', () => {
  let server: NatsServer;
  let prefix = '';
  let tests = 0;
  const endings: (() => unknown)[] = [];

  beforeAll(async () => {
    server = await NatsServer.start({ persistent: false });
  });
  afterAll(() => server.remove());

  beforeEach(() => {
    prefix = `test-${++tests}`;
  });
  afterEach(async () => {
    for (const end of endings.splice(0).toReversed()) await end();
  });

  async function start(options: NatsBackplaneOptions = {}): Promise<Node> {
    const log = new NatsBackplane({ servers: server.url, prefix, ...options });
    const reader = new LogRecorder();
    endings.push(() => log.close(reader));
    await log.start(reader);
    return { log, reader };
  }

  function state(): Promise<{ messages: number; first_seq: number; last_seq: number }> {
    return server.run(async ({ streams }) => (await streams.info(prefix)).state);
  }

  function publish(text: string, msgID?: string): Promise<unknown> {
    return server.run((jsm) => jsm.jetstream().publish(`${prefix}.log`, text, msgID === undefined ? {} : { msgID }));
  }

  /** How many entries the log has, as a node says that starts now. */
  async function retained(): Promise<LogEntry[]> {
    const { log, reader } = await start();
    await log.close(reader);
    return reader.entries;
  }

  it.each([1, 2, 1_000])('of %i entries are one message, and each entry has its place', async (count) => {
    const { log, reader } = await start();
    await log.append(event('first'), 'queue');
    const cursors = await Promise.all(numbers(count).map((data) => log.append(event(data), 'queue')));
    expect((await state()).messages).toBe(2);
    expect(reader.data).toEqual(['first', ...numbers(count)]);
    expect(cursors.map(({ position }) => position)).toEqual(reader.entries.slice(1).map(({ position }) => position));
    expect(cursors.at(-1)!.position.seq).toBe(lastPlaceIn(2));
    expect(cursors[0]!.position.seq).toBe(lastPlaceIn(2) - count + 1);
    expect(await log.end()).toEqual(cursors.at(-1)!.position);
    expect((await retained()).map(({ entry }) => entry)).toEqual(reader.entries.map(({ entry }) => entry));
  });

  it('of several publishers stay together, in the same order for all', async () => {
    const nodes = [await start(), await start()];
    const appended = nodes.flatMap(({ log }, node) =>
      numbers(1_500).map((i) => log.append(event(`${node}:${i}`), 'queue')),
    );
    await Promise.all(appended);
    await until('all have come', () => nodes.every(({ reader }) => reader.data.length === 3_000));
    const [a, b] = nodes.map(({ reader }) => reader.entries);
    expect(a).toEqual(b);
    const changes = nodes[0]!.reader.data.filter((data, i, all) => data.split(':')[0] !== all[i - 1]?.split(':')[0]);
    expect(changes.length).toBeLessThanOrEqual(4);
    expect((await state()).messages).toBe(4);
  });

  describe('whose connection is lost', () => {
    let between: NatsProxy;

    beforeEach(async () => {
      between = await NatsProxy.start(server.port);
      endings.push(() => between.close());
    });

    const isStored = async (): Promise<boolean> => (await state()).messages === 2;

    const moments: [string, () => void, () => boolean | Promise<boolean>][] = [
      ['before they arrive', () => between.lose(APPEND), () => between.losses > 0],
      ['before the answer', () => between.lose(ACKNOWLEDGEMENT), isStored],
      ['before they are read', () => between.hold(DELIVERY), isStored],
      ['before the answer and before they are read', () => between.lose(/\{"stream":|\$JS\.ACK\./), isStored],
    ];

    for (const [when, interfere, isTime] of moments) {
      it.each([1, 2, 1_000])(`${when} are stored once and in order: %i entries`, async (count) => {
        const { log, reader } = await start({ servers: between.url });
        await log.append(event('first'), 'queue');
        interfere();
        const appended = numbers(count).map((data) => log.append(event(data), 'queue'));
        await until('it is time', isTime);
        // It waits, and is the next batch.
        appended.push(log.append(event('next'), 'queue'));
        between.lose(undefined);
        between.cut();
        between.release();
        const cursors = await Promise.all(appended);
        const last = await log.append(event('last'), 'timeout');
        await until('all is read', () => reader.data.includes('last'));
        expect(reader.data).toEqual(['first', ...numbers(count), 'next', 'last']);
        const places = [...cursors, last].map(({ position }) => position);
        expect(places).toEqual(reader.entries.slice(1).map(({ position }) => position));
        expect(await retained()).toEqual(reader.entries);
      });
    }
  });

  describe('are trimmed by their entries', () => {
    const limit = 1_000;

    it('so that the log keeps about as many as it is to', async () => {
      const nodes = [await start({ maxLength: limit }), await start({ maxLength: limit })];
      const late = await start({ maxLength: limit });
      for (let i = 0; i < 40; i++) {
        await Promise.all(nodes.flatMap(({ log }) => numbers(70).map((data) => log.append(event(data), 'queue'))));
      }
      await until('all is read', () => late.reader.entries.length === 5_600);
      const entries = await retained();
      expect(entries.length).toBeGreaterThanOrEqual(limit);
      // Two batches make a step, and it may be the turn of another one a few times.
      expect(entries.length).toBeLessThan(limit * 2);
      for (const { reader } of [...nodes, late]) {
        expect(holesIn(reader.entries)).toEqual([]);
        expect(reader.warnings).toEqual([]);
      }
      const read = late.reader.entries.slice(-entries.length);
      expect(entries.map(({ position }) => position)).toEqual(read.map(({ position }) => position));
    });

    it('as the stream says, whatever the node was told', async () => {
      const { log } = await start({ maxLength: 100_000 });
      await start({ maxLength: limit });
      for (let i = 0; i < 30; i++) {
        await Promise.all(numbers(100).map((data) => log.append(event(data), 'queue')));
        // It looks once a second.
        if (i === 0) await until('it has looked', async () => log.lag !== undefined);
      }
      const { length } = await retained();
      expect(length).toBeGreaterThanOrEqual(limit);
      expect(length).toBeLessThan(limit * 1.5);
    });

    it('unless that is not allowed, which is said once', async () => {
      const { log, reader } = await start({ maxLength: limit });
      await server.run(async ({ streams }) => {
        const { config } = await streams.info(prefix);
        await streams.delete(prefix);
        await streams.add({ ...config, deny_purge: true });
      });
      await until('it reads again', () => reader.epochs.length > 1 && log.status === 'up');
      for (let i = 0; i < 40; i++) await Promise.all(numbers(100).map((data) => log.append(event(data), 'queue')));
      const warnings = (): string[] => reader.warnings.filter((line) => line.includes('cannot be trimmed'));
      await until('it is said', () => warnings().length > 0);
      expect(warnings()).toHaveLength(1);
      expect((await retained()).length).toBe(4_000);
    });

    it('and a node that has not read them yet notices that they are gone', async () => {
      const between = await NatsProxy.start(server.port);
      endings.push(() => between.close());
      const { log } = await start({ maxLength: limit });
      const behind = await start({ servers: between.url, maxLength: limit });
      await log.append(event('first'), 'queue');
      await until('it is read', () => behind.reader.entries.length === 1);
      between.hold(DELIVERY);
      for (let i = 0; i < 40; i++) await Promise.all(numbers(100).map((data) => log.append(event(data), 'queue')));
      between.cut();
      between.release();
      await until('it has read what is left', () => behind.reader.data.at(-1) === '99' && behind.log.status === 'up');
      const holes = holesIn(behind.reader.entries);
      expect(holes.length).toBeGreaterThan(0);
      // Just before the first entry of a message is the last one of the message before it.
      for (const { position, previous } of holes) {
        expect(previous).toEqual({ ms: position.ms, seq: position.seq - (position.seq % lastPlaceIn(1)) });
      }
      expect(behind.reader.epochs).toHaveLength(1);
    });
  });

  it('that are nonsense have the places that their name says, those of others have one', async () => {
    const { log, reader } = await start();
    const texts: [string, string | undefined, number][] = [
      ['nonsense', 'abcdefghijkl-1.3', 3],
      [encodeBatch([encodeEntry(event('x'))]), 'abcdefghijkl-2.2', 2],
      [encodeBatch([encodeEntry(event('x'))]).replace('[1,', '[2,'), 'abcdefghijkl-3.1', 1],
      [encodeBatch([encodeEntry(event('x'))]), undefined, 1],
      [encodeBatch([encodeEntry(event('x'))]), 'theirs', 1],
      ['x'.repeat(9 * 1024 * 1024), 'abcdefghijkl-4.1000', 1_000],
    ];
    for (const [text, id] of texts) await publish(text, id);
    await publish(encodeBatch([encodeEntry(event('a')), '{"kind":7}', encodeEntry(event('b'))]), 'abcdefghijkl-5.3');
    const { position } = await log.append(event('last'), 'timeout');
    expect(position.seq).toBe(lastPlaceIn(8));
    const expected = [
      ...texts.flatMap(([, , count], i) => numbers(count).map((n) => lastPlaceIn(i + 1) - count + 1 + Number(n))),
      ...[lastPlaceIn(7) - 2, lastPlaceIn(7) - 1, lastPlaceIn(7), lastPlaceIn(8)],
    ];
    expect(reader.entries.map((entry) => entry.position.seq)).toEqual(expected);
    expect(reader.data).toEqual(['a', 'b', 'last']);
    expect(await retained()).toEqual(reader.entries);
  });

  it('hold what is too large for a node without its entry, beside what is not', async () => {
    const [{ log }, strict] = [await start(), await start({ maxEntryBytes: 2_000 })];
    const data = ['small', 'x'.repeat(3_000), 'small too'];
    await Promise.all(data.map((text) => log.append(event(text), 'queue')));
    await until('all is read', () => strict.reader.entries.length === 3);
    expect(strict.reader.entries.map(({ entry }) => entry !== undefined)).toEqual([true, false, true]);
  });

  it('are smaller where they would be more than the server takes', async () => {
    const small = await NatsServer.start({ persistent: false, limits: ['max_payload: 64KB'] });
    endings.push(() => small.remove());
    const { log, reader } = await start({ servers: small.url });
    const data = numbers(100).map((n) => n.padEnd(2_000));
    await Promise.all(data.map((text) => log.append(event(text), 'queue')));
    const large = log.append(event('x'.repeat(70_000)), 'queue');
    await expect(large).rejects.toMatchObject({ stored: 'no', message: expect.stringContaining('max_payload') });
    await log.append(event('last'), 'timeout');
    expect(reader.data).toEqual([...data, 'last']);
  });

  describe('and a client that comes with a cursor of one in the midst', () => {
    const options = { maxLength: 40 };

    async function startHub(): Promise<Awaited<ReturnType<typeof startPlain>>> {
      const backplane = new NatsBackplane({ servers: server.url, prefix, ...options });
      const plain = await startPlain({ backplane, drainTimeout: 100, heartbeatInterval: 50 });
      endings.push(() => plain.close());
      await plain.sse.start();
      return plain;
    }

    async function welcome(url: string, lastEventId: string, upTo: number): Promise<Welcome> {
      const stream = await open(`${url}/events/t`, { lastEventId });
      stream.request.on('error', () => {});
      await stream.until(() => stream.data.includes(upTo));
      stream.close();
      const { resumed } = JSON.parse(stream.ofType('sse.open')[0]!.data) as { resumed: string };
      return { resumed, data: stream.data };
    }

    it('goes on behind that, on every node, and is told when it was trimmed', async () => {
      const a = await startHub();
      const cursors: string[] = [];
      const publishBatch = async (): Promise<void> => {
        const batch = Array.from({ length: 10 }, (_, i) => a.sse.publish('t', 'n', cursors.length + i));
        cursors.push(...(await Promise.all(batch)));
      };
      for (let i = 0; i < 3; i++) await publishBatch();
      const b = await startHub();
      for (const { url } of [a, b]) {
        for (const n of [9, 10, 14, 18, 19]) {
          const expected = Array.from({ length: 29 - n }, (_, i) => n + 1 + i);
          expect(await welcome(url, cursors[n]!, 29)).toEqual({ resumed: 'full', data: expected });
        }
      }
      while (cursors.length < 200) await publishBatch();
      const c = await startHub();
      const { messages } = await state();
      const oldest = 200 - 10 * messages;
      expect(messages).toBeLessThan(20);
      for (const n of [oldest, oldest + 4, 195]) {
        const expected = Array.from({ length: 199 - n }, (_, i) => n + 1 + i);
        expect(await welcome(c.url, cursors[n]!, 199)).toEqual({ resumed: 'full', data: expected });
      }
      for (const n of [4, oldest - 6])
        expect(await welcome(c.url, cursors[n]!, 199)).toMatchObject({ resumed: 'reset' });
      expect(await welcome(a.url, cursors[4]!, 199)).toMatchObject({ resumed: 'full' });
    });
  });
});
