import assert from 'node:assert/strict';

import type { Backplane, LogEntry, LogListener } from '../backplane/backplane.js';
import { comparePositions, ORIGIN, type Position } from '../protocol/cursor.js';
import type { Entry, EventEntry } from '../protocol/entry.js';
import {
  aWhile,
  check,
  checkOfRetention,
  type ContractCheck,
  type ContractSubject,
  numbers,
  until,
} from './subject.js';

/** A reader that writes down what it is given. */
class Recorder implements LogListener {
  readonly entries: LogEntry[] = [];
  /** `begin`, `entry` and `ready`, in the order of their coming. */
  readonly calls: string[] = [];
  epoch = '';
  from: Position = ORIGIN;
  dropped = 0;

  begin(epoch: string, from: Position): void {
    this.calls.push('begin');
    this.epoch = epoch;
    this.from = from;
  }

  deliver(entries: readonly LogEntry[]): void {
    for (const logEntry of entries) {
      this.calls.push('entry');
      this.entries.push(logEntry);
    }
  }

  ready(): void {
    this.calls.push('ready');
  }

  skipped(count: number): void {
    this.dropped += count;
  }

  warn(): void {}

  get data(): string[] {
    return this.entries.map(({ entry }) => (entry as EventEntry).data);
  }
}

interface Node {
  readonly log: Backplane;
  readonly reader: Recorder;
}

async function startNode(subject: ContractSubject, endings: (() => Promise<unknown>)[]): Promise<Node> {
  const node = { log: subject.node(), reader: new Recorder() };
  endings.push(() => node.log.close(node.reader));
  await node.log.start(node.reader);
  await until('the log is ready', () => node.reader.calls.includes('ready'));
  return node;
}

function event(data: string, more: Partial<EventEntry> = {}): EventEntry {
  return { kind: 'event', topic: 'topic', data, text: true, timestamp: '2024-01-01T00:00:00.000Z', ...more };
}

/** Fields without a value are as good as absent. */
function plain(entry: Entry | undefined): unknown {
  return JSON.parse(JSON.stringify(entry));
}

function assertChained(entries: readonly LogEntry[], from: Position): void {
  let last = from;
  for (const { position, previous } of entries) {
    assert.deepEqual(previous, last, 'an entry names the one before it as its predecessor');
    assert.ok(comparePositions(position, last) > 0, 'positions strictly increase');
    last = position;
  }
}

const EVERY_KIND: readonly Entry[] = [
  event(''),
  event(' leading, "quotes", \\, \n, \r\n, \u0000, \u2028, é, 漢, 😀'),
  event('x'.repeat(200_000), { topic: '__proto__' }),
  {
    kind: 'event',
    event: 'name',
    id: 'own',
    data: '{"a":1}',
    retry: 5,
    comment: 'a\nb',
    metadata: JSON.stringify({ nested: { list: [1, null, 'x'] } }),
    timestamp: '2024-01-01T00:00:00.000Z',
    except: ['a', 'b'],
    exceptGroup: 'group',
    opens: { ms: 1_700_000_000_000, seq: 7 },
  },
  { kind: 'close', topic: 'topic' },
  { kind: 'open', topic: 'topic' },
  { kind: 'removeGroup', group: 'user:1', reconnect: false },
  { kind: 'removeGroup', group: 'user:2', reconnect: true },
  { kind: 'subscribeGroup', group: 'user:1', topic: 'room:7' },
  { kind: 'unsubscribeGroup', group: 'user:1', topic: 'room:*', pattern: true },
];

