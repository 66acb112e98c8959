import { setTimeout as delay } from 'node:timers/promises';

import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { firstValueFrom, Subject } from 'rxjs';

import type { LogListener } from '../../src/backplane/backplane.js';
import { topicPattern } from '../../src/hub/topics/topic-pattern.js';
import { ORIGIN, type Position } from '../../src/protocol/cursor.js';
import type { SSEEvent } from '../../src/protocol/event.js';
import { FakeTransport } from '../support/fake-transport.js';
import { type Connection, event, StandingClock, TestHub, TestLog, turn } from '../support/test-hub.js';
import { WindowLog } from '../support/window-log.js';

let clock: StandingClock;

beforeEach(() => {
  clock = new StandingClock();
});

afterEach(() => {
  jest.restoreAllMocks();
});

/** Lets everything through, and calls `act` when it sees "go". */
function onGo(act: () => void): (seen: SSEEvent) => boolean {
  return ({ data }) => {
    if (data === 'go') act();
    return true;
  };
}

/** A hub that has kept the last two of six events on `a`. */
async function trimmed(): Promise<TestHub> {
  const test = new TestHub({ maxHistorySize: 2 });
  test.publish('a', '1', '2', '3', '4', '5', '6');
  await turn();
  return test;
}

/** Each of these on `a`, in a turn of its own. */
async function publishInTurns(test: TestHub, ...data: readonly string[]): Promise<void> {
  for (const text of data) {
    test.publish('a', text);
    await turn();
  }
}

/** The id that the block with this line carries. */
function idOf({ transport }: Connection, line: string): string {
  const block = transport.inFlight[transport.lines.lastIndexOf(line)];
  if (!block?.id) throw new Error(`nothing with an id is ${line}`);
  return block.id;
}

