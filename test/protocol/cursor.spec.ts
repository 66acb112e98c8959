import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import {
  comparePositions,
  formatCursor,
  MAX_CURSOR_BYTES,
  ORIGIN,
  parseCursor,
  TERMINAL_CURSOR,
  withInitialDue,
} from '../../src/protocol/cursor.js';
import { seed } from '../support/seed.js';

const epoch = fc.stringMatching(/^[0-9a-z._]{1,64}$/);
const position = fc.record({ ms: fc.maxSafeNat(), seq: fc.maxSafeNat() });

describe('a cursor', () => {
  it('names the epoch, the milliseconds and the sequence', () => {
    expect(formatCursor('k3', { ms: 36, seq: 35 })).toBe('1~k3~10-z');
    expect(parseCursor('1~k3~10-z')).toEqual({ epoch: 'k3', position: { ms: 36, seq: 35 } });
  });

  it('is read back as it was written', () => {
    fc.assert(
      fc.property(epoch, position, (epoch, position) => {
        expect(parseCursor(formatCursor(epoch, position))).toEqual({ epoch, position });
      }),
      { seed },
    );
  });

  it('says at its end that initial events are due', () => {
    fc.assert(
      fc.property(epoch, position, fc.boolean(), (epoch, position, due) => {
        const cursor = withInitialDue(formatCursor(epoch, position), due);
        expect(parseCursor(cursor)).toEqual({ epoch, position, ...(due && { initialDue: true }) });
        expect(withInitialDue(cursor, true)).toBe(`${formatCursor(epoch, position)}~i`);
        expect(withInitialDue(cursor, false)).toBe(formatCursor(epoch, position));
      }),
      { seed },
    );
  });

  it('is short, and holds only characters that are safe in headers and URLs', () => {
    fc.assert(
      fc.property(epoch, position, (epoch, position) => {
        const cursor = withInitialDue(formatCursor(epoch, position), true);
        expect(cursor).toMatch(/^[0-9a-z~._-]+$/);
        expect(cursor.length).toBeLessThanOrEqual(MAX_CURSOR_BYTES);
        expect(encodeURIComponent(cursor)).toBe(cursor);
        expect(new Headers({ 'last-event-id': cursor }).get('last-event-id')).toBe(cursor);
      }),
      { seed },
    );
  });

  it.each([
    '',
    '17',
    '-1',
    'null',
    '*',
    '$',
    '1~',
    TERMINAL_CURSOR,
    '1~e',
    '1~e~1',
    '1~e~1-',
    '1~e~-1-1',
    '1~e~1-1 ',
    ' 1~e~1-1',
    '1~e~1-1\n',
    '1~e~1-1~x',
    '2~e~1-1',
    '1~~1-1',
    '1~E~1-1',
    '1~é~1-1',
    '1~e~1.5-1',
    '1~e~0x1-1 ',
    `1~${'e'.repeat(65)}~1-1`,
    `1~e~${'0'.repeat(12)}-1`,
    '1~e~2gosa7pa2gw-0', // 2^53
    '1~e~0-zzzzzzzzzzz',
    `1~e~${'1'.repeat(15_000)}-1`,
  ])('is not %j', (text) => {
    expect(parseCursor(text)).toBeUndefined();
  });

  it('is refused or read from any text, without an exception', () => {
    fc.assert(
      fc.property(
        fc.oneof(
          fc.string({ unit: 'binary' }),
          fc.string().map((rest) => `1~e~${rest}`),
        ),
        (text) => {
          const cursor = parseCursor(text);
          if (cursor) expect(Number.isSafeInteger(cursor.position.ms + cursor.position.seq)).toBe(true);
        },
      ),
      { seed, numRuns: 1_000 },
    );
  });
});

describe('comparePositions', () => {
  it('goes by milliseconds, then by sequence', () => {
    const positions = [{ ms: 2, seq: 0 }, { ms: 1, seq: 1 }, ORIGIN, { ms: 1, seq: 0 }];
    expect(positions.toSorted(comparePositions)).toEqual([
      ORIGIN,
      { ms: 1, seq: 0 },
      { ms: 1, seq: 1 },
      { ms: 2, seq: 0 },
    ]);
  });

  it('is a total order', () => {
    fc.assert(
      fc.property(position, position, (a, b) => {
        expect(Math.sign(comparePositions(a, b)) + Math.sign(comparePositions(b, a))).toBe(0);
        expect(comparePositions(a, b) === 0).toBe(a.ms === b.ms && a.seq === b.seq);
        expect(comparePositions(ORIGIN, a)).toBeLessThanOrEqual(0);
      }),
      { seed },
    );
  });
});
