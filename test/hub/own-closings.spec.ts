import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { type Cursor, type Entry, MemoryBackplane, SSEService } from 'nestjs-sse-hub';

import { OwnClosings } from '../../src/hub/own-closings.js';
import { EventLog } from '../../src/log/event-log.js';
import { TestHub, turn } from '../support/test-hub.js';

/** A log in memory that takes nothing while it is away: then the test says what becomes of an entry. */
class AwayBackplane extends MemoryBackplane {
  away = false;
  readonly refuse: (() => void)[] = [];

  override append(entry: Entry): Promise<Cursor> {
    if (!this.away) return super.append(entry);
    return new Promise((_, reject) => this.refuse.push(() => reject(new Error('The broker is away.'))));
  }
}

let backplane: AwayBackplane;
let sse: SSEService;

beforeEach(() => {
  Logger.overrideLogger(false);
  backplane = new AwayBackplane();
  sse = new SSEService({ backplane });
});

afterEach(() => sse.shutdown());

function outcomeOf(act: () => void): string {
  try {
    act();
    return 'published';
  } catch (error) {
    return (error as { code: string }).code;
  }
}

const publish = (): string => outcomeOf(() => sse.broadcast('t', 'n', 'x'));

describe('a topic that this node has closed or opened', () => {
  it('is so for its publishers before that is read, as in an observer', () => {
    const outcomes: string[] = [];
    const seen: unknown[] = [];
    sse.observe('t').subscribe(({ data }) => seen.push(data));
    sse.observe('go').subscribe(() => {
      sse.closeTopic('t');
      outcomes.push(publish());
      sse.openTopic('t');
      outcomes.push(publish());
      sse.closeTopic('t');
      sse.closeTopic('t');
      outcomes.push(publish());
    });
    sse.broadcast('go', 'n', 1);
    expect(outcomes).toEqual(['TOPIC_CLOSED', 'published', 'TOPIC_CLOSED']);
    expect(seen).toEqual(['x']);
    expect(publish()).toBe('TOPIC_CLOSED');
  });

  it('tells clients once, however many close it', async () => {
    const types: (string | undefined)[] = [];
    sse.stream(['t', 'go']).subscribe(({ type }) => types.push(type));
    for (let i = 0; i < 2; i++) sse.observe('go').subscribe(() => sse.closeTopic('t'));
    sse.broadcast('go', 'n', 1);
    sse.closeTopic('t');
    await turn();
    expect(types).toEqual(['sse.open', 'n', 'sse.closed']);
  });

  it('is as it was when the log does not take it', async () => {
    backplane.away = true;
    sse.closeTopic('t');
    expect(publish()).toBe('TOPIC_CLOSED');
    sse.openTopic('t');
    expect(publish()).toBe('published');
    const [close, open] = backplane.refuse;
    open!();
    await turn();
    expect(publish()).toBe('TOPIC_CLOSED');
    close!();
    await turn();
    expect(publish()).toBe('published');
  });

  it('is what the log says when both are read', async () => {
    const other = await new SSEService({ backplane }).start();
    sse.closeTopic('t');
    await turn();
    other.openTopic('t');
    expect(publish()).toBe('published');
    other.closeTopic('t');
    expect(publish()).toBe('TOPIC_CLOSED');
    await other.shutdown();
  });

  it('is remembered beside the log until it is read, or cannot be any more', async () => {
    const log = new EventLog({ retentionOf: () => ({ maxSize: 1, maxAge: Infinity }), maxBytes: Infinity });
    const marks = new OwnClosings(log);
    const at = (ms: number, epoch = 'e1'): Promise<Cursor> => Promise.resolve({ epoch, position: { ms, seq: 0 } });
    marks.note({ kind: 'close', topic: 'a' }, at(1));
    marks.note({ kind: 'close', topic: 'b' }, at(2));
    await turn();
    log.begin('e1', { ms: 1, seq: 0 });
    expect([marks.latest('a'), marks.latest('b')]).toEqual([undefined, 'close']);
    marks.forgetRead();
    expect(marks.size).toBe(1);
    log.begin('e2', { ms: 0, seq: 0 });
    expect(marks.latest('b')).toBeUndefined();
    marks.note({ kind: 'open', topic: 'c' }, at(1, 'e2'));
    await turn();
    marks.forgetRead();
    expect([marks.size, marks.latest('c')]).toEqual([1, 'open']);
    log.append({ ms: 2, seq: 0 }, undefined);
    marks.forgetRead();
    expect(marks.size).toBe(0);
  });
});

describe('a topic that is opened once more', () => {
  it('goes on with the life that it has', async () => {
    const test = new TestHub();
    const mark = (kind: 'close' | 'open'): void => void test.hub.publisher.append({ kind, topic: 't' }, 'queue');
    test.publish('t', 'of the first life');
    mark('close');
    mark('open');
    test.publish('t', '1');
    mark('open');
    test.publish('t', '2');
    const { transport } = await test.open({ topics: ['t'], since: 0 });
    expect(transport.lines).toEqual(['open none', '1', '2']);
  });
});
