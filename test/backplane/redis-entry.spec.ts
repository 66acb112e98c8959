import { describe, expect, it } from '@jest/globals';

import { type Evidence, judge, readEntry } from '../../src/backplane/redis/entry.js';
import { parseId } from '../../src/backplane/redis/keys.js';

const SINCE = '100-0';
const LAST = '200-7';
const PRESENT = { epoch: 'now', since: parseId(SINCE)! };

/** What is made of an entry that claims this, where the epoch `now` began at 100-0, and 200-7 was read last. */
function verdict(
  { at = '300-1', after = LAST, epoch = 'now' }: { at?: string; after?: string; epoch?: string },
  evidence?: Evidence,
  last: string | undefined = LAST,
) {
  const place = { position: parseId(at)!, previous: parseId(after)!, epoch };
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

  it('has its place, whatever is in it that cannot be read', () => {
    const fields = (text: string): string[] => ['e', 'now', 'p', LAST, 'd', text];
    const place = { position: { ms: 300, seq: 1 }, previous: { ms: 200, seq: 7 }, epoch: 'now' };
    const close = { kind: 'close', topic: 't' };
    expect(readEntry('300-1', fields(JSON.stringify(close)), 1_024)).toEqual({ ...place, entry: close });
    for (const text of [
      '',
      '{',
      '[]',
      'null',
      '{"kind":"close"}',
      JSON.stringify({ ...close, more: 'x'.repeat(1_024) }),
    ]) {
      expect(readEntry('300-1', fields(text), 1_024)).toEqual({ ...place, entry: undefined });
    }
  });

  it('is none of ours when it lacks a field, or has a place beyond exact numbers', () => {
    for (const name of ['e', 'p', 'd']) {
      const fields = [
        ['e', 'now'],
        ['p', LAST],
        ['d', '{}'],
      ]
        .filter(([field]) => field !== name)
        .flat();
      expect(readEntry('300-1', fields, 1_024)).toBeUndefined();
    }
    expect(readEntry('300-1', ['e', 'now', 'p', 'x', 'd', '{}'], 1_024)).toBeUndefined();
    expect(readEntry('9007199254740993-0', ['e', 'now', 'p', LAST, 'd', '{}'], 1_024)).toBeUndefined();
  });
});

function judgeFirst(given?: Evidence) {
  const place = { position: parseId('300-1')!, previous: parseId('200-7')!, epoch: 'now' };
  return judge(place, { ...PRESENT, last: undefined }, given);
}
