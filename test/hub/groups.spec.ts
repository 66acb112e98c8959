import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { TestNode } from 'nestjs-sse-hub/testing';

import type { LogListener } from '../../src/backplane/backplane.js';
import { type GroupAct, Groups } from '../../src/hub/groups.js';
import { formatCursor, ORIGIN, parseCursor, type Position } from '../../src/protocol/cursor.js';
import type { Entry } from '../../src/protocol/entry.js';
import { FakeTransport } from '../support/fake-transport.js';
import { event, StandingClock, TestHub, TestLog, turn } from '../support/test-hub.js';

let clock: StandingClock;

beforeEach(() => {
  clock = new StandingClock();
});

afterEach(() => {
  jest.restoreAllMocks();
});

function ask(test: TestHub, act: GroupAct): void {
  void test.hub.publisher.append(act, 'queue');
}

const JOIN: GroupAct = { kind: 'subscribeGroup', group: 'g', topic: 'room' };
const LEAVE: GroupAct = { kind: 'unsubscribeGroup', group: 'g', topic: 'room' };

describe('a group', () => {
  it('follows a topic on every node from its place in the log on, and no longer', async () => {
    const log = new TestLog();
    const nodes = [new TestHub({}, log), new TestHub({}, log)];
    const members = nodes.map((node) => node.connect({ topics: ['a'], group: 'g' }));
    const others = nodes.map((node) => node.connect({ topics: ['a'], group: 'others' }));
    await turn();
    nodes[0]!.publish('room', '1');
    ask(nodes[1]!, JOIN);
    nodes[0]!.publish('room', '2');
    await turn();
    nodes[1]!.publish('room', '3');
    ask(nodes[0]!, LEAVE);
    nodes[1]!.publish('room', '4');
    nodes[1]!.publish('a', '5');
    await turn();
    for (const { transport, client } of members) {
      expect(transport.lines).toEqual(['open none', '2', '3', '5']);
      expect([...client.topics]).toEqual(['a']);
    }
    for (const { transport } of others) expect(transport.lines).toEqual(['open none', '5']);
  });

  it('follows a pattern', async () => {
    const test = new TestHub();
    const { client, transport } = test.connect({ topics: ['a'], group: 'g' });
    await turn();
    ask(test, { ...JOIN, topic: 'room:*', pattern: true });
    test.publish('room:7', '1');
    test.publish('room', 'of another topic');
    await turn();
    expect([...client.topics]).toEqual(['a', 'room:*']);
    ask(test, { ...LEAVE, topic: 'room:*', pattern: true });
    test.publish('room:7', '2');
    await turn();
    expect([...client.topics]).toEqual(['a']);
    expect(transport.lines).toEqual(['open none', '1']);
  });

  it('follows it from there on although a client of it has not begun, which is told what that skips', async () => {
    const test = new TestHub();
    test.publish('a', '1');
    test.publish('room', 'before');
    const { transport } = test.connect({ topics: ['a'], group: 'g', lastEventId: test.log.cursors[0]! });
    test.publish('room', 'still before');
    ask(test, JOIN);
    test.publish('room', '2');
    await turn();
    expect(transport.lines).toEqual(['open full', 'reset late room', '2']);
  });

  it('follows it from there on although a client of it has not begun, which is told of no loss when that skips nothing', async () => {
    const test = new TestHub();
    test.publish('room', 'before');
    test.publish('a', '1');
    for (const act of [JOIN, { ...JOIN, topic: 'room:*', pattern: true }]) {
      const { transport } = test.connect({ topics: ['a'], group: 'g', lastEventId: test.log.cursors.at(-1)! });
      ask(test, act);
      test.publish(act.topic.replace('*', '7'), '2');
      await turn();
      expect(transport.lines).toEqual(['open full', '2']);
    }
  });

  it('is told what that skips when a client of it followed nothing before', async () => {
    const test = new TestHub();
    test.publish('a', '1');
    test.publish('room', 'before');
    const { transport } = await test.open({ group: 'g', lastEventId: test.log.cursors[0]! });
    ask(test, JOIN);
    test.publish('room', '2');
    await turn();
    expect(transport.lines).toEqual(['open full', 'reset late room', '2']);
  });

  it('comes back behind entries that this node never read, because one may have removed it, or had it follow something', async () => {
    const test = new TestHub();
    const member = await test.open({ topics: ['a'], group: 'g' });
    const other = await test.open({ topics: ['a'] });
    test.log.lose();
    test.publish('a', 'behind');
    expect([member.client.connected, other.client.connected]).toEqual([false, true]);
    await turn();
    expect(member.transport.lines).toEqual(['open none']);
    expect(other.transport.lines).toEqual(['open none', 'reset slow a', 'behind']);
    const back = await test.open({ topics: ['a'], group: 'g', lastEventId: member.transport.inFlight[0]!.id! });
    expect(back.transport.lines).toEqual(['open reset', 'reset trimmed a', 'behind']);
  });

  it('does not spare whoever claims to have read what the log has not got', async () => {
    const test = new TestHub();
    test.publish('a', 'earlier');
    const { client, transport } = test.connect({ topics: ['a'], group: 'g', lastEventId: test.log.cursorAhead });
    await turn(2);
    expect(transport.lines).toContain('reset diverged a');
    ask(test, JOIN);
    test.publish('room', '1');
    await turn();
    expect(transport.lines.at(-1)).toBe('1');
    ask(test, { kind: 'removeGroup', group: 'g', reconnect: false });
    expect(client.connected).toBe(false);
  });

  it('spares nobody whose cursor lies beyond what the node has read, and within the log', async () => {
    for (const act of [LEAVE, { kind: 'removeGroup', group: 'g', reconnect: false }] as const) {
      const log = new TestLog();
      const view = new TestNode(log);
      const test = new TestHub({}, log, view);
      test.publish('a', 'earlier');
      await turn();
      view.hold();
      let answer = (): void => {};
      jest.spyOn(log, 'end').mockImplementation(async () => {
        await new Promise<void>((resolve) => (answer = resolve));
        return parseCursor(log.cursors.at(-1)!)!.position;
      });
      const forged = formatCursor(log.epoch, { ms: Date.now() + 500, seq: 7 });
      const { client, transport } = test.connect({ topics: ['room'], group: 'g', lastEventId: forged });
      await turn();
      ask(test, act);
      clock.advance(1_000);
      test.publish('room', 'not for them');
      answer();
      await turn();
      view.release();
      await turn(2);
      expect(transport.lines).not.toContain('not for them');
      expect([...client.topics]).toEqual(act === LEAVE ? [] : ['room']);
      expect(client.connected).toBe(act === LEAVE);
    }
  });

  it('does not get who connects later', async () => {
    const test = new TestHub();
    ask(test, JOIN);
    const { transport } = test.connect({ topics: ['a'], group: 'g' });
    await turn();
    test.publish('room', '1');
    await turn();
    expect(transport.lines).toEqual(['open none']);
  });

  it('leaves clients that follow too much already as they are, says so, and goes on', async () => {
    const test = new TestHub({ maxTopicsPerClient: 2 });
    const full = test.connect({ topics: ['a', 'b'], group: 'g' });
    const free = test.connect({ topics: ['a'], group: 'g' });
    await turn();
    expect(() => ask(test, JOIN)).not.toThrow();
    expect([...full.client.topics]).toEqual(['a', 'b']);
    expect([...free.client.topics]).toEqual(['a', 'room']);
    expect(test.warnings).toEqual([
      '1 clients of group g do not follow room: SSEError: 3 topics on one connection; maxTopicsPerClient is 2. ' +
        'Follow many with one topicPattern().',
    ]);
  });

  it('keeps the filter of a client that follows the topic already', async () => {
    const test = new TestHub();
    const { client, transport } = test.connect({ topics: ['a'], group: 'g' });
    test.hub.clients.subscribe(client.id, 'room', ({ data }) => data !== 'hidden');
    await turn();
    ask(test, JOIN);
    test.publish('room', 'hidden', 'shown');
    await turn();
    expect(transport.lines).toEqual(['open none', 'shown']);
  });

  it('tells a client that came back when what it now follows was published while it was away', async () => {
    const test = new TestHub();
    test.publish('a', '1');
    test.publish('room', '2');
    const { transport } = test.connect({ topics: ['a'], group: 'g', lastEventId: test.log.cursors[0]! });
    await turn();
    ask(test, JOIN);
    test.publish('room', '3');
    await turn();
    expect(transport.lines).toEqual(['open full', 'reset late room', '3']);
  });

  it('sends nothing of a topic that it left to a client that was blocked', async () => {
    const test = new TestHub();
    const { transport } = test.connect({
      topics: ['a', 'room'],
      group: 'g',
      transport: new FakeTransport({ capacity: 1 }),
    });
    await turn();
    test.publish('room', '1');
    ask(test, LEAVE);
    test.publish('a', '2');
    await turn();
    expect(transport.read()).toEqual(['open none']);
    await turn(2);
    expect(transport.read()).toEqual(['2']);
  });
});