describe('what is gone', () => {
  it('a node that starts later tells clients older than its window that something is gone', async () => {
    const first = new TestHub();
    first.publish('a', '1', '2', '3', '4', '5');
    const late = new TestHub({}, first.log);
    const { transport } = await late.open({ topics: ['a'], lastEventId: first.log.cursors[1]! });
    expect(transport.lines).toEqual(['open reset', 'reset trimmed a']);
  });

  it('an entry that was never read is told to everybody, whatever topic the next one has', async () => {
    const test = new TestHub();
    const u = await test.open({ topics: ['u'] });
    const v = await test.open({ topics: ['v'] });
    test.publish('u', '1');
    await turn();
    test.log.lose();
    test.publish('v', '3');
    await turn(2);
    test.publish('u', '4');
    await turn();
    expect(u.transport.lines).toEqual(['open none', '1', 'reset slow u', '4']);
    expect(v.transport.lines).toEqual(['open none', 'reset slow v', '3']);
  });

  it('an entry that cannot be delivered takes nothing else with it', async () => {
    const test = new TestHub();
    const { transport } = await test.open({ topics: ['a'] });
    await publishInTurns(test, '1', '2');
    void test.hub.publisher.append(event('broken', { topic: 'a', except: [null] as unknown as string[] }), 'queue');
    await publishInTurns(test, '3');
    expect(transport.lines).toEqual(['open none', '1', '2', '3']);
    const back = await test.open({ topics: ['a'], lastEventId: test.log.cursors[0]! });
    expect(back.transport.lines).toEqual(['open full', '2', '3']);
    expect(test.warnings).toEqual([expect.stringMatching(/^Delivery of an entry failed: TypeError/)]);
    expect(test.hub.stats().dropped).toBe(1);
  });

  it('a client that is cut after sse.open comes back to the same loss', async () => {
    const test = await trimmed();
    const first = await test.open({ topics: ['a'], lastEventId: test.log.cursors[0]! });
    const second = await test.open({ topics: ['a'], lastEventId: idOf(first, 'open reset') });
    for (const { transport } of [first, second]) {
      expect(transport.lines).toEqual(['open reset', 'reset trimmed a', '5', '6']);
    }
  });

  it('what initial() sends comes after the loss was told, so that its cursor may be behind it', async () => {
    const test = await trimmed();
    const lastEventId = test.log.cursors[0]!;
    const first = test.connect({ topics: ['a'], lastEventId, initial: () => [event('hello')] });
    await turn(2);
    expect(first.transport.lines).toEqual(['open reset', 'reset trimmed a', 'hello', '5', '6']);
    const second = await test.open({ topics: ['a'], lastEventId: idOf(first, 'hello') });
    expect(second.transport.lines).toEqual(['open full', '5', '6']);
  });

  it('a client without topics keeps its place until it follows something', async () => {
    const test = await trimmed();
    const first = await test.open({ lastEventId: test.log.cursors[0]! });
    const second = await test.open({ lastEventId: idOf(first, 'open full') });
    test.hub.clients.subscribe(second.client.id, 'a', undefined);
    await turn();
    expect(second.transport.lines).toEqual(['open full', 'reset trimmed a', '5', '6']);
  });

  it('a client is given no cursor behind what left the window in the turn in which it came', async () => {
    for (const topics of [[], ['a']]) {
      const test = new TestHub({ maxHistoryBytes: 65_536 });
      test.publish('a', 'before');
      await turn();
      const connection = test.connect({ topics });
      test.publish('a', ...Array.from({ length: 5 }, () => ' '.repeat(20_000)));
      await turn();
      expect(connection.transport.lines[0]).toBe('open none');
      expect(connection.transport.inFlight[0]!.id).toBe(test.log.cursors[0]);
    }
  });

  it('an event to a client without topics does not carry it past what left the window', async () => {
    const test = new TestHub({ maxHistorySize: 2 });
    test.publish('a', '1');
    const first = await test.open({ lastEventId: test.log.cursors[0]! });
    test.publish('a', '2', '3', '4', '5', '6');
    await turn();
    first.client.sendEvent(event('hi'));
    await turn();
    const second = await test.open({ topics: ['a'], lastEventId: idOf(first, 'hi') });
    expect(first.transport.lines).toEqual(['open full', 'hi']);
    expect(second.transport.lines).toEqual(['open reset', 'reset trimmed a', '5', '6']);
  });

  it('an event to a slow client carries it no further than what it got', async () => {
    const test = new TestHub({ maxHistorySize: 2 });
    const slow = await test.open({ topics: ['a'], transport: new FakeTransport({ capacity: 2 }) });
    await publishInTurns(test, '1', '2', '3');
    slow.client.sendEvent(event('private'));
    clock.advance(5_000);
    test.publish('a', '4', '5', '6', '7', '8', '9');
    await turn(2);
    expect(slow.transport.read()).toEqual(['open none', '1']);
    await turn(2);
    expect(slow.transport.lines).toEqual(['reset slow a', 'private', '8', '9']);
    const back = await test.open({ topics: ['a'], lastEventId: idOf(slow, 'private') });
    expect(back.transport.lines).toEqual(['open full', '8', '9']);
  });

  it('is told of every topic before anything behind the first of them, so that a cut in between hides none', async () => {
    const test = new TestHub({ maxHistorySize: 1, history: [{ topics: 'y', maxSize: 100 }] });
    const topics = ['w', 'x', 'y'];
    test.publish('y', 'y0');
    test.publish('w', 'w1', 'w2');
    test.publish('y', 'y1', 'y2');
    test.publish('x', 'x1', 'x2');
    await turn();
    const first = await test.open({ topics, lastEventId: test.log.cursors[0]! });
    expect(first.transport.lines).toEqual(['open reset', 'reset trimmed w,x', 'w2', 'y1', 'y2', 'x2']);
    expect(first.transport.inFlight[0]!.id).toBe(test.log.cursors[0]);
    const second = await test.open({ topics, lastEventId: idOf(first, 'y1') });
    expect(second.transport.lines).toEqual(['open reset', 'reset trimmed x', 'y2', 'x2']);
  });

  it('is known to whoever comes back behind the reset to a node that has kept more', async () => {
    const log = new TestLog();
    const small = new TestHub({ maxHistorySize: 2 }, log);
    const large = new TestHub({ maxHistorySize: 100 }, log);
    small.publish('busy', '0', '1', '2');
    small.publish('quiet', 'q');
    small.publish('busy', '3', '4', '5', '6');
    await turn();
    const topics = ['busy', 'quiet'];
    const first = await small.open({ topics, lastEventId: log.cursors[0]! });
    expect(first.transport.lines).toEqual(['open reset', 'reset trimmed busy', 'q', '5', '6']);
    const untold = await large.open({ topics, lastEventId: first.transport.inFlight[0]!.id! });
    expect(untold.transport.lines).toEqual(['open full', '1', '2', 'q', '3', '4', '5', '6']);
    const told = await large.open({ topics, lastEventId: idOf(first, 'q') });
    expect(told.transport.lines).toEqual(['open full', '3', '4', '5', '6']);
  });

  it('is told before the end of a topic that was closed, whatever was published to everybody since', async () => {
    for (const toAll of [0, 1, 2, 3]) {
      const test = new TestHub({ maxHistorySize: 2 });
      await test.open({ topics: ['other'] });
      test.publish('run', '0', '1', '2', '3');
      test.close('run');
      await turn();
      for (let i = 0; i < toAll; i++) test.publish(undefined, `all ${i}`);
      await turn();
      const { transport } = await test.open({ topics: ['run'], lastEventId: test.log.cursors[0]! });
      expect(transport.lines.slice(0, 2)).toEqual(['open reset', 'reset trimmed run']);
      expect(transport.lines.at(-1)).toBe('end');
    }
  });

  it('is told to a slow client before the end of its topic', async () => {
    const test = new TestHub({ maxHistorySize: 2 });
    const { transport } = await test.open({ topics: ['a'], transport: new FakeTransport({ capacity: 2 }) });
    await publishInTurns(test, '1', '2', '3');
    clock.advance(5_000);
    test.publish('a', '4', '5', '6');
    test.close('a');
    await turn();
    for (let i = 0; i < 3; i++) test.publish(undefined, `all ${i}`);
    await turn();
    const lines: string[] = [];
    for (let i = 0; i < 10; i++) {
      lines.push(...transport.read());
      await turn();
    }
    expect(lines.slice(0, 3)).toEqual(['open none', '1', 'reset slow a']);
    expect(lines.at(-1)).toBe('end');
  });

  it('is told of a pattern before anything else, so that nobody can come back and name the topic only', async () => {
    const test = new TestHub({ maxHistorySize: 2 });
    test.publish('c:0', 'before');
    test.publish('c:1', '1', '2', '3', '4');
    test.publish('c:2', '5', '6', '7');
    await turn();
    const first = await test.open({ patterns: ['c:*'], lastEventId: test.log.cursors[0]! });
    expect(first.transport.lines).toEqual(['open reset', 'reset trimmed c:*', '3', '4', '6', '7']);
    const cut = await test.open({ topics: ['c:1'], lastEventId: first.transport.inFlight[0]!.id! });
    expect(cut.transport.lines).toEqual(['open reset', 'reset trimmed c:1', '3', '4', 'cursor']);
  });

  it('is told once for a pattern, although what others keep lies between the loss and what follows', async () => {
    const maxAge = 3_600_000;
    const test = new TestHub({
      maxHistoryAge: 1_000,
      history: [{ topics: ['kept', topicPattern('p:*')], maxAge }],
    });
    test.publish('p:1', '1');
    test.publish('kept', 'before');
    test.publish('gone', 'nobody knows what it matched');
    test.publish('kept', 'behind');
    await turn();
    clock.advance(5_000);
    test.hub.turn.prune();
    const first = await test.open({ patterns: ['p:*'], lastEventId: test.log.cursors[0]! });
    expect(first.transport.lines).toEqual(['open reset', 'reset trimmed p:*']);
    const again = await test.open({ patterns: ['p:*'], lastEventId: idOf(first, 'reset trimmed p:*') });
    expect(again.transport.lines).toEqual(['open full']);
  });

  it('is told once to a client that has got everything, although what is retained from before it is held back', async () => {
    for (const exceptGroup of ['g', 'others']) {
      const test = new TestHub({ maxHistorySize: 0, history: [{ topics: 'kept', maxSize: 9 }] });
      test.publish('short', '0');
      void test.hub.publisher.append(event('kept', { topic: 'kept', exceptGroup }), 'queue');
      test.publish('short', '1');
      await turn();
      test.publish('others', '2');
      await turn();
      const asked = { topics: ['short', 'kept'], group: 'g' };
      const first = await test.open({ ...asked, lastEventId: test.log.cursors[0]! });
      const kept = exceptGroup === 'g' ? [] : ['kept'];
      expect(first.transport.lines).toEqual(['open reset', 'reset trimmed short', ...kept, 'cursor']);
      first.transport.cut();
      const again = await test.open({ ...asked, lastEventId: idOf(first, 'cursor') });
      expect(again.transport.lines).toEqual(['open full']);
    }
  });

  it('is told of a topic that is added later before anything of the others, because their cursors claim it', async () => {
    const test = new TestHub();
    test.publish('a', '0');
    test.publish('late', 'missed');
    test.publish('a', '1', '2');
    await turn();
    const { client, transport } = test.connect({
      topics: ['a'],
      lastEventId: test.log.cursors[0]!,
      transport: new FakeTransport({ capacity: 1 }),
    });
    await turn();
    test.hub.clients.subscribe(client.id, 'late', undefined);
    test.close('late');
    expect(transport.read()).toEqual(['open full']);
    await turn(2);
    const lines: string[] = [];
    for (let i = 0; i < 6; i++) {
      lines.push(...transport.read());
      await turn();
    }
    expect(lines).toEqual(['reset late late', '1', '2', 'closed late']);
  });

  it('does not hide from a slow client that wants what is new that one of its topics was closed meanwhile', async () => {
    for (const onGap of ['latest', 'earliest'] as const) {
      const test = new TestHub({ maxHistorySize: 2, maxHistoryBytes: 65_536 });
      const transport = new FakeTransport({ capacity: 2 });
      await test.open({ topics: ['a', 'b'], onGap, transport });
      await publishInTurns(test, '1', '2', '3');
      clock.advance(5_000);
      test.publish('b', 'last');
      test.close('b');
      test.publish('a', ...Array.from({ length: 20 }, (_, i) => `${i}${' '.repeat(5_000)}`));
      await turn();
      const lines: string[] = [];
      for (let i = 0; i < 10; i++) {
        lines.push(...transport.read());
        await turn();
      }
      expect(lines.filter((line) => line === 'closed b')).toHaveLength(1);
      // Behind the reset, a connection that is cut between the two would never hear of it.
      expect(lines[lines.indexOf('closed b') + 1]).toMatch('reset slow');
    }
  });

  it('a topic that is added later says so when its events since the cursor are gone', async () => {
    const test = new TestHub({ maxHistorySize: 0 });
    test.publish('a', '0');
    test.publish('x', 'x1', 'x2', 'x3');
    await turn();
    const { client, transport } = await test.open({ topics: ['a'], lastEventId: test.log.cursors[0]! });
    test.hub.clients.subscribe(client.id, 'x', undefined);
    await turn();
    expect(transport.lines).toEqual(['open reset', 'reset trimmed a', 'reset late x']);
  });

  it('a topic that is added later says so even to a client that missed nothing else', async () => {
    const test = new TestHub({ maxHistorySize: 0 });
    await test.open({ topics: ['a'] });
    test.publish('a', '0');
    test.publish('x', 'x1', 'x2', 'x3');
    await turn();
    const { client, transport } = await test.open({ topics: ['a'], lastEventId: test.log.cursors[0]! });
    test.hub.clients.subscribe(client.id, 'x', undefined);
    await turn();
    test.publish('x', 'new');
    await turn();
    expect(transport.lines).toEqual(['open full', 'reset late x', 'new']);
  });

  it('a topic that is added later says so after a change of the epoch', async () => {
    const test = new TestHub();
    test.publish('x', 'x1', 'x2', 'x3');
    await turn();
    const { client, transport } = await test.open({ topics: ['a'], lastEventId: '1~zzz~1-1' });
    test.hub.clients.subscribe(client.id, 'x', undefined);
    await turn();
    expect(transport.lines).toEqual(['open reset', 'reset epoch a', 'reset late x']);
  });

  it('an id that was given to an event for one client is none of ours', async () => {
    const test = new TestHub();
    test.connect({ topics: ['t'], initial: () => [event('snapshot', { id: 'snapshot' })] });
    await turn(2);
    test.publish('t', '1', '2', '3');
    await turn();
    const back = await test.open({ topics: ['t'], lastEventId: 'snapshot' });
    expect(back.transport.lines).toEqual(['open reset', 'reset foreign t', '1', '2', '3']);
  });

  it('a client that is sent home while it is blocked gets the rest from another node', async () => {
    const log = new TestLog();
    const leaving = new TestHub({ maxHistorySize: 2, drainTimeout: 1 }, log);
    const other = new TestHub({ maxHistorySize: 100 }, log);
    const first = await leaving.open({ topics: ['a'], transport: new FakeTransport({ capacity: 2 }) });
    await publishInTurns(leaving, '1', '2', '3');
    clock.advance(5_000);
    leaving.publish('a', '4', '5', '6', '7', '8', '9');
    await turn();
    void leaving.hub.shutdown();
    await turn();
    expect(first.transport.lines).toEqual(['open none', '1', 'cursor']);
    const second = await other.open({ topics: ['a'], lastEventId: idOf(first, 'cursor') });
    expect(second.transport.lines).toEqual(['open full', '2', '3', '4', '5', '6', '7', '8', '9']);
  });
});