export const logContract: readonly ContractCheck[] = [
  check('begins, is ready, and only then hands over what is new', async (subject, endings) => {
    const { log, reader } = await startNode(subject, endings);
    assert.deepEqual(reader.calls, ['begin', 'ready']);
    assert.equal(log.status, 'up');
    await log.append(event('0'), 'timeout');
    await until('the entry comes back', () => reader.entries.length > 0);
    assert.deepEqual(reader.calls, ['begin', 'ready', 'entry']);
    assert.match(reader.epoch, /^[0-9a-z._]{1,64}$/);
  }),

  check('answers an append with the place in which the entry is delivered', async (subject, endings) => {
    const { log, reader } = await startNode(subject, endings);
    const places = [await log.append(event('0'), 'timeout'), await log.append(event('1'), 'queue')];
    await until('both come back', () => reader.entries.length === 2);
    const delivered = reader.entries.map(({ epoch, position }) => ({ epoch, position }));
    assert.deepEqual(places, delivered);
    assert.equal(places[0]!.epoch, reader.epoch);
  }),

  check(
    'keeps the order in which one publisher appends, without waiting for one to be stored',
    async (subject, endings) => {
      const { log, reader } = await startNode(subject, endings);
      const expected = numbers(1_000).map(String);
      await Promise.all(expected.map((data, i) => log.append(event(data), i % 2 === 0 ? 'queue' : 'timeout')));
      await until('all come back', () => reader.entries.length >= expected.length);
      assert.deepEqual(reader.data, expected);
      assertChained(reader.entries, reader.from);
    },
  ),

  check('hands all nodes the same entries, in the same order, each once', async (subject, endings) => {
    const nodes = [await startNode(subject, endings), await startNode(subject, endings)];
    const appended = nodes.flatMap(({ log }, node) =>
      numbers(300).map((i) => log.append(event(`${node}:${i}`), 'queue')),
    );
    await Promise.all(appended);
    await until('all come to both', () => nodes.every(({ reader }) => reader.entries.length >= 600));
    await aWhile();
    const [a, b] = nodes.map(({ reader }) => reader.entries.map(({ position, entry }) => ({ position, entry })));
    assert.deepEqual(a, b);
    assert.equal(new Set(nodes[0]!.reader.data).size, 600);
    assert.equal(nodes[0]!.reader.entries.length, 600);
    for (const { reader } of nodes) assertChained(reader.entries, reader.from);
  }),

  check('brings entries of every kind back as they were', async (subject, endings) => {
    const { log, reader } = await startNode(subject, endings);
    for (const entry of EVERY_KIND) await log.append(entry, 'timeout');
    await until('all come back', () => reader.entries.length >= EVERY_KIND.length);
    assert.deepEqual(
      reader.entries.map(({ entry }) => plain(entry)),
      EVERY_KIND.map(plain),
    );
    assert.equal(reader.dropped, 0);
  }),

  check('says where the log ends', async (subject, endings) => {
    const { log, reader } = await startNode(subject, endings);
    assert.deepEqual(await log.end(), reader.from);
    await log.append(event('0'), 'timeout');
    const { position } = await log.append(event('1'), 'timeout');
    assert.deepEqual(await log.end(), position);
  }),

  checkOfRetention('gives a node that starts later what is retained, and nothing twice', async (subject, endings) => {
    const first = await startNode(subject, endings);
    for (const i of numbers(50)) await first.log.append(event(String(i)), 'timeout');
    // What is appended while the second one starts is in its window or comes after it.
    const appended = numbers(200).map((i) => first.log.append(event(String(50 + i)), 'queue'));
    const second = await startNode(subject, endings);
    await Promise.all(appended);
    await until('all come', () => second.reader.entries.length >= 250);
    await aWhile();
    assert.deepEqual(second.reader.data, numbers(250).map(String));
    assert.deepEqual(second.reader.calls.slice(0, 51), ['begin', ...numbers(50).map(() => 'entry')]);
    assert.equal(second.reader.epoch, first.reader.epoch);
    assertChained(second.reader.entries, second.reader.from);
  }),

  check('goes on for other nodes when one is closed, which gets nothing more', async (subject, endings) => {
    const [staying, leaving] = [await startNode(subject, endings), await startNode(subject, endings)];
    await staying.log.append(event('0'), 'timeout');
    await until('both have it', () => leaving.reader.entries.length === 1 && staying.reader.entries.length === 1);
    await leaving.log.close(leaving.reader);
    await leaving.log.close(leaving.reader);
    await staying.log.append(event('1'), 'timeout');
    await until('it comes', () => staying.reader.entries.length === 2);
    await aWhile();
    assert.deepEqual(leaving.reader.data, ['0']);
  }),

  check('delivers to a reader once, however often it is started', async (subject, endings) => {
    const { log, reader } = await startNode(subject, endings);
    await log.start(reader);
    await log.append(event('0'), 'timeout');
    await aWhile();
    assert.deepEqual(reader.calls, ['begin', 'ready', 'entry']);
  }),
];
