import { describe, expect, it } from '@jest/globals';

import { entriesIn, type Evidence, judge, readEntry } from '../../src/backplane/redis/entry.js';
import { parseId } from '../../src/backplane/redis/keys.js';

const SINCE = '100-0';
const LAST = '200-7';
const PRESENT = { epoch: 'now', since: parseId(SINCE)! };

/** What is made of an entry that claims this, where the epoch `now` began at 100-0, and 200-7 was read last. */
function verdict(
  {
    at = '300-1',
    after = LAST,
    epoch = 'now',
    count = 1,
  }: { at?: string; after?: string; epoch?: string; count?: number },
  evidence?: Evidence,
  last: string | undefined = LAST,
) {
  const place = { position: parseId(at)!, previous: parseId(after)!, epoch, count };
  return judge(place, { ...PRESENT, last: last === undefined ? undefined : parseId(last) }, evidence);
}

const evidence = (isOurs: boolean, hasLast: boolean): Evidence => ({ isOurs, hasLast });

describe('an entry in the stream of the log', () => {
  it('follows the last one when it says so', () => {
    expect(verdict({})).toBe('next');
  });

  it('is none of ours when it claims to come before its predecessor, or before itself', () => {
    for (const after of ['300-1', '300-2', '9999999999999-0']) expect(verdict({ after })).toBe('foreign');
  });

  it('is none of ours when it claims to have more entries than there is room for', () => {
    expect(verdict({ at: '300-9', count: 10 })).toBe('next');
    expect(verdict({ at: '200-17', count: 10 })).toBe('next');
    expect(verdict({ at: '200-16', count: 10 })).toBe('foreign');
  });

  it('is none of ours when it is of another epoch, but was added in this one', () => {
    expect(verdict({ epoch: 'other' })).toBe('foreign');
    expect(verdict({ at: '100-1', after: '50-0', epoch: 'other' }, undefined, '50-0')).toBe('foreign');
  });

  it('may be of any epoch from before this one', () => {
    expect(verdict({ at: SINCE, after: '50-0', epoch: 'other' }, undefined, '50-0')).toBe('next');
  });

  for (const [claim, after] of [
    ['something before the last one', '199-0'],
    ['nothing', '0-0'],
    ['something that was never read', '250-0'],
  ] as const) {
    it(`takes evidence when it claims to follow ${claim}, and is passed over when the log does not name it`, () => {
      expect(verdict({ after })).toBe('doubtful');
      for (const hasLast of [true, false]) expect(verdict({ after }, evidence(false, hasLast))).toBe('foreign');
    });
  }

  it('takes evidence when it is the first, and then begins behind its predecessor', () => {
    expect(judgeFirst()).toBe('doubtful');
    expect(judgeFirst(evidence(true, true))).toBe('hole');
    expect(judgeFirst(evidence(false, true))).toBe('foreign');
  });

  it('has a hole before it when the log has it, and it follows something that was never read', () => {
    for (const hasLast of [true, false]) expect(verdict({ after: '250-0' }, evidence(true, hasLast))).toBe('hole');
  });

  it('proves that the log is another one only when what was read last is gone', () => {
    expect(verdict({ after: '199-0' }, evidence(true, false))).toBe('lost');
    expect(verdict({ after: '199-0' }, evidence(true, true))).toBe('next');
  });

  it('has its places, whatever is in it that cannot be read', () => {
    const close = { kind: 'close', topic: 't' };
    const large = { ...close, more: 'x'.repeat(1_024) };
    const text = JSON.stringify([1, close, {}, large, close]);
    const place = { position: { ms: 300, seq: 4 }, previous: { ms: 200, seq: 7 }, epoch: 'now', count: 4 };
    const read = readEntry('300-4', ['e', 'now', 'p', LAST, 'n', '4', 'd', text])!;
    expect(read).toEqual({ ...place, text });
    expect(entriesIn(read, 1_024)).toEqual([close, undefined, undefined, close]);
    expect(entriesIn(read, 100_000)).toEqual([close, undefined, large, close]);

    for (const unreadable of ['', '{', 'null', '[]', '[1]', JSON.stringify([1, close]), text.replace('[1', '[2')]) {
      expect(entriesIn({ ...read, text: unreadable }, 1_024)).toEqual(Array(4).fill(undefined));
    }
    expect(entriesIn({ ...read, count: 1, text: JSON.stringify([1, large]) }, 1_024)).toEqual([undefined]);
  });

  it('is none of ours when it lacks a field, or has a place beyond exact numbers', () => {
    const fields = { e: 'now', p: LAST, n: '1', d: '[1,{}]' };
    const read = (change: object, id = '300-1') => readEntry(id, Object.entries({ ...fields, ...change }).flat());
    expect(read({})).toBeDefined();
    for (const name of Object.keys(fields)) {
      const others = Object.entries(fields).filter(([field]) => field !== name);
      expect(readEntry('300-1', others.flat())).toBeUndefined();
    }
    for (const change of [{ p: 'x' }, { n: '0' }, { n: '1.5' }, { n: 'x' }, { n: '1001' }]) {
      expect(read(change)).toBeUndefined();
    }
    expect(read({}, '9007199254740993-0')).toBeUndefined();
    expect(read({ n: '2' })).toBeDefined();
    expect(read({ n: '3' })).toBeUndefined();
  });
});

function judgeFirst(given?: Evidence) {
  const place = { position: parseId('300-1')!, previous: parseId('200-7')!, epoch: 'now', count: 1 };
  return judge(place, { ...PRESENT, last: undefined }, given);
}
