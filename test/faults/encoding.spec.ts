import { once } from 'node:events';
import net, { type Socket } from 'node:net';
import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';

import { afterEach, describe, expect, it } from '@jest/globals';
import { SSEError, type SSEEvent, type SSEModuleOptions, SSEService, topicPattern } from 'nestjs-sse-hub';

import { serializeData } from '../../src/protocol/event.js';
import { type EventStream, open } from '../support/event-stream.js';
import { closeAll, type Platform, platforms, startApp } from '../support/platforms.js';
import { randomEvents } from '../support/random-events.js';
import { readers, type ReadEvent, type Reading, type SentEvent, type StreamReader } from '../support/readers.js';
import { type ReplayServer, startReplay } from '../support/replay-server.js';
import { integer, seed, seededRandom } from '../support/seed.js';
import { direct, type Transport, transports } from '../support/stream-controllers.js';

const MIB = 1024 * 1024;

type TopicEvent = SSEEvent & { topic: string };

const readings: Reading[] = [];
let replay: ReplayServer | undefined;

afterEach(async () => {
  for (const reading of readings.splice(0)) reading.close();
  await replay?.close();
  replay = undefined;
  await closeAll();
});

interface Connected {
  readonly sse: SSEService;
  readonly url: string;
  /** Follows `topic`, and has had its `sse.open`. */
  readonly client: EventStream;
  readonly clientId: string;
}

async function connect(platform: Platform, transport: Transport, config: SSEModuleOptions = {}): Promise<Connected> {
  const { sse, url } = await startApp(platform, { config, controllers: [transport.controller()] });
  const client = await open(`${url}/events/topic`);
  await client.next();
  return { sse, url, client, clientId: sse.getClients()[0]!.id };
}

/** Every way in for an event. */
function waysIn({ sse, clientId }: Connected, fields: Omit<SSEEvent, 'topic'>): (() => unknown)[] {
  const event: TopicEvent = { ...fields, topic: 'topic' };
  const { event: name = 'name', data, id } = fields;
  const whole = [() => sse.broadcast(event), () => sse.publish(event), () => sse.sendEvent(clientId, event)];
  // The short forms have no place for the other fields.
  if (fields.retry !== undefined) return whole;
  return [
    ...whole,
    () => sse.broadcast('topic', name, data, id),
    () => sse.publish('topic', name, data, id),
    () => sse.broadcastAll(name, data, id),
    () => sse.sendTo(clientId, name, data, id),
  ];
}

/** The code of the error that `act` throws, at once or later. */
async function refusal(act: () => unknown): Promise<string> {
  try {
    await act();
    return 'not refused';
  } catch (error) {
    return error instanceof SSEError ? error.code : String(error);
  }
}

/** All attempts are refused, nothing of them is kept, and the next byte on the wire is the next event's. */
async function expectRefused({ sse, client }: Connected, attempts: (() => unknown)[], code: string): Promise<void> {
  const { published, history } = sse.stats();
  const before = client.raw.length;
  for (const attempt of attempts) expect(await refusal(attempt)).toBe(code);
  expect(sse.stats()).toMatchObject({ published, history: { events: history.events, bytes: history.bytes } });
  const cursor = await sse.publish('topic', 'after', 'x');
  await client.until(() => client.raw.endsWith('\ndata: x\n\n'));
  expect(client.raw.slice(before)).toBe(`event: after\nid: ${cursor}\ndata: x\n\n`);
}

/** Publishes, and answers with what is then on the wire. */
async function send(sse: SSEService, event: TopicEvent): Promise<SentEvent> {
  const cursor = await sse.publish(event);
  const sent = { event: event.event, text: serializeData(event.data) };
  return event.id === undefined ? { ...sent, id: cursor } : { ...sent, id: event.id, cursor };
}

interface Opened {
  readonly reader: StreamReader;
  readonly reading: Reading;
}

function openReaders(url: string): Opened[] {
  const opened = readers.map((reader) => ({ reader, reading: reader.open(url) }));
  readings.push(...opened.map(({ reading }) => reading));
  return opened;
}