describe('what happens in the middle of a delivery', () => {
  it('a client that is subscribed to more while a turn leaves misses nothing and gets nothing twice', async () => {
    const test = new TestHub();
    const subscribed: string[] = [];
    test.hub.connectionChanges().subscribe(({ type }) => {
      if (type === 'disconnect') for (const id of subscribed) test.hub.clients.subscribe(id, 'c', undefined);
    });
    test.connect({ topics: ['a'], expiresAt: Date.now() + 5 });
    const { client, transport } = test.connect({ topics: ['a', 'b'] });
    subscribed.push(client.id);
    await turn();
    clock.advance(10);
    test.publish('a', '1');
    await turn();
    test.publish('a', '2');
    await turn();
    expect(transport.lines).toEqual(['open none', '1', '2']);
  });

  it('a filter that closes a topic does not make others get the turn twice', async () => {
    const test = new TestHub();
    const { transport } = await test.open({ topics: ['a', 'z'] });
    await test.open({ topics: ['a', 'b'], filter: onGo(() => test.close('z')) });
    test.publish('a', 'go');
    await turn();
    expect(transport.lines).toEqual(['open none', 'go', 'closed z']);
  });

  it('a client that is removed while a turn leaves gets it once', async () => {
    const test = new TestHub();
    const { client, transport } = await test.open({ topics: ['a', 'z'] });
    test.hub.connectionChanges().subscribe((change) => {
      if (change.type === 'disconnect' && change.client.id !== client.id) test.remove(client.id, true);
    });
    await test.open({ topics: ['a'], expiresAt: Date.now() + 5 });
    clock.advance(10);
    test.publish('a', '1');
    await turn();
    expect(transport.lines).toEqual(['open none', '1']);
    expect(client.connected).toBe(false);
  });

  it('a filter may close a topic of its own client', async () => {
    const test = new TestHub();
    const { transport } = await test.open({ topics: ['a', 'b'], filter: onGo(() => test.close('b')) });
    test.publish('a', '1', 'go', '3');
    await turn();
    expect(transport.lines).toEqual(['open none', '1', 'go', '3', 'closed b']);
  });

  it('what a stream that is written to at once publishes while it is replayed to comes after the replay', async () => {
    const test = new TestHub();
    test.publish('a', '1', '2', '3', '4');
    await turn();
    const onBlock = ({ data }: { data?: string | undefined }): void => {
      if (data === '2') test.publish('a', 'live');
    };
    const transport = new FakeTransport({ atOnce: true, onBlock });
    await test.open({ topics: ['a'], transport, lastEventId: test.log.cursors[0]! });
    expect(transport.lines).toEqual(['open full', '2', '3', '4', 'live']);
  });

  it('a filter that removes its own client sees each event once, and nothing more leaves', async () => {
    const test = new TestHub();
    const seen: unknown[] = [];
    const filter = ({ data }: SSEEvent): boolean => {
      seen.push(data);
      if (data === 'go') test.remove('me', true);
      return data !== 'go';
    };
    const { transport } = await test.open({ id: 'me', topics: ['a'], filter });
    test.publish('a', '1', 'go');
    await turn();
    expect(seen).toEqual(['1', 'go']);
    expect(transport.lines).toEqual(['open none']);
    expect(test.warnings).toEqual([]);
  });

  it('pruning in the middle of a turn leaves what it still has to write', async () => {
    const test = new TestHub({ maxHistorySize: 0 });
    const { transport } = await test.open({ topics: ['a'] });
    test.publish('a', '1');
    test.hub.turn.prune();
    await turn();
    expect(transport.lines).toEqual(['open none', '1']);
  });

  it('what a filter publishes arrives without any history', async () => {
    const test = new TestHub({ maxHistorySize: 0 });
    const { transport } = await test.open({ topics: ['a', 'b'] });
    await test.open({ topics: ['a'], filter: onGo(() => test.publish('b', 'from the filter')) });
    test.publish('a', 'go');
    await turn(2);
    expect(transport.lines).toEqual(['open none', 'go', 'from the filter']);
  });

  it('a transport that throws ends its own client only', async () => {
    const test = new TestHub();
    const broken = await test.open({ topics: ['t'], group: 'g' });
    const { transport } = await test.open({ topics: ['t'] });
    broken.transport.failing = true;
    test.publish('t', '1');
    expect(
      () => void test.hub.publisher.append({ kind: 'removeGroup', group: 'g', reconnect: true }, 'queue'),
    ).not.toThrow();
    test.publish('t', '2');
    await turn(2);
    expect(transport.lines).toEqual(['open none', '1', '2']);
    expect(broken.client.connected).toBe(false);
  });
});

