import { describe, expect, it } from '@jest/globals';
import { createParser } from 'eventsource-parser';
import fc from 'fast-check';
import type { BroadcastOptions, EventEntry, SSEError, SSEEvent } from 'nestjs-sse-hub';

import { assertTopic, type EntryRules, toEntry } from '../../src/hub/check-event.js';
import { Publication } from '../../src/log/publication.js';
import { decodeEntry, encodeEntry } from '../../src/protocol/entry.js';
import { serializeData } from '../../src/protocol/event.js';
import { anyEvent } from '../support/arbitrary-events.js';
import { seed } from '../support/seed.js';

const RULES: EntryRules = { maxEventSize: 100, serialize: serializeData, ownSerializer: false };

const HOSTILE = ['sse.end', '1~end', 'x\ndata: injected', '1\n\nid: 1~end\ndata: {}\n\n', '\r', '', 7, -1, null, {}];

/** What a field answers each time that it is read, or that other code of the application's runs: mostly fit at first. */
const answers = (fit: fc.Arbitrary<unknown>): fc.Arbitrary<unknown[]> => {
  const first = fc.oneof(
    { weight: 15, arbitrary: fit },
    { weight: 1, arbitrary: fc.constantFrom<unknown>(...HOSTILE) },
  );
  const later = fc.constantFrom<unknown>(...HOSTILE, 'other', 8, undefined);
  return fc.tuple(first, fc.array(later, { minLength: 1, maxLength: 4 })).map(([one, others]) => [one, ...others]);
};
const word = fc.constantFrom(undefined, 'a', 'b c', 'data: x');
const script = fc.record({
  topic: answers(word),
  event: answers(word),
  id: answers(word),
  retry: answers(fc.constantFrom(undefined, 0, 5)),
  comment: answers(fc.constantFrom(undefined, 'a', 'b\nid: 1\r\n\ndata: x')),
  timestamp: answers(fc.constant(undefined)),
  exceptGroup: answers(word),
});

/** An event that is another one whenever it is looked at, and also whenever its data is. */
const shiftingEvent = fc.tuple(script, fc.string({ unit: 'binary-ascii' })).map(([fields, text]) => () => {
  let step = 0;
  const reads = new Map<string, unknown[]>();
  const texts: string[] = [];
  const answer = (field: string): unknown => {
    const choices = fields[field as keyof typeof fields] as unknown[] | undefined;
    if (!choices) return undefined;
    const value = choices[Math.min(reads.has(field) ? step : 0, choices.length - 1)];
    reads.set(field, [...(reads.get(field) ?? []), value]);
    step++;
    return value;
  };
  const shifting = new Proxy({} as SSEEvent, {
    get: (_, field) => {
      if (field !== 'data') return answer(String(field));
      return { toJSON: () => `${text}${step++}` };
    },
  });
  const serialize: EntryRules['serialize'] = (data, event) => {
    // A copy that is frozen, so this changes nothing.
    Reflect.set(event, 'event', 'sse.end');
    Reflect.set(shifting, 'id', '1~end');
    texts.push(text + JSON.stringify(data));
    return texts.at(-1)!;
  };
  return { event: shifting, options: shifting as BroadcastOptions, serialize, reads, texts };
});

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
      metadata: '{"tenant":3}',
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
      metadata: '{"at":"1970-01-01T00:00:00.000Z"}',
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
    expect(entry).toMatchObject({ metadata: '{"roles":["a"]}', except: ['client-1'] });
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

  it('takes nothing out of a broker that no publisher of ours could have put there', () => {
    const sound = { kind: 'event', topic: 't', event: 'e', id: 'i', data: '1', retry: 1, comment: 'c' };
    expect(decodeEntry(JSON.stringify(sound))).toEqual(sound);
    const forgeries = [
      { event: 'sse.end' },
      { event: 'x\ndata: y' },
      { id: '1~end' },
      { id: 'x\n\n' },
      { retry: 1.5 },
      { topic: 'a*' },
      { topic: '' },
      { timestamp: 'soon' },
    ];
    for (const forged of forgeries) expect(decodeEntry(JSON.stringify({ ...sound, ...forged }))).toBeUndefined();
    expect(decodeEntry('{"kind":"close","topic":"a\\n"}')).toBeUndefined();
  });

  it('calls the serializer once, with a frozen copy of the event', () => {
    const calls: [data: unknown, event: Readonly<SSEEvent>][] = [];
    const event = { data: 1, event: 'e' };
    toEntry(event, {
      ...RULES,
      serialize: (...args) => {
        calls.push(args);
        return 'text';
      },
    });
    expect(calls).toEqual([[1, event]]);
    expect(calls[0]![1]).not.toBe(event);
    expect(Object.isFrozen(calls[0]![1])).toBe(true);
  });

  it('reads every field once, so that nothing can leave but what was checked', () => {
    let accepted = 0;
    fc.assert(
      fc.property(shiftingEvent, (shifting) => {
        const { event, options, serialize, reads, texts } = shifting();
        let entry: EventEntry;
        try {
          entry = toEntry(event, { maxEventSize: 10_000, serialize, ownSerializer: true }, options);
        } catch (error) {
          expect(error).toMatchObject({ code: expect.stringMatching(/^INVALID_(EVENT|TOPIC)$/) });
          return;
        }
        accepted++;
        for (const answers of reads.values()) expect(answers).toHaveLength(1);
        const seen = (field: string): unknown => reads.get(field)?.[0];
        expect(entry).toMatchObject({ topic: seen('topic'), exceptGroup: seen('exceptGroup') });
        const { cursor, frame } = new Publication(entry, { ms: 1, seq: 0 }, 'epoch');
        const events: unknown[] = [];
        const retries: unknown[] = [];
        const parser = createParser({
          onEvent: ({ event: name, id, data }) => events.push({ name, id, data }),
          onRetry: (retry) => retries.push(retry),
          onError: (error) => expect(error).toBeUndefined(),
        });
        parser.feed(frame.text);
        const data = texts[0]!.replaceAll(/\r\n?/g, '\n');
        expect(events).toEqual([{ name: seen('event'), id: seen('id') ?? cursor, data }]);
        expect(retries).toEqual(seen('retry') === undefined ? [] : [seen('retry')]);
        expect(String(seen('event')).startsWith('sse.') || String(seen('id')).startsWith('1~')).toBe(false);
      }),
      { seed, numRuns: 2_000 },
    );
    expect(accepted).toBeGreaterThan(100);
  });
});