function untilNamed(opened: readonly Opened[], name: string): Promise<void[]> {
  return Promise.all(opened.map(({ reading }) => reading.untilNamed(name)));
}

function firstDifference(read: readonly ReadEvent[], expected: readonly ReadEvent[]): unknown {
  for (let i = 0; i < Math.max(read.length, expected.length); i++) {
    const [a, b] = [read[i], expected[i]];
    if (a?.event === b?.event && a?.data === b?.data && a?.lastEventId === b?.lastEventId) continue;
    return { seed, at: i, read: a, expected: b, lengths: [read.length, expected.length] };
  }
  return undefined;
}

/** Every reader gave back what was sent, in its own way, and complained about nothing. */
function expectRead(opened: readonly Opened[], sent: readonly SentEvent[]): void {
  for (const { reader, reading } of opened) {
    const difference = firstDifference(
      reading.messages,
      sent.flatMap((event) => reader.expects(event)),
    );
    expect({ reader: reader.name, difference, errors: reading.errors }).toEqual({
      reader: reader.name,
      difference: undefined,
      errors: [],
    });
  }
}

const UNFIT_CHARACTERS = ['\r', '\n', '\r\n', '\0', '\u0001', '\t', '\u001b', '\u007f', '\u0085', '\ud83d', '\ude00'];
const UNFIT = UNFIT_CHARACTERS.flatMap((unfit) => [unfit, `${unfit}data: x`, `a${unfit}`, `a${unfit}b`]);

const CIRCULAR: Record<string, unknown> = {};
CIRCULAR.self = { list: [CIRCULAR] };

function failing(): never {
  throw new Error('This value does not want to be JSON.');
}

/** Strings that a reader, or a careless encoder, could get wrong. */
const TRICKY_TEXTS = [
  '',
  ' ',
  '  two spaces',
  '\t',
  '\r',
  '\n',
  '\r\n',
  '\n\n\n',
  '\n\r',
  'a\rb',
  'a\r\nb',
  'a\nb\r\nc\rd',
  'trailing\n',
  'trailing\r\n',
  'trailing\n\n',
  '\nleading',
  '\r\n\r\nleading',
  ':',
  ': comment',
  ' : ',
  'data:',
  'data: x',
  'data: x\n\ndata: y\n\n',
  'id: 1\nevent: sse.end\nretry: 1',
  'a\n:b\n\ndata',
  '\ufeff',
  '\ufeffmark first',
  'mark in\ufeffside',
  'a\n\ufeffb',
  '\n\ufeff\nc',
  '\0',
  'nul\0inside',
  '\u0085a\u2028b\u2029c\u000bd\u000ce',
  'Ünïcödé 漢字 😀 e\u0301',
  '42',
  'null',
  '{"not":"parsed"}',
  'x'.repeat(70_000),
  '漢\n'.repeat(20_000),
];

class Account {
  readonly name = 'Ada';
  readonly #secret = 'hidden';
  constructor(readonly balance: number) {}

  get shown(): string {
    return `not ${this.#secret}`;
  }
}

class Money {
  constructor(private readonly cents: number) {}

  toJSON(): string {
    return `${this.cents / 100} EUR`;
  }
}