describe('a logger that throws', () => {
  it.each([true, false])('stops nothing (at once: %s)', async (atOnce) => {
    const test = new TestHub();
    test.onWarning = () => {
      throw new Error('the disk is full');
    };
    const filter = onGo(() => {
      throw new Error('the filter fails');
    });
    const failing = await test.open({ topics: ['t'], filter, transport: new FakeTransport({ atOnce }) });
    const { transport } = await test.open({ topics: ['t'], transport: new FakeTransport({ atOnce }) });
    test.publish('t', 'go', '2');
    await turn();
    test.publish('t', '3');
    await turn();
    expect(transport.lines).toEqual(['open none', 'go', '2', '3']);
    expect(failing.transport.lines).toEqual(['open none', 'reset filter t']);
    expect(failing.client.connected).toBe(false);
  });
});

describe('what is sent to one client', () => {
  it('keeps its place among the events that came while initial() ran', async () => {
    const test = new TestHub();
    const released = new Subject<void>();
    const initial = () => firstValueFrom(released).then(() => [event('initial')]);
    const { client, transport } = await test.open({ topics: ['t'], initial });
    test.publish('t', '1');
    client.sendEvent(event('private'));
    test.publish('t', '2');
    await turn();
    released.next();
    await turn(2);
    expect(transport.lines).toEqual(['open none', 'initial', '1', 'private', '2']);
  });

  it('does not carry it back behind what it got when all of that has left the window', async () => {
    const test = new TestHub({ maxHistoryBytes: 65_536 });
    const filter = ({ data }: { data: unknown }): boolean => {
      if (data === 'go') test.publish('others', ...Array.from({ length: 6 }, () => ' '.repeat(20_000)));
      return true;
    };
    const connection = await test.open({ topics: ['a'], filter });
    test.publish('a', '0', 'go');
    connection.client.sendEvent(event('private'));
    test.publish('others', 'behind it');
    await turn();
    expect(connection.transport.lines).toEqual(['open none', '0', 'go', 'private']);
    const { transport } = await test.open({ topics: ['a'], lastEventId: idOf(connection, 'private') });
    expect(transport.lines).toEqual(['open full']);
  });

  it('is refused when too much of it waits, comments without data too', async () => {
    const test = new TestHub();
    const { client } = await test.open({ topics: ['a'], transport: new FakeTransport({ capacity: 1 }) });
    const comment = event('', { comment: 'x'.repeat(100) });
    const flood = (): void => {
      for (let i = 0; i < 10_000; i++) client.sendEvent(comment);
    };
    expect(flood).toThrow(expect.objectContaining({ code: 'SEND_ERROR' }));
    expect(client.privateBytes).toBeLessThanOrEqual(65_536);
  });
});

