import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import type { BroadcastOptions, SSEError, SSEEvent } from 'nestjs-sse-hub';

import { decodeEntry, encodeEntry } from '../../src/backplane/entry-codec.js';
import { assertTopic, type EntryRules, toEntry } from '../../src/hub/entry.js';
import { serializeData } from '../../src/protocol/event.js';
import { anyEvent } from '../support/arbitrary-events.js';
import { seed } from '../support/seed.js';

const RULES: EntryRules = { maxEventSize: 100, serialize: serializeData, ownSerializer: false };

function faultOf(event: SSEEvent, rules: Partial<EntryRules> = {}, options?: BroadcastOptions): SSEError {
  try {
    toEntry(event, { ...RULES, ...rules }, options);
  } catch (error) {
    return error as SSEError;
  }
  throw new Error('Nothing was refused.');
}

describe('assertTopic', () => {
  it.each<unknown>([undefined, null, '', 7, {}, ['a'], { toString: 1 }, 'a*', 'a\r', 't'.repeat(10_000)])(
    'throws INVALID_TOPIC',
    (topic) => {
      expect(() => assertTopic(topic)).toThrow(expect.objectContaining({ code: 'INVALID_TOPIC' }));
    },
  );
});

describe('toEntry', () => {
  it('keeps everything that was given, and adds nothing', () => {
    const entry = toEntry(
      { topic: 't', event: 'e', id: 'i', data: { a: 1 }, retry: 5, comment: 'c', metadata: { tenant: 3 } },
      RULES,
      { except: 'client-1', exceptGroup: 'user:1' },
    );
    expect(entry).toEqual({
      kind: 'event',
      topic: 't',
      event: 'e',
      id: 'i',
      data: '{"a":1}',
      text: undefined,
      retry: 5,
      comment: 'c',
      metadata: { tenant: 3 },
      except: ['client-1'],
      exceptGroup: 'user:1',
    });
  });

  it('keeps the time that was given', () => {
    expect(toEntry({ data: 1, timestamp: '2026-01-31T12:00:00Z' }, RULES).timestamp).toBe('2026-01-31T12:00:00Z');
  });

  it('is plain and safe for JSON', () => {
    const entry = toEntry({ data: 'x', metadata: { at: new Date(0), gone: undefined } }, RULES, { except: ['a', 'b'] });
    expect(JSON.parse(JSON.stringify(entry))).toEqual({
      kind: 'event',
      data: 'x',
      text: true,
      metadata: { at: '1970-01-01T00:00:00.000Z' },
      except: ['a', 'b'],
    });
  });

  it('marks strings as text, unless the application serialises them', () => {
    expect(toEntry({ data: 'x' }, RULES).text).toBe(true);
    expect(toEntry({ data: { x: 1 } }, RULES).text).toBeUndefined();
    const own = toEntry({ data: 'x' }, { ...RULES, serialize: (data) => JSON.stringify(data), ownSerializer: true });
    expect(own).toMatchObject({ data: '"x"', text: undefined });
  });

  it('copies the metadata and the list of those left out', () => {
    const metadata = { roles: ['a'] };
    const except = ['client-1'];
    const entry = toEntry({ data: 1, metadata }, RULES, { except } satisfies BroadcastOptions);
    metadata.roles.push('b');
    except.push('client-2');
    expect(entry).toMatchObject({ metadata: { roles: ['a'] }, except: ['client-1'] });
  });

  it('leaves the data of the caller alone', () => {
    const data = { list: [1] };
    toEntry({ data }, RULES);
    expect(Object.isFrozen(data) || Object.isFrozen(data.list)).toBe(false);
  });

  it('counts the bytes of the data', () => {
    expect(toEntry({ data: 'é'.repeat(50) }, RULES).data).toHaveLength(50);
    expect(faultOf({ data: `${'é'.repeat(50)}a` })).toMatchObject({ code: 'EVENT_TOO_LARGE' });
    expect(faultOf({ data: 'a'.repeat(101) }).message).toMatch('101 bytes; maxEventSize is 100');
  });

  it('says which field is wrong', () => {
    expect(faultOf({ data: 1, event: 'a\nb' })).toMatchObject({
      code: 'INVALID_EVENT',
      message: 'event: "a\\nb" holds a line break or another control character.',
    });
  });

  it('keeps the cause of what cannot be serialised', () => {
    const cause = new Error('not today');
    const fault = faultOf({
      data: {
        toJSON: () => {
          throw cause;
        },
      },
    });
    expect(fault).toMatchObject({ code: 'INVALID_EVENT', message: 'data: it cannot be serialised. not today', cause });
    // A visitor learns nothing of what the application's own code said.
    expect(fault?.getResponse()).toMatchObject({ message: 'data: it cannot be serialised.' });
  });

  it('refuses a serializer that gives no string', () => {
    const fault = faultOf({ data: 1 }, { serialize: () => undefined as unknown as string });
    expect(fault).toMatchObject({ code: 'INVALID_EVENT', message: 'data: serialize() returned undefined.' });
  });

  it('refuses metadata without a JSON form', () => {
    const circular: Record<string, unknown> = {};
    circular.self = circular;
    for (const metadata of [circular, { big: 1n }]) {
      expect(faultOf({ data: 1, metadata })).toMatchObject({ code: 'INVALID_EVENT' });
    }
  });

  it.each<[unknown, string]>([
    [null, 'null'],
    [['a'], '[a]'],
    [new Date(0), String(new Date(0))],
    ['a', '"a"'],
    ['', '""'],
    [0, '0'],
    [String, 'function String'],
    [Symbol('a'), 'Symbol(a)'],
  ])('refuses metadata that is not an object in JSON', (metadata, shown) => {
    const fault = faultOf({ data: 1, metadata: metadata as Record<string, unknown> });
    expect(fault.code).toBe('INVALID_EVENT');
    expect(fault.message).toBe(`metadata: ${shown} is not a plain object.`);
  });

  it.each<[unknown, string]>([
    [null, 'null'],
    [42, '42'],
    [{}, '{}'],
    [[null], 'null'],
    [['a', 7], '7'],
    [[['a']], '[a]'],
  ])('refuses client ids that are not strings', (except, shown) => {
    const fault = faultOf({ data: 1 }, {}, { except: except as string });
    expect(fault.code).toBe('INVALID_EVENT');
    expect(fault.message).toBe(`except: ${shown} is not a string; client ids are.`);
  });

  it.each<unknown>([null, 42, ['a']])('refuses a group that is not a string', (exceptGroup) => {
    const fault = faultOf({ data: 1 }, {}, { exceptGroup: exceptGroup as string });
    expect(fault.code).toBe('INVALID_EVENT');
    expect(fault.message).toMatch(/^exceptGroup: .+ is not a string\.$/);
  });

  it('lets nothing out that another node could not read', () => {
    const anything = fc.anything({ withDate: true, withMap: true, withBigInt: true });
    const odd = fc.oneof(fc.string(), fc.nat(), fc.constantFrom(undefined, null, true, [], {}, [null]), anything);
    const name = fc.constantFrom('data', 'event', 'id', 'retry', 'comment', 'metadata', 'timestamp');
    const option = fc.constantFrom('except', 'exceptGroup');
    let accepted = 0;
    const isReadable = (event: object, options: object): void => {
      let entry;
      try {
        entry = toEntry(event as SSEEvent, { ...RULES, maxEventSize: 10_000 }, options);
      } catch (error) {
        expect(error).toMatchObject({ code: 'INVALID_EVENT' });
        return;
      }
      accepted++;
      expect(decodeEntry(encodeEntry(entry))).toEqual(JSON.parse(JSON.stringify(entry)));
    };
    const events = fc.tuple(anyEvent, name, odd).map(([event, field, value]) => ({ ...event, [field]: value }));
    const options = fc.oneof(fc.constant({}), fc.dictionary(option, odd));
    fc.assert(fc.property(events, options, isReadable), { seed, numRuns: 3_000 });
    expect(accepted).toBeGreaterThan(100);
  });

  it('calls the serializer once, with the event', () => {
    const calls: unknown[][] = [];
    const event = { data: 1, event: 'e' };
    toEntry(event, {
      ...RULES,
      serialize: (...args) => {
        calls.push(args);
        return 'text';
      },
    });
    expect(calls).toEqual([[1, event]]);
  });
});
