import { describe, expect, it, jest } from '@jest/globals';

import { EventLog } from '../../src/log/event-log.js';
import { Publication } from '../../src/log/publication.js';
import { formatCursor, ORIGIN, type Position } from '../../src/protocol/cursor.js';
import type { EventEntry } from '../../src/protocol/entry.js';
import { pick, seededRandom } from '../support/seed.js';

interface Limits {
  readonly maxSize?: number;
  readonly maxAge?: number;
  readonly maxBytes?: number;
}

class Fixture {
  readonly log: EventLog;
  #n = 0;

  constructor({ maxSize = Infinity, maxAge = Infinity, maxBytes = Infinity }: Limits = {}) {
    this.log = new EventLog({ retentionOf: () => ({ maxSize, maxAge }), maxBytes });
    this.log.begin('epoch', ORIGIN);
  }

  /** Appends an event and answers with its position. */
  add(topic: string | undefined, fields: Partial<EventEntry> = {}): Position {
    const position = { ms: 1_000 + ++this.#n * 10, seq: 0 };
    const entry: EventEntry = { kind: 'event', topic, data: String(this.#n), timestamp: '', ...fields };
    this.log.append(position, new Publication(entry, position, 'epoch'));
    return position;
  }

  /** The data of what is retained. */
  get retained(): string[] {
    const { log } = this;
    const data: string[] = [];
    for (let i = log.nextItem(log.start); i < log.head; i = log.nextItem(i + 1)) {
      const item = log.itemAt(i);
      if (item instanceof Publication) data.push(item.entry.data);
    }
    return data;
  }
}

describe('EventLog', () => {
  it('keeps what is within the limits of each topic, and remembers what it has let go of', () => {
    const fixture = new Fixture({ maxSize: 2 });
    const positions = ['a', 'a', 'b', 'a', 'a'].map((topic) => fixture.add(topic));
    fixture.log.prune(fixture.log.head);
    expect(fixture.retained).toEqual(['3', '4', '5']);
    expect(fixture.log.floorOf('a')).toMatchObject({ index: 1, position: positions[1] });
    expect(fixture.log.floorOf('b').index).toBe(-1);
  });

  it('does not let go of what somebody who keeps up still needs', () => {
    const fixture = new Fixture({ maxSize: 1 });
    for (let i = 0; i < 5; i++) fixture.add('a');
    fixture.log.prune(2);
    expect(fixture.retained).toEqual(['3', '4', '5']);
    fixture.log.prune(fixture.log.head);
    expect(fixture.retained).toEqual(['5']);
  });

  it('lets go of much that has grown old in several steps, of all of it in the end', () => {
    let now = 0;
    const clock = jest.spyOn(performance, 'now').mockImplementation(() => ++now);
    const fixture = new Fixture({ maxAge: 60_000 });
    for (let i = 0; i < 1_000; i++) fixture.add(`topic ${i}`);
    now += 600_000;
    const left: number[] = [];
    while (!fixture.log.prune(fixture.log.head)) left.push(fixture.log.events);
    clock.mockRestore();
    expect(left.length).toBeGreaterThan(2);
    expect(left).toEqual(left.toSorted((a, b) => b - a));
    expect(fixture.log.events).toBe(0);
    expect(fixture.log.historyOf('topic 0')).toBeUndefined();
    expect(fixture.log.floorOf('topic 0').index).toBe(999);
  });

  it('with a size of 0 keeps nothing beyond the turn, and still knows where it is', () => {
    const fixture = new Fixture({ maxSize: 0 });
    const first = fixture.add('a');
    const second = fixture.add('a');
    fixture.log.prune(fixture.log.head);
    expect(fixture.retained).toEqual([]);
    expect(fixture.log.locate(second)).toEqual({ at: 'window', index: 2 });
    expect(fixture.log.locate(first)).toEqual({ at: 'before' });
    expect(fixture.log.cursorBefore(fixture.log.head)).toBe(formatCursor('epoch', second));
  });

  it('tells evicted from never existed as long as an older entry is retained', () => {
    const fixture = new Fixture({ maxSize: 1 });
    const old = fixture.add('quiet');
    const evicted = fixture.add('busy');
    const newest = fixture.add('busy');
    fixture.log.prune(fixture.log.head);
    expect(fixture.retained).toEqual(['1', '3']);
    expect(fixture.log.locate(old)).toEqual({ at: 'window', index: 1 });
    expect(fixture.log.locate(evicted)).toEqual({ at: 'window', index: 2 });
    expect(fixture.log.locate({ ...evicted, seq: 7 })).toEqual({ at: 'diverged' });
    expect(fixture.log.locate({ ms: newest.ms + 1, seq: 0 })).toEqual({ at: 'ahead' });
  });

  it('the floor of a topic that nobody holds any more counts for all topics without a history of their own', () => {
    const fixture = new Fixture({ maxSize: 1 });
    fixture.log.hold('held');
    fixture.add('topic');
    fixture.add('topic');
    fixture.log.prune(fixture.log.head);
    expect(fixture.log.floorOf('topic').index).toBe(0);
    expect(fixture.log.floorOf('another').index).toBe(-1);

    const bytes = new Fixture({ maxBytes: 600 });
    bytes.log.hold('held');
    bytes.add('gone');
    const gone = bytes.add('gone');
    bytes.add('kept');
    expect(bytes.retained).toEqual(['3']);
    expect(bytes.log.floorOf('never heard of')).toMatchObject({ index: 1, position: gone });
    expect(bytes.log.floorOf('held').index).toBe(-1);
    expect(bytes.log.floorOfMatching((topic) => topic === 'kept').index).toBe(1);
  });

  it('lets the oldest go, of whatever topic, to stay within the bytes', () => {
    const fixture = new Fixture({ maxBytes: 10_000 });
    for (let i = 0; i < 200; i++) {
      fixture.add(i % 7 === 0 ? 'a' : 'b', { data: 'x'.repeat(200) });
      expect(fixture.log.bytes).toBeLessThanOrEqual(10_000);
    }
    expect(fixture.log.events).toBeGreaterThan(3);
    expect(fixture.log.head).toBe(200);
  });

  it('keeps the newest entry, whatever its size', () => {
    const fixture = new Fixture({ maxBytes: 10_000 });
    fixture.add('a');
    fixture.add('a', { data: 'x'.repeat(20_000) });
    expect(fixture.log.events).toBe(1);
    expect(fixture.log.itemAt(1)).toBeDefined();
    fixture.add('a');
    expect(fixture.log.bytes).toBeLessThanOrEqual(10_000);
  });

  it('counts the positions of evicted entries, too', () => {
    const fixture = new Fixture({ maxSize: 1, maxBytes: 100_000 });
    fixture.add('quiet');
    for (let i = 0; i < 20_000; i++) {
      fixture.add('busy');
      fixture.log.prune(fixture.log.head);
    }
    expect(fixture.log.bytes).toBeLessThanOrEqual(100_000);
    expect(fixture.retained).toEqual(['20001']);
  });

  it('finds places by time, and events by the ids of the application', () => {
    const fixture = new Fixture({ maxSize: 3 });
    const positions = ['x', 'y', 'x', 'z'].map((id) => fixture.add('a', { id }));
    expect(fixture.log.indexAtTime(positions[1]!.ms)).toBe(1);
    expect(fixture.log.indexAtTime(positions[1]!.ms, true)).toBe(2);
    expect(fixture.log.indexAtTime(0)).toBe(0);
    expect(fixture.log.indexAtTime(Infinity)).toBe(4);
    expect(fixture.log.usesOfId('x')).toEqual({ retained: [0, 2], gone: undefined });
    fixture.log.prune(fixture.log.head);
    expect(fixture.log.usesOfId('x')).toEqual({ retained: [2], gone: { index: 0, topic: 'a' } });
    expect(fixture.log.usesOfId('nobody')).toEqual({ retained: [], gone: undefined });
  });

  it('remembers one event for each id that it has let go of, as long as it has another one', () => {
    const fixture = new Fixture({ maxSize: 1 });
    const add = (topic: string | undefined, id: string): void => {
      fixture.add(topic, { id });
      fixture.log.prune(fixture.log.head);
    };
    for (let i = 0; i < 100; i++) add('a', 'x');
    expect(fixture.log.usesOfId('x')).toEqual({ retained: [99], gone: { index: 0, topic: 'a' } });
    add('b', 'x');
    add('b', 'y');
    expect(fixture.log.usesOfId('x')).toEqual({ retained: [99], gone: { index: 0, topic: undefined } });
    add('a', 'y');
    expect(fixture.log.usesOfId('x')).toEqual({ retained: [], gone: undefined });
  });

  it('finds the next item of some topics, whatever lies between and whatever is gone', () => {
    const random = seededRandom();
    const topics = ['a', 'b', 'c', 'd', undefined];
    const fixture = new Fixture({ maxSize: 20 });
    const { log } = fixture;
    for (let i = 0; i < 300; i++) {
      fixture.add(pick(random, topics));
      if (i % 50 === 0) log.prune(log.head);
    }
    const followed = new Set(['b', 'd', 'nobody']);
    const isFollowed = (topic: string | undefined): boolean => topic === undefined || followed.has(topic);
    for (let index = log.start; index <= log.head; index++) {
      let expected = log.nextItem(index);
      while (expected < log.head && !isFollowed(log.itemAt(expected)!.topic)) expected = log.nextItem(expected + 1);
      expect(log.nextItemOf(followed, index)).toBe(expected);
    }
  });

  it('a hole empties the window, and is a loss for every topic', () => {
    const fixture = new Fixture();
    fixture.log.hold('held');
    fixture.add('a');
    const before = fixture.add('held');
    const previous = { ms: before.ms + 5, seq: 0 };
    fixture.log.hole(previous);
    fixture.add('a');
    expect(fixture.retained).toEqual(['3']);
    for (const topic of ['a', 'held', 'new', undefined]) {
      expect(fixture.log.floorOf(topic)).toMatchObject({ index: 2, position: previous });
    }
    expect(fixture.log.locate(before)).toEqual({ at: 'before' });
  });

  it('another life begins empty; indexes go on', () => {
    const fixture = new Fixture();
    fixture.log.hold('held');
    const old = fixture.add('a');
    fixture.log.begin('second', { ms: 5_000, seq: 0 });
    expect(fixture.log).toMatchObject({ epoch: 'second', events: 0, start: 1, head: 1 });
    expect(fixture.log.locate(old)).toEqual({ at: 'before' });
    expect(fixture.log.floorOf('held').position).toEqual({ ms: 5_000, seq: 0 });
    fixture.log.release('held');
    expect(fixture.log.historyOf('held')).toBeUndefined();
  });
});
