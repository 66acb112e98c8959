import assert from 'node:assert/strict';

import { from, type Subscription } from 'rxjs';

import { topicPattern } from '../hub/topics/topic-pattern.js';
import type { StreamOptions } from '../sse.client-options.js';
import { SSEService } from '../sse.service.js';
import type { Topics } from '../sse.topic-rules.js';
import {
  aWhile,
  check,
  checkOfRetention,
  type ContractCheck,
  type ContractSubject,
  numbers,
  until,
  untilEqual,
} from './subject.js';

interface Message {
  readonly type?: string;
  readonly id?: string;
  readonly data?: unknown;
}

/** A client's stream, without a network. */
class Listener {
  readonly messages: Message[] = [];
  ended = false;
  readonly #subscription: Subscription;

  constructor(sse: SSEService, topic: Topics, options: StreamOptions = {}) {
    this.#subscription = sse.stream(topic, options).subscribe({
      // Copied, because a message is only as long the same as it is not read.
      next: ({ type, id, data }) => this.messages.push({ ...(type && { type }), ...(id && { id }), data }),
      complete: () => (this.ended = true),
    });
  }

  /** Of events. */
  get data(): unknown[] {
    const events = this.messages.filter(({ type = '', data }) => data !== undefined && !type.startsWith('sse.'));
    return events.map(({ data }) => data);
  }

  /** What it was told. A cursor says nothing, and comes first where a node has not read as far yet. */
  get control(): string[] {
    const types = this.messages.map(({ type = '' }) => type);
    return types.filter((type) => type.startsWith('sse.') && type !== 'sse.cursor');
  }

  get lastEventId(): string {
    return this.messages.findLast(({ id }) => id !== undefined)?.id ?? '';
  }

  get opened(): boolean {
    return this.control.includes('sse.open');
  }

  leave(): void {
    this.#subscription.unsubscribe();
  }
}

async function startHub(subject: ContractSubject, endings: (() => Promise<unknown>)[]): Promise<SSEService> {
  const sse = new SSEService({ backplane: subject.node(), heartbeatInterval: 0, drainTimeout: 100 });
  endings.push(() => sse.shutdown());
  return sse.start();
}

async function startTwo(
  subject: ContractSubject,
  endings: (() => Promise<unknown>)[],
): Promise<[SSEService, SSEService]> {
  return [await startHub(subject, endings), await startHub(subject, endings)];
}

async function listen(sse: SSEService, topic: Topics, options?: StreamOptions): Promise<Listener> {
  const listener = new Listener(sse, topic, options);
  await until('the stream is open', () => listener.opened || listener.ended);
  return listener;
}

/** Numbers as a stream has them. */
function texts(count: number): string[] {
  return numbers(count).map(String);
}