describe('a client that ends while it is made room for', () => {
  it('is sent nothing more', async () => {
    const test = new TestHub({ highWaterMark: 1_024 });
    const { client, transport } = await test.open({ topics: ['a'] });
    client.sendEvent(event('x'.repeat(500)));
    transport.failing = true;
    expect(() => client.sendEvent(event('y'.repeat(500)))).toThrow(
      expect.objectContaining({ code: 'CLIENT_NOT_FOUND' }),
    );
    expect(client.connected).toBe(false);
  });
});

describe('a client that has to wait', () => {
  it('starts at the head when it came before the window was known', async () => {
    const readers: LogListener[] = [];
    const log = new (class extends TestLog {
      override start(reader: LogListener): Promise<void> {
        readers.push(reader);
        return Promise.resolve();
      }
    })();
    const test = new TestHub({}, log);
    const { transport } = await test.open({ topics: ['t'] });
    const [reader] = readers;
    reader!.begin(log.epoch, ORIGIN);
    let previous = ORIGIN;
    for (const topic of ['t', 't', undefined]) {
      const position = { ms: 1, seq: previous.seq + 1 };
      reader!.deliver([{ epoch: log.epoch, position, previous, entry: event('old', { topic }) }]);
      previous = position;
    }
    reader!.ready();
    await turn();
    expect(transport.lines).toEqual(['cursor', 'open none']);
  });

  it('has the log asked for its end again when it came after the last question', async () => {
    const answers: ((end: Position) => void)[] = [];
    const log = new (class extends TestLog {
      override end(): Promise<Position> {
        return new Promise((resolve) => answers.push(resolve));
      }
    })();
    const test = new TestHub({}, log);
    test.publish('a', '1');
    await turn();
    const clients: Connection[] = [];
    for (let i = 0; i < 2; i++) {
      clients.push(test.connect({ topics: ['a'], lastEventId: log.cursorAhead }));
      await turn();
    }
    for (let i = 0; i < 2; i++) {
      expect(answers).toHaveLength(i + 1);
      answers[i]!(ORIGIN);
      await turn(2);
    }
    for (const { transport } of clients) {
      expect(transport.lines).toEqual(['cursor', 'open reset', 'reset diverged a', '1']);
    }
  });

  it('has the log asked for its end until that succeeds, and says once that it waits', async () => {
    let asked = 0;
    const log = new (class extends TestLog {
      override end(): Promise<Position> {
        return asked++ < 2 ? Promise.reject(new Error('away')) : super.end();
      }
    })();
    const test = new TestHub({}, log);
    test.publish('a', '1');
    const { transport } = test.connect({ topics: ['a'], lastEventId: log.cursorAhead });
    await turn(2);
    expect(transport.lines).toEqual(['cursor']);
    await delay(2_100);
    await turn(2);
    expect(asked).toBe(3);
    expect(transport.lines).toEqual(['cursor', 'open reset', 'reset diverged a', '1']);
    expect(test.warnings).toEqual([expect.stringMatching(/^The end of the log cannot be read.*away/)]);
  });
});