/** A log that this node begins to read late: what it retains is handed over by the test. */
class LateLog extends TestLog {
  readonly readers: LogListener[] = [];
  #previous = ORIGIN;

  override start(reader: LogListener): Promise<void> {
    this.readers.push(reader);
    return Promise.resolve();
  }

  begin(epoch = this.epoch): void {
    this.#previous = ORIGIN;
    for (const reader of this.readers) reader.begin(epoch, ORIGIN);
  }

  hand(entry: Entry, ms: number, epoch = this.epoch): void {
    const { ms: last, seq } = this.#previous;
    const position: Position = { ms, seq: ms === last ? seq + 1 : 0 };
    for (const reader of this.readers) reader.deliver([{ epoch, position, previous: this.#previous, entry }]);
    this.#previous = position;
  }

  override ready(): void {
    for (const reader of this.readers) reader.ready();
  }
}

describe('what a group is told', () => {
  const FOR_GOOD: GroupAct = { kind: 'removeGroup', group: 'g', reconnect: false };

  it('has clients that waited for the window asked again, because nobody can tell when they came', async () => {
    for (const act of [FOR_GOOD, JOIN, LEAVE]) {
      const log = new LateLog();
      const test = new TestHub({}, log);
      const before = test.connect({ topics: ['a'], group: 'g' });
      const at = Date.now();
      clock.advance(2_000);
      const after = test.connect({ topics: ['a'], group: 'g' });
      const other = test.connect({ topics: ['a'], group: 'others' });
      await turn();
      log.begin();
      // The log's clock may be another than the node's.
      log.hand(act, at - 3_600_000);
      log.ready();
      await turn();
      expect([before, after, other].map(({ client }) => client.connected)).toEqual([false, false, true]);
      expect(before.transport.lines).toEqual(['cursor']);
      expect(other.transport.lines).toEqual(['cursor', 'open none']);
    }
  });

  it('is not done again when another life of the log begins, with what was done in it', async () => {
    const log = new LateLog();
    const test = new TestHub({}, log);
    const now = Date.now();
    log.begin();
    log.hand(event('1', { topic: 'a' }), now);
    log.ready();
    const { client } = test.connect({ topics: ['a'], group: 'g' });
    await turn();
    log.begin('restored');
    log.hand({ ...FOR_GOOD }, now, 'restored');
    log.ready();
    await turn();
    expect(client.connected).toBe(true);
    log.hand({ ...FOR_GOOD }, now + 1, 'restored');
    expect(client.connected).toBe(false);
  });

  it('is done in another life when it came in the millisecond of what was read last', async () => {
    const log = new LateLog();
    const test = new TestHub({}, log);
    const now = Date.now();
    log.begin();
    log.hand(event('1', { topic: 'a' }), now);
    log.ready();
    const { client } = await test.open({ topics: ['a'], group: 'g' });
    log.begin('restored');
    log.hand(event('1', { topic: 'a' }), now, 'restored');
    log.hand(FOR_GOOD, now, 'restored');
    expect(client.connected).toBe(false);
  });

  it('holds on a node that has read less for a client whose cursor is behind it already', async () => {
    const log = new LateLog();
    const test = new TestHub({}, log);
    const now = Date.now();
    log.begin();
    log.hand(event('1', { topic: 'a' }), now);
    log.ready();
    clock.advance(1_000);
    const lastEventId = formatCursor(log.epoch, { ms: now + 2, seq: 0 });
    log.end = () => Promise.resolve({ ms: now + 10, seq: 0 });
    const { client, transport } = test.connect({ topics: ['a'], group: 'g', lastEventId });
    await turn();
    log.hand({ ...FOR_GOOD, reconnect: true }, now + 1);
    expect(client.connected).toBe(false);
    expect(transport.lines).toEqual(['cursor']);
  });
});

describe('what was done to a group since a request came in', () => {
  it('is known of acts, also of those that nobody can tell, and forgotten a minute later', () => {
    const { clients, reporter } = new TestHub().hub;
    const groups = new Groups(clients, reporter);
    const asked = performance.now();
    const acted = (): boolean[] => ['g', 'other'].map((group) => groups.hasActedSince(group, asked));
    expect(acted()).toEqual([false, false]);
    groups.act(LEAVE);
    expect(acted()).toEqual([true, false]);
    groups.askAgain('other');
    expect(acted()).toEqual([true, true]);
    clock.advance(61_000);
    groups.act({ ...LEAVE, group: 'third' });
    expect(acted()).toEqual([false, false]);
    groups.askAgain();
    expect(acted()).toEqual([true, true]);
    expect(groups.hasActedSince('g', performance.now() + 1)).toBe(false);
    expect(groups.hasActedSince('g', Infinity)).toBe(false);
  });
});
