import { describe, expect, it } from '@jest/globals';
import type { SSEEvent } from 'nestjs-sse-hub';

import { encodedSize } from '../../../src/protocol/encode.js';
import { serializeData } from '../../../src/protocol/event.js';
import { returnToBaseline } from '../../support/baseline.js';
import { platforms } from '../../support/platforms.js';
import { open } from '../../support/readers/event-stream.js';
import { connect, expectRefused, refusal, waysIn } from '../../support/refusals.js';
import { transports } from '../../support/stream-controllers.js';

const bench = returnToBaseline();

const CIRCULAR: Record<string, unknown> = {};
CIRCULAR.self = { list: [CIRCULAR] };

function failing(): never {
  throw new Error('This value does not want to be JSON.');
}

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

for (const platform of platforms) {
  for (const transport of transports) {
    describe(`Encoding of data: ${transport.name} on ${platform.name}`, () => {
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
        const observing = sse.observe('topic').subscribe(({ data }) => seen.push(data));
        bench.onEnd(() => observing.unsubscribe());
        for (const [data] of VALUES) sse.broadcast({ topic: 'topic', data });
        await client.messagesUpTo(VALUES.length);
        expect(client.messages.map(({ data }) => data)).toEqual(VALUES.map(([, wire]) => wire));
        expect(seen).toEqual(VALUES.map(([, , value]) => value));
      });

      it('E6: pollutes no prototype with nested __proto__ keys', async () => {
        const { sse, client } = await connect(platform, transport);
        const seen: SSEEvent[] = [];
        const observing = sse.observe('topic').subscribe((event) => seen.push(event));
        bench.onEnd(() => observing.unsubscribe());
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
          // Each line begins with the name of its field.
          `ab${'\n'.repeat(9)}`,
          `ab${'\r'.repeat(9)}`,
          `ab${'\r\n'.repeat(9)}`,
          { a: 'x'.repeat(57) },
          { é: 'x'.repeat(56) },
          { a: '\u2028'.repeat(10) },
          ['\0'.repeat(11)],
          Array.from({ length: 33 }, () => 1),
        ];
        const attempts = tooLarge.flatMap((data) => waysIn(connected, { data }));
        await expectRefused(connected, attempts, 'EVENT_TOO_LARGE');
        expect(() => connected.sse.broadcast('topic', 'name', '\n'.repeat(20))).toThrow(
          'The data is 20 bytes, and 140 on the wire, where each of its lines is a field; maxEventSize is 64.',
        );
      });

      it('E7, M3: bounds what data and comment take on the wire together, whatever their lines end with', async () => {
        const connected = await connect(platform, transport, { maxEventSize: 10_000 });
        const { sse, client } = connected;
        const ends = ['\n', '\r', '\r\n', '\n\r\r\n'];
        const attempts = ends.flatMap((end) => waysIn(connected, { data: end.repeat(2_000) }));
        const comments = ends.map(
          (end) => () => sse.broadcast({ topic: 'topic', data: 1, comment: end.repeat(5_000) }),
        );
        const together = { data: 'x'.repeat(5_000), comment: 'x'.repeat(5_001) };
        await expectRefused(
          connected,
          [...attempts, ...comments, ...waysIn(connected, together).slice(0, 3)],
          'EVENT_TOO_LARGE',
        );
        for (const end of ends) {
          const before = client.raw.length;
          const seen = client.messages.length;
          sse.broadcast({ topic: 'topic', data: `${end}x`.repeat(450), comment: 'x' });
          await client.messagesUpTo(seen + 1);
          expect(client.raw.length - before).toBeLessThan(10_000 + 200);
        }
      });

      it('E7: sends an event of exactly maxEventSize', async () => {
        const { sse, client } = await connect(platform, transport, { maxEventSize: 64 });
        const fitting = [
          'a'.repeat(64),
          'é'.repeat(32),
          '😀'.repeat(16),
          `${'漢'.repeat(20)}abcd`,
          `a${'\n'.repeat(9)}`,
          { a: 'x'.repeat(56) },
        ];
        for (const data of fitting) {
          expect(encodedSize('data', serializeData(data))).toBe(64);
          sse.broadcast('topic', 'name', data);
        }
        expect(await client.messagesUpTo(fitting.length)).toEqual(fitting);
      });
    });
  }
}
