import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises';

import { afterEach, describe, expect, it } from '@jest/globals';
import { type ClientOptions, SSEService, topicPattern } from 'nestjs-sse-hub';

import { closeAllPlain, startPlain } from '../support/plain-server.js';
import { open } from '../support/readers/event-stream.js';

afterEach(closeAllPlain);

const everything = (): ClientOptions => ({ since: 0 });

async function retained(url: string, topic: string, sse: SSEService): Promise<unknown[]> {
  const stream = await open(`${url}/events/${topic}`);
  await stream.next();
  sse.broadcast(topic, 'mark', 'end');
  await stream.until(() => stream.ofType('mark').length > 0);
  stream.close();
  return stream.data.slice(0, -1);
}

describe('history', () => {
  it('keeps at most maxHistorySize events per topic, each topic for itself', async () => {
    const { url, sse } = await startPlain({ maxHistorySize: 3 }, everything);
    for (let n = 1; n <= 6; n++) sse.broadcast('a', 'n', n);
    sse.broadcast('b', 'n', 7);
    await turn();
    expect(await retained(url, 'a', sse)).toEqual([4, 5, 6]);
    expect(await retained(url, 'b', sse)).toEqual([7]);
  });

  it('keeps events for maxHistoryAge', async () => {
    const { url, sse } = await startPlain({ maxHistoryAge: 200 }, everything);
    sse.broadcast('a', 'n', 1);
    await sleep(300);
    sse.broadcast('a', 'n', 2);
    await turn();
    expect(await retained(url, 'a', sse)).toEqual([2]);
  });

  it('has 20 minutes and 1,000 events per topic unless it is told otherwise', async () => {
    const sse = new SSEService();
    for (let n = 1; n <= 1_500; n++) sse.broadcast('a', 'n', n);
    await turn();
    expect(sse.stats().history.events).toBe(1_000);
    const real = performance.now.bind(performance);
    try {
      performance.now = () => real() + 19 * 60_000;
      sse.broadcast('b', 'n', 1);
      await turn();
      expect(sse.stats().history.events).toBe(1_001);
    } finally {
      performance.now = real;
    }
  });

  it('follows the first rule that matches a topic', async () => {
    const { url, sse } = await startPlain(
      {
        maxHistorySize: 5,
        history: [
          { topics: 'prices', maxSize: 1 },
          { topics: [topicPattern('log:**'), 'audit'], maxSize: 2 },
          { topics: topicPattern('*'), maxSize: 3 },
        ],
      },
      everything,
    );
    for (const topic of ['prices', 'log:a:b', 'audit', 'other', 'x:y']) {
      for (let n = 1; n <= 10; n++) sse.broadcast(topic, 'n', n);
    }
    await turn();
    expect(await retained(url, 'prices', sse)).toEqual([10]);
    expect(await retained(url, 'log:a:b', sse)).toEqual([9, 10]);
    expect(await retained(url, 'audit', sse)).toEqual([9, 10]);
    expect(await retained(url, 'other', sse)).toEqual([8, 9, 10]);
    expect(await retained(url, 'x:y', sse)).toEqual([6, 7, 8, 9, 10]);
  });

  it('stays within maxHistoryBytes: the oldest events go first, of whatever topic', async () => {
    const maxHistoryBytes = 1_000_000;
    const { url, sse } = await startPlain({ maxHistoryBytes, maxHistorySize: 100_000 }, everything);
    for (let n = 1; n <= 50; n++) sse.broadcast('old', 'n', { n, payload: 'x'.repeat(1_000) });
    for (let n = 1; n <= 1_000; n++) {
      sse.broadcast('new', 'n', { n, payload: 'x'.repeat(1_000) });
      expect(sse.stats().history.bytes).toBeLessThanOrEqual(maxHistoryBytes);
    }
    await turn();
    expect(await retained(url, 'old', sse)).toEqual([]);
    const kept = (await retained(url, 'new', sse)) as { n: number }[];
    expect(kept.length).toBeGreaterThan(250);
    expect(kept.at(-1)?.n).toBe(1_000);
  });

  it('a burst larger than the history reaches a client that keeps up', async () => {
    for (const maxHistorySize of [0, 10]) {
      const { url, sse } = await startPlain({ maxHistorySize });
      const stream = await open(`${url}/events/t`);
      await stream.next();
      const payload = 'x'.repeat(500);
      for (let n = 0; n < 5_000; n++) sse.broadcast('t', 'n', { n, payload });
      await stream.until(() => stream.messages.length === 5_000);
      expect(stream.ofType('sse.reset')).toEqual([]);
      stream.close();
      await sleep(20);
      sse.broadcast('u', 'n', 1);
      await turn();
      await turn();
      expect(sse.stats().history.events).toBeLessThanOrEqual(maxHistorySize + 1);
    }
  });

  it('a client that stays behind is told: sse.reset (slow), then what is still retained', async () => {
    const { url, sse } = await startPlain({ maxHistorySize: 100, maxHistoryBytes: 8_000_000 });
    const stream = await open(`${url}/events/t`);
    await stream.next();
    stream.response.pause();
    const payload = 'x'.repeat(20_000);
    for (let n = 0; n < 1_500; n++) {
      sse.broadcast('t', 'n', { n, payload });
      if (n % 20 === 0) await sleep(1);
    }
    await sleep(1_200);
    sse.broadcast('t', 'n', { n: 1_500, payload });
    await turn();
    stream.response.resume();
    await stream.until(() => stream.messages.some(({ data }) => (JSON.parse(data) as { n: number }).n === 1_500));
    const reset = stream.events.findIndex(({ event }) => event === 'sse.reset');
    expect(JSON.parse(stream.events[reset]!.data)).toEqual({ reason: 'slow', topics: ['t'] });
    expect(stream.ofType('sse.reset')).toHaveLength(1);
    const numbers = (events: typeof stream.events): number[] =>
      events.map(({ data }) => (JSON.parse(data) as { n: number }).n);
    const before = numbers(stream.events.slice(1, reset));
    const after = numbers(stream.events.slice(reset + 1));
    expect(before).toEqual(before.map((_, i) => i));
    expect(after).toEqual(after.map((_, i) => after[0]! + i));
    expect(after[0]).toBeGreaterThan(before.length);
    stream.close();
  });

  it('a client that accepts nothing for slowTimeout is closed', async () => {
    const { url, sse } = await startPlain({ slowTimeout: 300 });
    const stream = await open(`${url}/events/t`);
    await stream.next();
    stream.response.pause();
    const reasons: unknown[] = [];
    sse.connections.subscribe(({ reason }) => reasons.push(reason));
    const payload = 'x'.repeat(100_000);
    for (let n = 0; n < 300; n++) sse.broadcast('t', 'n', { n, payload });
    for (let i = 0; i < 100 && sse.getClientCount() > 0; i++) await sleep(20);
    expect(reasons).toEqual(['slow']);
    expect(sse.stats().slow).toBe(1);
    stream.close();
  });

  it('so is one that a single event was too much for, although nothing follows', async () => {
    const { url, sse } = await startPlain({ slowTimeout: 300, maxEventSize: 2 ** 25, heartbeatInterval: 0 });
    const stream = await open(`${url}/events/t`);
    await stream.next();
    stream.response.pause();
    sse.broadcast('t', 'n', 'x'.repeat(24 * 2 ** 20));
    for (let i = 0; i < 100 && sse.getClientCount() > 0; i++) await sleep(20);
    expect(sse.stats()).toMatchObject({ clients: 0, slow: 1 });
    stream.close();
  });
});