describe('a window that is read', () => {
  it('has those asked again of whom nobody can tell, does nothing twice, and repeats nothing to observers', async () => {
    const log = new WindowLog();
    const test = new TestHub({}, log);
    const now = Date.now();
    const observed: unknown[] = [];
    test.hub.observe(() => ({ topics: ['t'], patterns: [] })).subscribe(({ data }) => observed.push(data));
    const early = test.connect({ topics: ['t'], group: 'g' });
    log.begin('e1');
    log.bring('e1', now - 1_000, { kind: 'removeGroup', group: 'g', reconnect: false });
    log.bring('e1', now - 1_000, event('old', { topic: 't' }));
    log.bring('e1', now + 1_000, event('while the broker was away', { topic: 't' }));
    log.reader!.ready();
    await turn();
    expect([early.client.connected, early.transport.lines]).toEqual([false, []]);
    const { client } = test.connect({ topics: ['t'], group: 'g' });
    log.bring('e1', now + 2_000, event('new', { topic: 't' }));
    expect(observed).toEqual(['while the broker was away', 'new']);

    log.begin('e2');
    log.bring('e2', now + 2_000, { kind: 'removeGroup', group: 'g', reconnect: false });
    log.bring('e2', now + 2_000, event('new', { topic: 't' }));
    log.bring('e2', now + 3_000, event('unseen', { topic: 't' }));
    expect(client.connected).toBe(true);
    log.bring('e2', now + 4_000, { kind: 'removeGroup', group: 'g', reconnect: false });
    expect(client.connected).toBe(false);
    log.reader!.ready();
    expect(observed).toEqual(['while the broker was away', 'new', 'unseen']);
  });

  it('is whole before anybody starts in it, also when it is read anew', async () => {
    const log = new WindowLog();
    const test = new TestHub({}, log);
    log.begin('e1');
    log.reader!.ready();
    log.begin('e2');
    log.bring('e2', 1, event('old', { topic: 't' }));
    const { transport } = await test.open({ topics: ['t'] });
    log.bring('e2', 1, event('old', { topic: 't' }));
    log.reader!.ready();
    await turn();
    log.bring('e2', 2, event('new', { topic: 't' }));
    await turn();
    expect(transport.lines).toEqual(['cursor', 'open none', 'new']);
  });

  it('is as old when it is begun again before it was read to its end', () => {
    const log = new WindowLog();
    const test = new TestHub({}, log);
    const now = Date.now();
    const observed: unknown[] = [];
    test.hub.observe(() => ({ topics: ['t'], patterns: [] })).subscribe(({ data }) => observed.push(data));
    log.begin('e1');
    log.reader!.ready();
    for (const data of ['1', '2', '3']) log.bring('e1', now + Number(data), event(data, { topic: 't' }));
    for (const epoch of ['e2', 'e3', 'e4']) {
      log.begin(epoch);
      log.bring(epoch, now + 1, event('1', { topic: 't' }));
    }
    for (const data of ['2', '3', '4']) log.bring('e4', now + Number(data), event(data, { topic: 't' }));
    log.begin('e5');
    for (const data of ['3', '4', '5']) log.bring('e5', now + Number(data), event(data, { topic: 't' }));
    expect(observed).toEqual(['1', '2', '3', '4', '5']);
  });

  it('is of another life, and old, where the first had nothing', () => {
    const log = new WindowLog();
    const test = new TestHub({}, log);
    const now = Date.now();
    const observed: unknown[] = [];
    test.hub.observe(() => ({ topics: ['t'], patterns: [] })).subscribe(({ data }) => observed.push(data));
    log.begin('e1');
    log.reader!.ready();
    log.begin('e2');
    log.bring('e2', now - 1_000, event('old', { topic: 't' }));
    log.bring('e2', now + 1_000, event('new', { topic: 't' }));
    expect(observed).toEqual(['new']);
  });
});