/** What is published, what is on the wire, and what `observe()` and filters see. */
const VALUES: readonly (readonly [value: unknown, wire: string, seen: unknown])[] = [
  [0, '0', 0],
  [-0, '0', 0],
  [42.5, '42.5', 42.5],
  [1e21, '1e+21', 1e21],
  [NaN, 'null', null],
  [-Infinity, 'null', null],
  [true, 'true', true],
  [false, 'false', false],
  [null, 'null', null],
  ['42', '42', '42'],
  ['', '', ''],
  [[], '[]', []],
  [[undefined, () => 1, Symbol('s')], '[null,null,null]', [null, null, null]],
  [{ kept: 1, undefined, method: () => 1, [Symbol('s')]: 1 }, '{"kept":1}', { kept: 1 }],
  [new Date(0), '"1970-01-01T00:00:00.000Z"', '1970-01-01T00:00:00.000Z'],
  [new Date(NaN), 'null', null],
  [new Account(7), '{"balance":7,"name":"Ada"}', { balance: 7, name: 'Ada' }],
  [new Money(250), '"2.5 EUR"', '2.5 EUR'],
  [new Map([['a', 1]]), '{}', {}],
  [new Set([1]), '{}', {}],
  [new Error('not for visitors'), '{}', {}],
  [Object(5), '5', 5],
  [Object('text'), '"text"', 'text'],
  [Buffer.from('ab'), '{"type":"Buffer","data":[97,98]}', { type: 'Buffer', data: [97, 98] }],
  [Object.assign(Object.create(null), { bare: true }), '{"bare":true}', { bare: true }],
  ['half an emoji: \ud83d', 'half an emoji: \ufffd', 'half an emoji: \ud83d'],
  [{ half: '\ud83d' }, '{"half":"\\ud83d"}', { half: '\ud83d' }],
];

const POLLUTING =
  '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":2}},"deep":[{"__proto__":{"polluted":3}}]}';

const HOSTILE_TOPICS = [
  '__proto__',
  'constructor',
  'prototype',
  'toString',
  'hasOwnProperty',
  'undefined',
  'length',
  '0',
];

