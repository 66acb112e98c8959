import { describe, expect, it } from '@jest/globals';

import { formatCursor } from '../../src/protocol/cursor.js';
import { Checker } from './checker.js';
import type { ReceivedEvent } from './event-stream.js';

const at = (ms: number, seq: number): string => formatCursor('e1', { ms, seq });

function faultsOf(...received: (Partial<ReceivedEvent> & { lastEventId: string })[]): string[] {
  const checker = new Checker();
  for (let n = 0; n < 4; n++) checker.recordPublished(at(100 + n, n + 1), 't', n);
  return checker.faultsOf(['t'], received as ReceivedEvent[]);
}

const opened = { event: 'sse.open', data: '{}', lastEventId: at(0, 0) };
const event = (n: number) => ({
  event: 'n',
  data: JSON.stringify({ topic: 't', n }),
  lastEventId: at(100 + n, n + 1),
});
const reset = (lastEventId: string) => ({ event: 'sse.reset', data: '{"reason":"slow","topics":["t"]}', lastEventId });

describe('the checker of fault tests', () => {
  it('has nothing to say where all came once and in order', () => {
    expect(faultsOf(opened, event(0), event(1), event(2), event(3))).toEqual([]);
  });

  it('notices what is missing, at the end too', () => {
    expect(faultsOf(opened, event(0), event(2), event(3))).toEqual(['t: expected publication 1, got 2']);
    expect(faultsOf(opened, event(0))).toEqual(['t: never arrived: publication 1 and what follows']);
  });

  it('notices what comes twice', () => {
    expect(faultsOf(opened, event(0), event(0), event(1), event(2), event(3))).toEqual([
      't: expected publication 1, got 0',
      't: publication 0 came after 0',
    ]);
  });

  it('accepts what a reset speaks for, whether or not its position is one of a publication', () => {
    expect(faultsOf(opened, event(0), reset(at(101, 2)), event(2), event(3))).toEqual([]);
    expect(faultsOf(opened, event(0), reset(at(102, 2)), event(2), event(3))).toEqual([]);
  });

  it('accepts no more than that', () => {
    expect(faultsOf(opened, event(0), reset(at(101, 2)), event(3))).toEqual(['t: expected publication 2, got 3']);
    expect(faultsOf(opened, event(0), reset(at(102, 2)), event(3))).toEqual(['t: expected publication 2, got 3']);
  });
});
