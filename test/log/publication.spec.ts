import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { bytesAtMost, bytesOf, Publication } from '../../src/log/publication.js';
import type { EventEntry } from '../../src/protocol/entry.js';
import { seed } from '../support/seed.js';

const POSITION = { ms: 1_700_000_000_000, seq: 3 };

function envelopeOf(entry: Partial<EventEntry>) {
  return new Publication({ kind: 'event', data: '1', ...entry }, POSITION, 'epoch').envelope(JSON.parse);
}

describe('what observers see of a publication', () => {
  it('has the time at which the log got it', () => {
    expect(envelopeOf({}).timestamp).toBe('2023-11-14T22:13:20.000Z');
  });

  it("has the application's own time where there is one", () => {
    expect(envelopeOf({ timestamp: '2020-01-01T00:00:00Z' }).timestamp).toBe('2020-01-01T00:00:00Z');
  });

  it('cannot be changed', () => {
    expect(Object.isFrozen(envelopeOf({ topic: 't' }))).toBe(true);
  });

  it('is a plain object, to copies, JSON, proxies and whoever looks at its fields', () => {
    const envelope = envelopeOf({ id: '7', topic: 't', data: '{"a":1}', metadata: '{"b":2}' });
    const expected = { id: '7', timestamp: '2023-11-14T22:13:20.000Z', data: { a: 1 }, topic: 't', metadata: { b: 2 } };
    expect({ ...envelope }).toStrictEqual(expected);
    expect(JSON.parse(JSON.stringify(envelope))).toStrictEqual(expected);
    expect({ ...new Proxy(envelope, {}) }).toStrictEqual(expected);
    expect(structuredClone(envelope)).toEqual(expected);
    expect(Object.getPrototypeOf(envelope)).toBe(Object.prototype);
  });

  it('reads its data back once, for whoever asks', () => {
    const read: string[] = [];
    const publication = new Publication({ kind: 'event', data: 'null' }, POSITION, 'epoch');
    const envelope = publication.envelope((text) => read.push(text) && JSON.parse(text));
    expect(read).toEqual([]);
    expect([envelope.data, new Proxy(envelope, {}).data, { ...envelope }.data]).toEqual([null, null, null]);
    expect(read).toEqual(['null']);
  });
});

describe('what an event takes in the log', () => {
  const text = fc.oneof(
    fc.string({ unit: 'binary', maxLength: 300 }),
    // Much of the same, in each width: what is counted for every event would hide a fault in little.
    fc
      .tuple(fc.constantFrom('\n', '\r\n', '\ud800', '€', '😀', 'a'), fc.nat({ max: 5_000 }), fc.constantFrom('', 'ÿ'))
      .map(([part, count, end]) => part.repeat(count) + end),
  );
  const names = ['topic', 'event', 'id', 'comment', 'metadata', 'timestamp', 'exceptGroup'];
  const fields = fc.dictionary(fc.constantFrom(...names), text);

  it('is never more than what its lengths say', () => {
    fc.assert(
      fc.property(text, fields, fc.option(fc.array(text), { nil: undefined }), (data, others, except) => {
        const entry: EventEntry = { kind: 'event', data, except, ...others };
        expect(bytesOf(entry)).toBeLessThanOrEqual(bytesAtMost(entry));
      }),
      { seed, numRuns: 1_000 },
    );
  });
});