for (const platform of platforms) {
  for (const transport of transports) {
    describe(`Encoding: ${transport.name} on ${platform.name}`, () => {
      it('E1: refuses CR, LF, CRLF, NUL, other control characters and lone surrogates in event and id', async () => {
        const connected = await connect(platform, transport);
        const attempts = UNFIT.flatMap((unfit) => [
          ...waysIn(connected, { data: 'data', event: unfit }),
          ...waysIn(connected, { data: 'data', id: unfit }),
        ]);
        await expectRefused(connected, attempts, 'INVALID_EVENT');
      });

      it('E1: refuses the same in a topic, wherever one is named', async () => {
        const connected = await connect(platform, transport);
        const { sse, clientId } = connected;
        const attempts = UNFIT.flatMap((topic) => [
          () => sse.broadcast({ topic, data: 'data' }),
          () => sse.broadcast(topic, 'name', 'data'),
          () => sse.publish(topic, 'name', 'data'),
          () => sse.publishFrom((async function* () {})(), topic, 'name'),
          () => sse.subscribe(clientId, topic),
          () => sse.closeTopic(topic),
          () => sse.openTopic(topic),
          () => sse.getClientCount(topic),
          () => sse.getClientsByTopic(topic),
          () => topicPattern(topic),
          () => new Promise((_, reject) => sse.observe(topic).subscribe({ error: reject })),
          () => new Promise((_, reject) => sse.stream(topic).subscribe({ error: reject })),
        ]);
        await expectRefused(connected, attempts, 'INVALID_TOPIC');
        expect(connected.client.ended).toBe(false);
      });

      it('E1: answers 400 when a URL brings such a topic', async () => {
        const { url, sse } = await connect(platform, transport);
        for (const topic of ['a%0Adata:%20x', 'a%0D', '%00', 'good,a%1B']) {
          expect((await open(`${url}/events/${topic}`)).status).toBe(400);
        }
        expect(sse.getClientCount()).toBe(1);
      });

      it('E2: refuses a retry that is not an integer from 0 to 2^31-1', async () => {
        const connected = await connect(platform, transport);
        const values: unknown[] = [-1, 1.5, NaN, Infinity, '10', '10\ndata: x', 1e21, 2 ** 31, null, true, {}, 5n];
        const attempts = values.flatMap((retry) => waysIn(connected, { data: 'data', retry: retry as number }));
        await expectRefused(connected, attempts, 'INVALID_EVENT');
      });

      it('E2: sends the smallest and the largest retry as they are', async () => {
        const { sse, client } = await connect(platform, transport);
        for (const retry of [0, -0, 1, 2 ** 31 - 1]) sse.broadcast({ topic: 'topic', data: 'x', retry });
        await client.messagesUpTo(4);
        expect(client.retries.slice(-4)).toEqual([0, 0, 1, 2 ** 31 - 1]);
      });

      it('E3: makes comment lines only of a comment, whatever it looks like', async () => {
        const { sse, client } = await connect(platform, transport);
        const comments = [
          '',
          '\n',
          '\r',
          'a\rdata: x',
          'a\nevent: x\n\ndata: y\n\n',
          'a\r\nid: 1\r\n\r\nretry: 1',
          '\n\rdata: x',
          ':',
          'nul\0 \u2028data: x',
        ];
        const before = client.raw.length;
        for (const comment of comments) sse.broadcast({ topic: 'topic', event: 'name', data: 'data', comment });
        const cursor = await sse.publish('topic', 'end', 'data');
        await client.messagesUpTo(comments.length + 1);
        const lines = client.raw.slice(before).split('\n');
        const others = lines.filter((line) => !line.startsWith(':') && !line.startsWith('id: ') && line !== '');
        expect(others).toEqual([...comments.flatMap(() => ['event: name', 'data: data']), 'event: end', 'data: data']);
        const withLineFeeds = comments.flatMap((comment) => comment.split(/\r\n|\r|\n/));
        expect(lines.filter((line) => line.startsWith(':'))).toEqual(withLineFeeds.map((line) => `: ${line}`));
        expect(client.raw.slice(before)).not.toContain('\r');
        expect(client.lastEventId).toBe(cursor);
        expect(client.retries).toHaveLength(1);
      });

      it('E4: gives text back through four readers, line ends as LF, except where one of them is known not to', async () => {
        const { sse, url } = await connect(platform, transport);
        const opened = openReaders(`${url}/events/topic`);
        await untilNamed(opened, 'sse.open');
        const sent: SentEvent[] = [];
        for (const data of TRICKY_TEXTS) sent.push(await send(sse, { topic: 'topic', data }));
        for (const event of ['message', ' ', ': ', ' data:', '\ufeffname', 'Ü 😀', '__proto__', '\u2028']) {
          sent.push(await send(sse, { topic: 'topic', event, id: `${event}1`, data: event }));
        }
        sent.push(await send(sse, { topic: 'topic', event: 'end', data: '' }));
        await untilNamed(opened, 'end');
        expectRead(opened, sent);
      });

      it('E5: refuses at the publisher what cannot be serialised, and lets other events flow', async () => {
        const connected = await connect(platform, transport);
        const { sse, url, client } = connected;
        const other = await open(`${url}/events/other`);
        const values: unknown[] = [
          undefined,
          1n,
          { nested: [1n] },
          CIRCULAR,
          { toJSON: failing },
          Object.defineProperty({}, 'getter', { get: failing, enumerable: true }),
          { toJSON: () => undefined },
          () => 1,
          Symbol('s'),
        ];
        for (const data of values) {
          for (const attempt of waysIn(connected, { data })) expect(await refusal(attempt)).toBe('INVALID_EVENT');
          sse.broadcast('other', 'name', 'flows');
        }
        sse.broadcast('topic', 'name', 'flows too');
        expect(await client.messagesUpTo(1)).toEqual(['flows too']);
        expect(await other.messagesUpTo(values.length)).toEqual(values.map(() => 'flows'));
      });

      it('E6: serialises every kind of value as documented, and reads it back the same', async () => {
        const { sse, client } = await connect(platform, transport);
        const seen: unknown[] = [];
        sse.observe('topic').subscribe(({ data }) => seen.push(data));
        for (const [data] of VALUES) sse.broadcast({ topic: 'topic', data });
        await client.messagesUpTo(VALUES.length);
        expect(client.messages.map(({ data }) => data)).toEqual(VALUES.map(([, wire]) => wire));
        expect(seen).toEqual(VALUES.map(([, , value]) => value));
      });

      it('E6: pollutes no prototype with nested __proto__ keys', async () => {
        const { sse, client } = await connect(platform, transport);
        const seen: SSEEvent[] = [];
        sse.observe('topic').subscribe((event) => seen.push(event));
        const data = JSON.parse(POLLUTING) as Record<string, unknown>;
        sse.broadcast({ topic: 'topic', data, metadata: data });
        await client.messagesUpTo(1);
        expect(client.messages[0]!.data).toBe(POLLUTING);
        expect(JSON.stringify(seen[0]!.data)).toBe(POLLUTING);
        expect(JSON.stringify(seen[0]!.metadata)).toBe(POLLUTING);
        expect(Object.getPrototypeOf(seen[0]!.data)).not.toHaveProperty('polluted');
        expect({}).not.toHaveProperty('polluted');
        expect(Object).not.toHaveProperty('prototype.polluted');
      });

      it('E7: refuses an event over maxEventSize by one byte, and keeps nothing of it', async () => {
        const connected = await connect(platform, transport, { maxEventSize: 64 });
        const tooLarge = [
          'a'.repeat(65),
          `${'é'.repeat(32)}a`,
          `a${'😀'.repeat(16)}`,
          `${'漢'.repeat(21)}é`,
          '\n'.repeat(65),
          { a: 'x'.repeat(57) },
          { é: 'x'.repeat(56) },
          { a: '\u2028'.repeat(10) },
          ['\0'.repeat(11)],
          Array.from({ length: 33 }, () => 1),
        ];
        const attempts = tooLarge.flatMap((data) => waysIn(connected, { data }));
        await expectRefused(connected, attempts, 'EVENT_TOO_LARGE');
      });

      it('E7: sends an event of exactly maxEventSize', async () => {
        const { sse, client } = await connect(platform, transport, { maxEventSize: 64 });
        const fitting = [
          'a'.repeat(64),
          'é'.repeat(32),
          '😀'.repeat(16),
          `${'漢'.repeat(20)}abcd`,
          '\n'.repeat(64),
          { a: 'x'.repeat(56) },
        ];
        for (const data of fitting) {
          expect(Buffer.byteLength(serializeData(data))).toBe(64);
          sse.broadcast('topic', 'name', data);
        }
        expect(await client.messagesUpTo(fitting.length)).toEqual(fitting);
      });

      it('E9: gives 5,000 random events back through four readers', async () => {
        const { sse, url } = await connect(platform, transport, { maxHistorySize: 10_000 });
        const random = seededRandom(1);
        const opened = openReaders(`${url}/events/topic`);
        await untilNamed(opened, 'sse.open');
        const sent: Promise<SentEvent>[] = [];
        let inThisTurn = 0;
        for (const event of randomEvents(5_000, 'topic', 2)) {
          sent.push(send(sse, event));
          if (--inThisTurn > 0) continue;
          inThisTurn = integer(random, 1, 60);
          await turn();
        }
        sent.push(send(sse, { topic: 'topic', event: 'end', data: '' }));
        await untilNamed(opened, 'end');
        expectRead(opened, await Promise.all(sent));
        const control = opened.map(({ reading }) => reading.events.length - reading.messages.length);
        expect(control).toEqual(readers.map(() => 1));
      });

      it("E10: refuses the browser's own event names and the hub's", async () => {
        const connected = await connect(platform, transport);
        const names = ['open', 'error', 'sse.x', 'sse.', 'sse.open', 'sse.end', 'sse.reset'];
        const attempts = names.flatMap((event) => waysIn(connected, { data: 'data', event }));
        await expectRefused(connected, attempts, 'INVALID_EVENT');
      });

      it('E10: sends names that only look like them', async () => {
        const { sse, client } = await connect(platform, transport);
        const names = ['Open', 'ERROR', 'errors', ' open', 'sse', 'ssex', 'Sse.x', 'x.sse.', 'message', 'close'];
        for (const name of names) sse.broadcast('topic', name, name);
        await client.messagesUpTo(names.length);
        expect(client.messages.map(({ event }) => event)).toEqual(names);
      });

      it('E11: keeps topics apart that are called like something every object has', async () => {
        const { sse, url } = await connect(platform, transport);
        const clients = await Promise.all(HOSTILE_TOPICS.map((topic) => open(`${url}/events/${topic}`)));
        for (const client of clients) await client.next();
        for (const topic of HOSTILE_TOPICS) {
          expect(sse.getClientCount(topic)).toBe(1);
          sse.broadcast(topic, 'name', topic);
          sse.broadcast(topic, 'last', topic);
        }
        for (const [i, client] of clients.entries()) {
          await client.messagesUpTo(2);
          expect(client.messages.map(({ event, data }) => [event, data])).toEqual([
            ['name', HOSTILE_TOPICS[i]],
            ['last', HOSTILE_TOPICS[i]],
          ]);
        }
        sse.closeTopic('__proto__');
        await clients[0]!.untilEnd();
        expect(sse.getClientCount()).toBe(HOSTILE_TOPICS.length);
        expect(await refusal(() => sse.broadcast('__proto__', 'name', 1))).toBe('TOPIC_CLOSED');
        sse.broadcast('constructor', 'name', 'goes on');
        expect(await clients[1]!.messagesUpTo(3)).toContain('goes on');
      });

      it('E11: resumes on such a topic without what was published on the others', async () => {
        const { sse, url } = await connect(platform, transport);
        const lastEventId = await sse.publish('__proto__', 'name', 'seen');
        for (const topic of [...HOSTILE_TOPICS, 'topic']) sse.broadcast(topic, 'name', `of ${topic}`);
        const client = await open(`${url}/events/__proto__`, { lastEventId });
        expect(JSON.parse((await client.next()).data)).toMatchObject({ resumed: 'full' });
        sse.broadcast('__proto__', 'name', 'live');
        expect(await client.messagesUpTo(2)).toEqual(['of __proto__', 'live']);
      });

      it('E11: refuses topics that are empty, too long, no string, or hold a wildcard', async () => {
        const connected = await connect(platform, transport);
        const { sse, clientId } = connected;
        const topics: unknown[] = [
          '',
          't'.repeat(10_000),
          't'.repeat(513),
          'é'.repeat(257),
          '*',
          '**',
          'top*',
          'topic:**',
        ];
        const notText: unknown[] = [undefined, null, 7, {}, ['topic'], { toString: 1 }];
        const attempts = [...topics, ...notText].flatMap((topic) => [
          () => sse.broadcast({ topic: topic as string, data: 'data' }),
          () => sse.publish({ topic: topic as string, data: 'data' }),
          () => sse.closeTopic(topic as string),
          () => sse.subscribe(clientId, topic as string),
        ]);
        const byName = topics.map((topic) => () => sse.broadcast(topic as string, 'name', 'data'));
        await expectRefused(connected, [...attempts, ...byName], 'INVALID_TOPIC');
      });

      it('E11: keeps topics apart that look alike', async () => {
        const { sse, url } = await connect(platform, transport);
        // Fastify answers 404 to a parameter of more than 100 characters.
        const topics = ['t'.repeat(100), 't'.repeat(99), 'é', 'e\u0301', 'É', 'a:b', 'a::b', 'a', ' a', 'a '];
        const clients = await Promise.all(topics.map((topic) => open(`${url}/events/${encodeURIComponent(topic)}`)));
        for (const client of clients) await client.next();
        for (const topic of topics) sse.broadcast(topic, 'name', topic);
        for (const client of clients) await client.messagesUpTo(1);
        await turn();
        expect(clients.map((client) => client.data)).toEqual(topics.map((topic) => [topic]));
      });
    });
  }

  // Through @Sse() Nest makes a text of its own for every client, and a web response has to copy what it hands over.
  describe(`Encoding: createClient() on ${platform.name}`, () => {
    it('E8: shares one buffer of 1 MiB between 1,000 clients', async () => {
      const { app, sse, url } = await startApp(platform, {
        config: { maxClients: 2_000 },
        controllers: [direct.controller()],
      });
      const written: Buffer[] = [];
      (app.getHttpServer() as net.Server).on('connection', (socket: Socket) => spyOnWrites(socket, written));
      const stalled = await connectWithoutReading(url, 1_000);
      const reader = await open(`${url}/events/topic`);
      await reader.next();
      expect(sse.getClientCount('topic')).toBe(1_001);

      const before = process.memoryUsage();
      sse.broadcast('topic', 'name', 'x'.repeat(MIB));
      await reader.until(() => reader.messages.length === 1);
      await sleep(200);
      const after = process.memoryUsage();

      expect(reader.messages[0]!.data).toHaveLength(MIB);
      expect(written).toHaveLength(1_001);
      expect(new Set(written).size).toBe(1);
      expect((after.external - before.external) / MIB).toBeLessThan(300);
      expect((after.arrayBuffers - before.arrayBuffers) / MIB).toBeLessThan(300);
      expect((after.rss - before.rss) / MIB).toBeLessThan(300);
      for (const socket of stalled) socket.destroy();
      reader.close();
    });
  });
}

