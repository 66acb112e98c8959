import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import {
  eventFault,
  MAX_ID_BYTES,
  MAX_RETRY,
  MAX_TOPIC_BYTES,
  retryFault,
  serializeData,
  show,
  singleLineFault,
  type SSEEvent,
  topicFault,
} from '../../src/protocol/event.js';
import { seed } from '../support/seed.js';

const CONTROL_CODES = [...Array(0x20).keys(), ...Array.from({ length: 0x21 }, (_, i) => 0x7f + i)];
const LONE_SURROGATES = ['\ud800', 'a\udc00', '\udfffb', 'x\ud83dy'];

describe('singleLineFault', () => {
  it('finds every control character, wherever it stands', () => {
    for (const code of CONTROL_CODES) {
      const char = String.fromCharCode(code);
      for (const value of [char, `a${char}`, `${char}b`, `a${char}b`]) {
        expect(singleLineFault(value, 100)).toMatch('control character');
      }
    }
  });

  it.each(LONE_SURROGATES)('finds a lone surrogate in %j', (value) => {
    expect(singleLineFault(value, 100)).toMatch('lone surrogate');
  });

  it.each([' ', ' a ', ':', ': a', 'data:', 'ü', '😀', '\u2028', '\ufeff', '__proto__', '0'])(
    'lets %j pass',
    (value) => {
      expect(singleLineFault(value, 100)).toBeUndefined();
    },
  );

  it('counts bytes, not characters', () => {
    expect(singleLineFault('é'.repeat(5), 10)).toBeUndefined();
    expect(singleLineFault(`${'é'.repeat(5)}a`, 10)).toMatch('longer than 10 bytes');
    expect(singleLineFault('😀', 3)).toMatch('longer than 3 bytes');
  });

  it.each([undefined, null, 1, true, {}, ['a'], Symbol('s'), Object.create(null), { toString: 1 }])(
    'finds what is not a string',
    (value) => {
      expect(singleLineFault(value, 100)).toMatch('is not a string');
    },
  );

  it('finds the empty string', () => {
    expect(singleLineFault('', 100)).toBe('it is empty');
  });

  it('passes exactly what one line of UTF-8 can carry', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary', minLength: 1 }), (value) => {
        const carried = Buffer.from(value).toString() === value && !/\p{Cc}/u.test(value);
        expect(singleLineFault(value, Infinity) === undefined).toBe(carried);
      }),
      { seed, numRuns: 1_000 },
    );
  });
});

describe('topicFault', () => {
  it.each(['*', '**', 'a:*', 'a*b', '*a'])('finds the wildcard in %j, and says what to do instead', (topic) => {
    expect(topicFault(topic)).toMatch('topicPattern()');
  });

  it('lets a topic of the full length pass, and none that is longer', () => {
    expect(topicFault('t'.repeat(MAX_TOPIC_BYTES))).toBeUndefined();
    expect(topicFault('t'.repeat(MAX_TOPIC_BYTES + 1))).toMatch('longer');
  });

  it.each(['user:42', '__proto__', 'constructor', 'a,b', 'Überblick', ':', ' '])('lets %j pass', (topic) => {
    expect(topicFault(topic)).toBeUndefined();
  });
});

describe('retryFault', () => {
  it.each([0, -0, 1, 3_000, MAX_RETRY])('lets %d pass', (value) => {
    expect(retryFault(value)).toBeUndefined();
  });

  it.each([-1, 1.5, NaN, Infinity, 1e21, MAX_RETRY + 1, '10', '10\ndata: x', null, true, [10], 10n])(
    'finds what is not an integer in range',
    (value) => {
      expect(retryFault(value)).toMatch('not an integer from 0 to 2147483647');
    },
  );
});

