import { describe, expect, it } from '@jest/globals';

import { formatCursor } from '../../src/protocol/cursor.js';
import { Checker } from './checker.js';
import type { ReceivedEvent } from './readers/event-stream.js';

const at = (ms: number, seq: number): string => formatCursor('e1', { ms, seq });

function faultsOf(...received: (Partial<ReceivedEvent> & { lastEventId: string })[]): string[] {
  const checker = new Checker();
  for (let n = 0; n < 4; n++) checker.recordPublished(at(100 + n, n + 1), 't', n);
  return checker.faultsOf(['t'], received as ReceivedEvent[]);
}

/** The same where the odd ones are of another topic. */
function faultsOfTwo(topics: readonly string[], ...received: ReceivedEvent[]): string[] {
  const checker = new Checker();
  for (let n = 0; n < 4; n++) checker.recordPublished(at(100 + n, n + 1), topicOf(n), n);
  return checker.faultsOf(topics, received);
}

const topicOf = (n: number): string => (n % 2 === 0 ? 't' : 'u');

const opened = { event: 'sse.open', data: '{}', lastEventId: at(0, 0) };
const event = (n: number, topic = 't') => ({
  event: 'n',
  data: JSON.stringify({ topic, n }),
  lastEventId: at(100 + n, n + 1),
});
const ofEither = (n: number) => event(n, topicOf(n));
const reset = (lastEventId: string, topic = 't') => ({
  event: 'sse.reset',
  data: JSON.stringify({ reason: 'slow', topics: [topic] }),
  lastEventId,
});

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

  it('notices a client that got nothing at all, and events in front of sse.open', () => {
    expect(faultsOf()).toEqual(['begins with nothing', 't: never arrived: publication 0 and what follows']);
    expect(faultsOf(event(0), opened, event(1), event(2), event(3))).toContain('begins with n');
  });

  it('takes a reconnect for what it is: the client goes on where it was', () => {
    const again = { ...opened, lastEventId: at(101, 2) };
    expect(faultsOf(opened, event(0), event(1), again, event(2), event(3))).toEqual([]);
    expect(faultsOf(opened, event(0), again, event(2), event(3))).toEqual(['t: expected publication 1, got 2']);
    expect(faultsOf(opened, event(0), event(1), again, event(1), event(2), event(3))).toContain(
      't: publication 1 came after 1',
    );
  });

  it('notices the wrong order, over topics too', () => {
    expect(faultsOfTwo(['t', 'u'], opened, ...[0, 1, 2, 3].map(ofEither))).toEqual([]);
    expect(faultsOfTwo(['t', 'u'], opened, ...[1, 0, 2, 3].map(ofEither))).toContain('t: publication 0 came after 1');
  });

  it('notices a cursor that claims what neither came nor was told, although the loss is told later', () => {
    const claims = `t: ${at(101, 2)} claims publication 0, which neither came nor was told as lost`;
    expect(faultsOfTwo(['t', 'u'], opened, ofEither(1), reset(at(101, 2)), ...[2, 3].map(ofEither))).toEqual([claims]);
    expect(faultsOfTwo(['t', 'u'], opened, reset(at(100, 1)), ...[1, 2, 3].map(ofEither))).toEqual([]);
    expect(faultsOfTwo(['t', 'u'], opened, reset(at(101, 2), 'u'), ...[2, 3].map(ofEither))).toContain(claims);
  });

  it('accepts that a loss is told before what comes of other topics, once', () => {
    expect(faultsOfTwo(['t', 'u'], opened, reset(at(0, 0)), ofEither(1), ofEither(2), ofEither(3))).toEqual([]);
    expect(faultsOfTwo(['t', 'u'], opened, reset(at(0, 0), 'u'), ofEither(0), ofEither(2))).toEqual([]);
    expect(faultsOfTwo(['t', 'u'], opened, reset(at(0, 0)), ofEither(0), ofEither(1), ofEither(3))).toHaveLength(2);
  });

  it('notices what is of a topic that the client does not follow, losses that it is told of included', () => {
    expect(faultsOfTwo(['t'], opened, ...[0, 2].map(ofEither))).toEqual([]);
    expect(faultsOfTwo(['t'], opened, ...[0, 1, 2].map(ofEither))).toEqual([
      'u: expected publication undefined, got 1',
    ]);
    expect(faultsOfTwo(['t'], opened, ofEither(0), reset(at(100, 1), 'u'), ...[1, 2].map(ofEither))).toEqual([
      'u: told of a loss, and not followed',
      'u: expected publication undefined, got 1',
    ]);
  });

  it('notices data that are not those of the publication', () => {
    expect(faultsOf(opened, event(0), { ...event(1), data: '{"topic":"t","n":7}' }, event(2), event(3))).toEqual([
      'not what was published: {"topic":"t","n":7}',
    ]);
  });
});