export const hubContract: readonly ContractCheck[] = [
  check('brings events to clients and observers on every node, in one order', async (subject, endings) => {
    const hubs = await startTwo(subject, endings);
    const clients = await Promise.all(hubs.map((sse) => listen(sse, 'topic')));
    const observed: unknown[][] = hubs.map(() => []);
    for (const [i, sse] of hubs.entries()) sse.observe('topic').subscribe(({ data }) => observed[i]!.push(data));
    for (const i of numbers(100)) for (const [node, sse] of hubs.entries()) sse.broadcast('topic', 'n', { node, i });
    await until('all events have come', () => clients.every(({ data }) => data.length >= 200));
    await aWhile();
    const [first, second] = clients;
    assert.equal(first!.data.length, 200);
    assert.deepEqual(first!.messages.slice(1), second!.messages.slice(1));
    assert.deepEqual(observed[0], observed[1]);
    assert.equal(observed[0]!.length, 200);
  }),

  check('answers publish() with the cursor that clients on other nodes get', async (subject, endings) => {
    const [here, there] = await startTwo(subject, endings);
    const client = await listen(there, 'topic');
    const cursor = await here.publish('topic', 'n', 1);
    await until('the event has come', () => client.data.length > 0);
    assert.equal(client.lastEventId, cursor);
  }),

  check('lets a client go on at another node where it was', async (subject, endings) => {
    const hubs = await startTwo(subject, endings);
    const received: unknown[] = [];
    let lastEventId: string | undefined;
    let published = 0;
    for (let move = 0; move < 6; move++) {
      const client = await listen(hubs[move % 2]!, 'topic', lastEventId === undefined ? {} : { lastEventId });
      for (const _ of numbers(20)) hubs[(move + 1) % 2]!.broadcast('topic', 'n', published++);
      // Somewhere in the middle.
      await until('some events have come', () => client.data.length >= 7);
      client.leave();
      ({ lastEventId } = client);
      received.push(...client.data);
      assert.deepEqual(client.control, ['sse.open']);
      // By the same one, because only then it is certain to come after them.
      await hubs[(move + 1) % 2]!.publish('topic', 'n', published++);
    }
    const last = await listen(hubs[0], 'topic', { lastEventId: lastEventId! });
    await until('the rest has come', () => received.length + last.data.length >= published);
    await aWhile();
    assert.deepEqual([...received, ...last.data], texts(published));
  }),

  check('closes and opens topics on every node', async (subject, endings) => {
    const [here, there] = await startTwo(subject, endings);
    const client = await listen(there, 'topic');
    here.broadcast('topic', 'n', 'last');
    here.closeTopic('topic');
    await until('the stream has ended', () => client.ended);
    assert.deepEqual(client.data, ['last']);
    assert.deepEqual(client.control, ['sse.open', 'sse.end']);
    assert.throws(() => there.broadcast('topic', 'n', 'more'), { code: 'TOPIC_CLOSED' });

    const other = await listen(there, 'other');
    there.openTopic('topic');
    there.broadcast('other', 'n', 'it is open');
    await until('its own node has read that it is open', () => other.data.length > 0);
    const publishes = (): boolean => {
      try {
        here.broadcast('topic', 'n', 'again');
        return true;
      } catch {
        return false;
      }
    };
    await until('the topic is open on the other node', publishes);
    const next = await listen(there, 'topic', { since: 0 });
    await until('its events come', () => next.data.length > 0);
    assert.deepEqual(next.data, ['again']);
  }),

  check('starts a topic over at once, whether or not its end has been read', async (subject, endings) => {
    const [here, there] = await startTwo(subject, endings);
    const client = await listen(there, ['topic', 'other']);
    for (const run of ['first', 'second']) {
      here.openTopic('topic');
      await here.publishFrom(from([run]), 'topic', 'n');
    }
    for (const text of ['third', 'fourth']) {
      here.openTopic('topic');
      here.broadcast('topic', 'n', text);
      here.closeTopic('topic');
      assert.throws(() => here.broadcast('topic', 'n', 'too late'), { code: 'TOPIC_CLOSED' });
    }
    here.broadcast('other', 'n', 'last');
    await until('all has come', () => client.data.includes('last'));
    assert.deepEqual(client.data, ['first', 'second', 'third', 'fourth', 'last']);
    assert.deepEqual(client.control, ['sse.open', ...Array.from({ length: 4 }, () => 'sse.closed')]);
  }),

  check('closes a topic once, and starts it over once, whoever else does it too', async (subject, endings) => {
    const hubs = await startTwo(subject, endings);
    const clients = await Promise.all(hubs.map((sse) => listen(sse, ['topic', 'other'])));
    for (const sse of hubs) {
      sse.closeTopic('topic');
      sse.closeTopic('topic');
    }
    // Behind them, on every node.
    for (const sse of hubs) await sse.publish('other', 'n', 'closed');
    for (const [i, sse] of hubs.entries()) {
      sse.openTopic('topic');
      await sse.publish('topic', 'n', i);
    }
    await hubs[1].publish('other', 'n', 'last');
    await until('all has come', () => clients.every(({ data }) => data.includes('last')));
    for (const { data, control } of clients) {
      assert.deepEqual(data, ['closed', 'closed', '0', '1', 'last']);
      assert.deepEqual(control, ['sse.open', 'sse.closed']);
    }
    const late = await listen(hubs[0], 'topic', { since: 0 });
    await until('the new life has come', () => late.data.length >= 2);
    assert.deepEqual(late.data, ['0', '1']);
  }),

  check('removes the clients of a group on every node', async (subject, endings) => {
    const hubs = await startTwo(subject, endings);
    const members = await Promise.all(hubs.map((sse) => listen(sse, 'topic', { group: 'user:1' })));
    const others = await Promise.all(hubs.map((sse) => listen(sse, 'topic', { group: 'user:2' })));
    hubs[0].broadcast('topic', 'n', 'before');
    hubs[0].removeGroup('user:1', { reconnect: false });
    await until('all of the group have ended', () => members.every(({ ended }) => ended));
    for (const { data, control } of members) {
      assert.deepEqual(data, ['before']);
      assert.deepEqual(control, ['sse.open', 'sse.end']);
    }
    await aWhile();
    assert.ok(others.every(({ ended }) => !ended));
  }),

  check(
    'has the clients of a group follow a topic on every node, from its place on, and no longer',
    async (subject, endings) => {
      const hubs = await startTwo(subject, endings);
      const members = await Promise.all(hubs.map((sse) => listen(sse, 'me', { group: 'user:1' })));
      const other = await listen(hubs[1], 'me', { group: 'user:2' });
      hubs[0].broadcast('room:7', 'n', 'before');
      hubs[0].subscribeGroup('user:1', topicPattern('room:*'));
      for (const text of ['1', '2']) hubs[0].broadcast('room:7', 'n', text);
      hubs[0].unsubscribeGroup('user:1', topicPattern('room:*'));
      hubs[0].broadcast('room:7', 'n', 'after');
      hubs[0].broadcast('me', 'n', '3');
      await until('all has come', () => [...members, other].every(({ data }) => data.includes('3')));
      for (const { data } of members) assert.deepEqual(data, ['1', '2', '3']);
      assert.deepEqual(other.data, ['3']);
    },
  ),

  check('counts the clients of all nodes, each once, if it has `presence`', async (subject, endings) => {
    const hubs = await startTwo(subject, endings);
    if (subject.node().presence === undefined) return;
    const literal = await listen(hubs[0], 'room:1');
    await listen(hubs[0], ['room:1', topicPattern('room:*')]);
    await listen(hubs[1], ['room:1', 'news', topicPattern('**')]);
    const count = (topic: string): Promise<number[]> => Promise.all(hubs.map((sse) => sse.countClients(topic)));
    await untilEqual('all are counted', () => count('room:1'), [3, 3]);
    await untilEqual('by pattern', () => count('room:2'), [2, 2]);
    await untilEqual('by a literal topic and a pattern', () => count('news'), [1, 1]);
    literal.leave();
    await untilEqual('one has left', () => count('room:1'), [2, 2]);
    await hubs[1].shutdown();
    await untilEqual('a node has left', () => hubs[0].countClients('room:1'), 1);
  }),

  check('tells the groups of all nodes, oldest first, if its `presence` has `groups`', async (subject, endings) => {
    const hubs = await startTwo(subject, endings);
    if (subject.node().presence?.groups === undefined) return;
    await listen(hubs[0], 'room:1', { group: 'ann', metadata: { name: 'Ann' } });
    await aWhile();
    await listen(hubs[1], topicPattern('room:*'), { group: 'bob', metadata: { name: 'Bob', at: new Date(0) } });
    await aWhile();
    const second = await listen(hubs[1], 'room:1', { group: 'ann', metadata: { name: 'Ann B.' } });
    await listen(hubs[1], 'room:1');
    await listen(hubs[0], 'elsewhere', { group: 'cem' });
    const groups = (): Promise<unknown[]> => Promise.all(hubs.map((sse) => sse.groupsOf('room:1')));
    const bob = { group: 'bob', streams: 1, metadata: { name: 'Bob', at: '1970-01-01T00:00:00.000Z' } };
    const both = [{ group: 'ann', streams: 2, metadata: { name: 'Ann B.' } }, bob];
    await untilEqual('both nodes know all', groups, [both, both]);
    second.leave();
    const one = [{ group: 'ann', streams: 1, metadata: { name: 'Ann' } }, bob];
    await untilEqual('one stream is gone', groups, [one, one]);
    await hubs[1].shutdown();
    await untilEqual('a node has left', () => hubs[0].groupsOf('room:1'), one.slice(0, 1));
  }),

  check('keeps events from those who were excepted, on every node and in replay', async (subject, endings) => {
    const [here, there] = await startTwo(subject, endings);
    const options = { id: 'author', group: 'user:1' };
    const author = await listen(there, 'topic', options);
    const reader = await listen(there, 'topic');
    const start = author.lastEventId;
    here.broadcast({ topic: 'topic', data: 'one' }, { except: 'author' });
    here.broadcast({ topic: 'topic', data: 'two' }, { exceptGroup: 'user:1' });
    here.broadcast({ topic: 'topic', data: 'three' });
    await until('all has come', () => reader.data.length === 3 && author.data.length > 0);
    assert.deepEqual(author.data, ['three']);
    author.leave();
    const again = await listen(there, 'topic', { ...options, lastEventId: start });
    await until('it is replayed', () => again.data.length > 0);
    assert.deepEqual(again.data, ['three']);
  }),

  checkOfRetention('keeps a topic finished for a hub that starts later', async (subject, endings) => {
    const early = await startHub(subject, endings);
    const watcher = await listen(early, 'finished');
    early.closeTopic('finished');
    await until('the topic is closed', () => watcher.ended);

    const late = await startHub(subject, endings);
    assert.throws(() => late.broadcast('finished', 'n', 'more'), { code: 'TOPIC_CLOSED' });
    const follower = await listen(late, 'finished');
    await until('the stream has ended', () => follower.ended);
    assert.deepEqual(follower.control, ['sse.open', 'sse.end']);
  }),

  checkOfRetention('gives a hub that starts later the history and the finished topics', async (subject, endings) => {
    const early = await startHub(subject, endings);
    const cursor = await early.publish('topic', 'n', 0);
    for (const i of numbers(9)) await early.publish('topic', 'n', i + 1);
    const watcher = await listen(early, 'finished');
    early.broadcast('finished', 'n', 'result');
    early.closeTopic('finished');
    await until('the topic is closed', () => watcher.ended);

    const late = await startHub(subject, endings);
    const resumed = await listen(late, 'topic', { lastEventId: cursor });
    const since = await listen(late, 'topic', { since: 0 });
    const finished = await listen(late, 'finished', { since: 0 });
    await until('the history has come', () => resumed.data.length >= 9 && since.data.length >= 10 && finished.ended);
    assert.deepEqual(resumed.data, texts(10).slice(1));
    assert.deepEqual(since.data, texts(10));
    assert.deepEqual(finished.data, ['result']);
    assert.deepEqual([...resumed.control, ...since.control], ['sse.open', 'sse.open']);
    assert.deepEqual(finished.control, ['sse.open', 'sse.end']);
  }),
];