/** Keeps the large buffers that are written to a socket of the server. */
function spyOnWrites(socket: Socket, written: Buffer[]): void {
  const write = socket.write.bind(socket) as (...args: unknown[]) => boolean;
  socket.write = (...args: unknown[]) => {
    const [chunk] = args;
    if (Buffer.isBuffer(chunk) && chunk.length >= MIB) written.push(chunk);
    return write(...args);
  };
}

/** Clients that stop reading after the first bytes. They share one buffer, so that only the server's memory grows. */
async function connectWithoutReading(url: string, count: number): Promise<Socket[]> {
  const { hostname: host, port } = new URL(url);
  const buffer = new Uint8Array(1_024);
  const connectOne = async (): Promise<Socket> => {
    let started = (): void => {};
    const answered = new Promise<void>((resolve) => {
      started = resolve;
    });
    const onread = {
      buffer,
      callback: (): boolean => {
        started();
        return false;
      },
    };
    const socket = net.connect({ host, port: Number(port), onread });
    socket.on('error', () => {});
    await once(socket, 'connect');
    socket.write('GET /events/topic HTTP/1.1\r\nHost: localhost\r\n\r\n');
    await answered;
    return socket;
  };
  return Promise.all(Array.from({ length: count }, connectOne));
}

describe('Encoding', () => {
  it('E9: gives 100,000 random events back through four readers, however the network cuts them', async () => {
    const sse = new SSEService({ maxHistorySize: 200_000, maxHistoryBytes: Infinity });
    const body = collect(sse.addClient({ topics: 'topic' }).response);
    const random = seededRandom(3);
    const events = randomEvents(100_000, 'topic', 4);
    const sent: SentEvent[] = [];
    for (let at = 0; at < events.length;) {
      const end = at + integer(random, 1, 500);
      sent.push(...(await Promise.all(events.slice(at, end).map((event) => send(sse, event)))));
      await turn();
      at = end;
    }
    sse.closeTopic('topic');
    const bytes = await body;
    await sse.shutdown();

    replay = await startReplay(bytes);
    const opened = openReaders(replay.url);
    await untilNamed(opened, 'sse.end');
    expectRead(opened, sent);
    const { messages, retries } = opened[0]!.reading;
    const wrongValue = events.findIndex(({ data }, i) => {
      return typeof data !== 'string' && JSON.stringify(JSON.parse(messages[i]!.data)) !== JSON.stringify(data);
    });
    expect(wrongValue).toBe(-1);
    expect(retries.slice(1)).toEqual(events.flatMap(({ retry }) => retry ?? []));
  }, 40_000);
});

async function collect(response: Response): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of response.body!) chunks.push(chunk);
  return Buffer.concat(chunks);
}
