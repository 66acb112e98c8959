import { describe, expect, it } from '@jest/globals';

import type { Audiences } from '../../src/backplane/presence.js';
import { TopicPattern } from '../../src/hub/topics/topic-pattern.js';
import { heap } from '../support/measures/memory.js';
import { TestHub } from '../support/test-hub.js';

function plain({ topics, patterns }: Audiences): Record<string, Record<string, number>> {
  return { topics: Object.fromEntries(topics), patterns: Object.fromEntries(patterns) };
}

/** What another node would work out from everything that it was told. */
function countFrom({ hub }: TestHub, told: Audiences, topic: string): number {
  let count = told.topics.get(topic) ?? 0;
  for (const [patterns, clients] of told.patterns) if (hub.audience.matches(patterns, topic)) count += clients;
  return count;
}

describe('an audience', () => {
  it('says everything at first, then what has changed, and everything when asked to', () => {
    const test = new TestHub();
    const first = test.connect({ topics: ['a', 'b'] });
    test.connect({ topics: ['a', 'b'] });
    const third = test.connect({ topics: ['a'] });
    const { audience } = test.hub;
    expect(plain(audience.changes(false))).toEqual({ topics: { a: 3, b: 2 }, patterns: {} });
    expect(plain(audience.changes(false))).toEqual({ topics: {}, patterns: {} });
    test.remove(first.client.id, true);
    test.hub.clients.subscribe(third.client.id, new TopicPattern('c:*'), undefined);
    expect(plain(audience.changes(false))).toEqual({ topics: { a: 2, b: 1 }, patterns: { 'c:*': 1 } });
    test.remove(third.client.id, true);
    expect(plain(audience.changes(false))).toEqual({ topics: { a: 1 }, patterns: { 'c:*': 0 } });
    expect(plain(audience.changes(true))).toEqual({ topics: { a: 1, b: 1 }, patterns: {} });
  });

  it('says nothing of those who came and went in between, or moved there and back', () => {
    const test = new TestHub();
    const { client } = test.connect({ topics: ['a'] });
    const { audience } = test.hub;
    audience.changes(false);
    const { id } = test.connect({ topics: ['b'] }).client;
    test.remove(id, true);
    test.hub.clients.subscribe(client.id, 'c', undefined);
    test.hub.clients.unsubscribe(client.id, 'c');
    expect(plain(audience.changes(false))).toEqual({ topics: {}, patterns: {} });
  });

  it('counts a client once that follows a topic both literally and by patterns', () => {
    const test = new TestHub();
    const { client } = test.connect({ topics: ['room:1', 'news'] });
    test.hub.clients.subscribe(client.id, new TopicPattern('room:*'), undefined);
    test.hub.clients.subscribe(client.id, new TopicPattern('**'), undefined);
    test.connect({ topics: ['room:1'] });
    const told = test.hub.audience.changes(true);
    expect(plain(told)).toEqual({ topics: { 'room:1': 1 }, patterns: { '**\nroom:*': 1 } });
    for (const [topic, count] of Object.entries({ 'room:1': 2, news: 1, other: 1 })) {
      expect([topic, countFrom(test, told, topic), test.hub.audience.count(topic)]).toEqual([topic, count, count]);
    }
  });

  it('keeps nothing of those who came and went while nobody asked', async () => {
    const test = new TestHub();
    test.hub.audience.changes(false);
    const selections = Array.from({ length: 100 }, (_, i) => {
      const { client } = test.connect({ topics: [`t${i}`] });
      const selection = new WeakRef(client.followers);
      test.remove(client.id, true);
      return selection;
    });
    await heap();
    expect(selections.filter((selection) => selection.deref()).length).toBeLessThan(10);
  });

  it('forgets clients that follow nothing, and topics that nobody follows', () => {
    const test = new TestHub();
    test.connect();
    expect(plain(test.hub.audience.changes(false))).toEqual({ topics: {}, patterns: {} });
    for (let i = 0; i < 1_000; i++) test.remove(test.connect({ topics: [`t${i}`] }).client.id, true);
    expect(plain(test.hub.audience.changes(false))).toEqual({ topics: {}, patterns: {} });
  });
});
