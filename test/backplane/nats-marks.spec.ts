import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { Marks } from '../../src/backplane/nats/marks.js';
import { headersOf, nameIn } from '../../src/backplane/nats/message.js';
import { seed } from '../support/seed.js';

describe('where the log in NATS is cut off', () => {
  const sizes = fc.array(fc.oneof(fc.constant(1), fc.integer({ min: 1, max: 1_000 })), {
    minLength: 1,
    maxLength: 400,
  });

  it('never leaves fewer entries than it is to keep, nor many more, and no message before that which is there', () => {
    const property = fc.property(fc.constantFrom(1, 10, 1_000, 20_000), sizes, (limit, batches) => {
      const marks = new Marks(limit);
      const kept: { message: number; entries: number }[] = [];
      const count = (): number => kept.reduce((sum, { entries }) => sum + entries, 0);
      for (const [i, entries] of batches.entries()) {
        kept.push({ message: i + 1, entries });
        // As the stream's own limit does.
        if (kept.length > limit) kept.shift();
        const oldest = marks.note(i + 1, entries);
        if (oldest !== undefined) {
          expect(oldest).toBeGreaterThan(kept[0]!.message);
          while (kept[0]!.message < oldest) kept.shift();
          expect(count()).toBeGreaterThanOrEqual(limit);
        }
        // What is between two marks, twice, and the messages at their ends.
        expect(count()).toBeLessThan(limit * 1.06 + 3_000);
      }
    });
    fc.assert(property, { seed });
  });

  it('is nowhere as long as each message has one entry', () => {
    const marks = new Marks(100);
    const answers = Array.from({ length: 1_000 }, (_, i) => marks.note(i + 1, 1));
    expect(answers.filter((answer) => answer !== undefined)).toEqual([]);
  });

  it('is nowhere when the stream has no limit, and follows one that it gets', () => {
    const marks = new Marks();
    for (let i = 1; i <= 50; i++) expect(marks.note(i, 100)).toBeUndefined();
    marks.limit = 1_000;
    const answers = Array.from({ length: 50 }, (_, i) => marks.note(i + 51, 100));
    expect(answers).toContainEqual(expect.any(Number));
  });
});

describe('the name of a batch', () => {
  it('is read as it was written', () => {
    for (const count of [1, 2, 1_000]) {
      expect(nameIn(headersOf({ uid: 'abcdefghijkl-7', count }))).toEqual({ uid: 'abcdefghijkl-7', count });
    }
  });

  it('is none that no node gives', () => {
    const uids = ['theirs-1', 'abcdefghijkl', 'abcdefghijkl-x', 'abcdefghijkl-1-1', ''];
    for (const uid of uids) expect(nameIn(headersOf({ uid, count: 1 }))).toBeUndefined();
    for (const count of [0, 1_001, 9_999, 10_000, -1, 1.5, Number.NaN]) {
      expect(nameIn(headersOf({ uid: 'abcdefghijkl-7', count }))).toBeUndefined();
    }
    expect(nameIn(undefined)).toBeUndefined();
  });
});