describe('eventFault', () => {
  it('lets an event of every field pass', () => {
    const event: SSEEvent = {
      data: null,
      event: 'price',
      id: 'order-7',
      retry: 10,
      comment: 'two\r\nlines\u0000',
      timestamp: '2026-01-31T12:00:00.000Z',
    };
    expect(eventFault(event)).toBeUndefined();
    expect(eventFault({})).toBeUndefined();
  });

  it.each<[string, Record<string, unknown>]>([
    ['event: ', { event: 'a\nb' }],
    ['event: ', { event: '' }],
    ['event: ', { event: 'open' }],
    ['event: ', { event: 'error' }],
    ['event: ', { event: 'sse.open' }],
    ['event: ', { event: 'sse.' }],
    ['event: ', { event: null }],
    ['event: ', { event: 'e'.repeat(MAX_ID_BYTES + 1) }],
    ['id: ', { id: '' }],
    ['id: ', { id: '1~mine' }],
    ['id: ', { id: 'a\u0000' }],
    ['id: ', { id: 7 }],
    ['id: ', { id: 'i'.repeat(MAX_ID_BYTES + 1) }],
    ['retry: ', { retry: -1 }],
    ['comment: ', { comment: 7 }],
    ['timestamp: ', { timestamp: 'yesterday' }],
    ['timestamp: ', { timestamp: 'room 5' }],
    ['timestamp: ', { timestamp: 1_700_000_000_000 }],
    ['timestamp: ', { timestamp: '' }],
  ])('names the field that is wrong: %s%j', (field, event) => {
    expect(eventFault(event)?.startsWith(field)).toBe(true);
  });

  it.each(['Open', 'errors', 'sse', 'ssex', 'message', 'close', '__proto__', ' open'])(
    'lets the name %j pass',
    (event) => {
      expect(eventFault({ event })).toBeUndefined();
    },
  );

  it.each(['2026-01-31', '2026-01-31T12:00Z', '2026-01-31T12:00:00+02:00', new Date(8.64e15).toISOString()])(
    'takes %j for a time',
    (timestamp) => {
      expect(eventFault({ timestamp })).toBeUndefined();
    },
  );
});

describe('show', () => {
  it('keeps a message on one line, whatever it is about', () => {
    for (const code of CONTROL_CODES) {
      const char = String.fromCharCode(code);
      for (const value of [`a${char}b`, [`a${char}b`], Symbol(char)]) expect(show(value)).not.toContain(char);
    }
  });

  it('shortens', () => {
    expect(show('x'.repeat(15_000)).length).toBe(80);
  });

  it.each<[unknown, string]>([
    [Object.create(null), '{}'],
    [{ toString: 1 }, '{ toString }'],
    [{ toString: () => ({}) }, '{ toString }'],
    [{ user: 'ada', password: 'secret' }, '{ user, password }'],
    [class Secret {}, 'function Secret'],
    [[], '[]'],
    [[1, 'a'], '[1,a]'],
    [new Proxy({}, { ownKeys: () => [1] as never }), '[object Object]'],
  ])('says something about an object, and not what it holds', (value, shown) => {
    expect(show(value)).toBe(shown);
  });
});

describe('serializeData', () => {
  it('leaves a string as it is', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'binary' }), (text) => {
        expect(serializeData(text)).toBe(text);
      }),
      { seed },
    );
  });

  it('makes JSON of anything else, on a single line for every reader', () => {
    fc.assert(
      fc.property(
        fc.jsonValue({ stringUnit: 'binary' }).filter((value) => typeof value !== 'string'),
        (value) => {
          const json = serializeData(value);
          expect(json).not.toMatch(/[\r\n\u0085\u2028\u2029]/);
          expect(json.isWellFormed()).toBe(true);
          expect(JSON.parse(json)).toEqual(JSON.parse(JSON.stringify(value)));
        },
      ),
      { seed },
    );
  });

  it('escapes what some readers take for a line break, in keys too', () => {
    expect(serializeData({ '\u2028': '\u2029\u0085' })).toBe('{"\\u2028":"\\u2029\\u0085"}');
  });

  it('says what to use instead of undefined', () => {
    expect(() => serializeData(undefined)).toThrow('use null');
  });

  it.each([() => {}, Symbol('s'), 1n, { nested: 1n }, { toJSON: () => undefined }])(
    'refuses what has no JSON form',
    (value) => {
      expect(() => serializeData(value)).toThrow(TypeError);
    },
  );
});
