import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { asEntry, decodeEntry } from '../../src/protocol/entry.js';
import { eventFault, topicFault } from '../../src/protocol/event.js';
import { seed } from '../support/seed.js';

type Fields = Record<string, unknown>;
type Check = (value: unknown) => boolean;

const isString: Check = (value) => typeof value === 'string';
const isBoolean: Check = (value) => typeof value === 'boolean';
const isTopic: Check = (value) => topicFault(value) === undefined;
const isSafe: Check = (value) => Number.isSafeInteger(value);
const isObject = (value: unknown): value is Fields =>
  typeof value === 'object' && value !== null && !Array.isArray(value);
const isPosition: Check = (value) => isObject(value) && isSafe(value.ms) && isSafe(value.seq);
const isStrings: Check = (value) => Array.isArray(value) && value.every(isString);
const isMetadata: Check = (value) => isString(value) && isObject(parsed(value as string));
const maybe =
  (check: Check): Check =>
  (value) =>
    value === undefined || check(value);
const isSound =
  (field: string): Check =>
  (value) =>
    eventFault({ [field]: value }) === undefined;

/** What may stand in each field, as the types say it. */
const FIELDS: Record<string, Record<string, Check>> = {
  event: {
    topic: maybe(isTopic),
    event: isSound('event'),
    id: isSound('id'),
    data: isString,
    text: maybe(isBoolean),
    retry: isSound('retry'),
    comment: isSound('comment'),
    metadata: maybe(isMetadata),
    timestamp: isSound('timestamp'),
    except: maybe(isStrings),
    exceptGroup: maybe(isString),
    opens: maybe(isPosition),
  },
  close: { topic: isTopic },
  open: { topic: isTopic },
  removeGroup: { group: isString, reconnect: isBoolean },
  subscribeGroup: { group: isString, topic: isString, pattern: maybe(isBoolean) },
  unsubscribeGroup: { group: isString, topic: isString, pattern: maybe(isBoolean) },
};

const SOUND: Record<string, unknown> = {
  topic: 'orders:7',
  event: 'created',
  id: 'order-7',
  data: '{"a":1}',
  text: true,
  retry: 10,
  comment: 'two\nlines',
  metadata: '{"by":"me"}',
  timestamp: '2026-01-31T12:00:00.000Z',
  except: ['a', 'b'],
  exceptGroup: 'user:7',
  opens: { ms: 1, seq: 0 },
  group: 'user:7',
  reconnect: false,
  pattern: true,
};

const value = fc.oneof(
  fc.constantFrom<unknown[]>(null, true, 0, -1, 1.5, '', 'a', 'a*', 'a\n', '1~a', 'sse.a', 'open', '[]', '{}', 'null'),
  fc.constantFrom<unknown[]>([], [null], ['a', 1], {}, { ms: 1 }, { ms: 1, seq: 0.5 }, { seq: 1, ms: 2 }, 2 ** 53),
  fc.jsonValue({ maxDepth: 1 }),
);

/** Entries of every kind, most of them sound in most fields. */
const entry = fc
  .tuple(
    fc.constantFrom(...Object.keys(FIELDS)),
    fc.subarray(Object.keys(SOUND)),
    fc.dictionary(fc.constantFrom(...Object.keys(SOUND)), value, { maxKeys: 2 }),
    fc.boolean(),
  )
  .map(([kind, absent, odd, isWhole]) => {
    const fields = Object.entries(SOUND).filter(([name]) => isWhole || name === 'data' || !absent.includes(name));
    return { kind, ...Object.fromEntries(fields), ...odd };
  });

describe('decodeEntry', () => {
  it('takes an entry whose fields are what their types say, and no other', () => {
    let taken = 0;
    fc.assert(
      fc.property(entry, (fields: Fields) => {
        const checks = Object.entries(FIELDS[fields.kind as string]!);
        const fits = checks.every(([field, check]) => check(fields[field]));
        if (fits) taken++;
        expect(decodeEntry(JSON.stringify(fields))).toEqual(fits ? fields : undefined);
      }),
      { seed, numRuns: 2_000 },
    );
    expect(taken).toBeGreaterThan(200);
  });

  it.each(Object.keys(FIELDS))('takes an entry of the kind %s', (kind) => {
    expect(asEntry({ kind, ...SOUND })).toEqual({ kind, ...SOUND });
  });

  it.each(['', '{', 'null', '1', '"event"', '[]', '{}', '{"kind":1}', '{"kind":"event"}', '[{"kind":"close"}]'])(
    'finds no entry in %j',
    (text) => {
      expect(decodeEntry(text)).toBeUndefined();
    },
  );

  it.each([undefined, null, 'event', [], () => {}])('takes %p for no entry', (other) => {
    expect(asEntry(other)).toBeUndefined();
  });

  it.each(['later', 'constructor', '__proto__', 'toString'])(
    'lets the kind %j pass, which it does not know',
    (kind) => {
      expect(asEntry({ kind, topic: 1 })).toEqual({ kind, topic: 1 });
    },
  );
});

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
