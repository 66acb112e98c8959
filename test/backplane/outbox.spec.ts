import { setTimeout as delay } from 'node:timers/promises';

import { describe, expect, it } from '@jest/globals';

import { Outbox, type OutboxOptions } from '../../src/backplane/broker/outbox.js';
import { type Outgoing } from '../../src/backplane/broker/sender.js';
import { withTimeout } from '../../src/backplane/broker/with-timeout.js';
import { until } from '../support/baseline.js';
import { FakeBroker, type Luck } from '../support/brokers/fake-broker.js';
import { pick, seededRandom } from '../support/seed.js';
import { event } from '../support/test-hub.js';

function outboxFor(broker: FakeBroker, options: Partial<OutboxOptions> = {}): Outbox {
  return new Outbox(broker, {
    broker: 'the broker',
    publishTimeout: 5_000,
    maxPending: 10_000,
    maxPendingBytes: 1_000_000,
    maxEntryBytes: 100_000,
    memory: 60_000,
    ...options,
  });
}

function numbers(count: number): string[] {
  return Array.from({ length: count }, (_, i) => String(i));
}

/** Misfortune for the first attempts at some entries, good luck from then on. */
function once(misfortunes: Readonly<Record<number, Luck>>): (item: Outgoing) => Luck {
  const left = new Map(Object.entries(misfortunes));
  return ({ n }) => {
    const luck = left.get(String(n)) ?? 'stored';
    left.delete(String(n));
    return luck;
  };
}

describe('the outbox', () => {
  it('sends what one turn appended in one batch, in order, and answers with the places', async () => {
    const broker = new FakeBroker();
    const outbox = outboxFor(broker);
    const places = await Promise.all(numbers(100).map((data) => outbox.append(event(data), 'timeout')));
    expect(broker.log).toEqual(numbers(100));
    expect(broker.batches).toBe(1);
    expect(places.map(({ position }) => position.ms)).toEqual(numbers(100).map((n) => Number(n) + 1));
    expect(outbox.size).toBe(0);
  });

  it('sends from an unresolved entry on again, under the same names', async () => {
    const broker = new FakeBroker(once({ 3: 'answer lost', 4: 'never arrived' }));
    const outbox = outboxFor(broker);
    await Promise.all(numbers(6).map((data) => outbox.append(event(data), 'queue')));
    expect(broker.log).toEqual(numbers(6));
    const sent = broker.attempts.map((uid) => Number(uid.slice(uid.lastIndexOf('-') + 1)));
    expect(sent).toEqual([1, 2, 3, 4, 5, 6, 3, 4, 5, 6, 4, 5, 6]);
    expect(new Set(broker.attempts).size).toBe(6);
  });

  it('stores nothing before an entry that was refused for now', async () => {
    const broker = new FakeBroker(once({ 2: 'refused' }));
    const outbox = outboxFor(broker);
    await Promise.all(numbers(5).map((data) => outbox.append(event(data), 'queue')));
    expect(broker.log).toEqual(numbers(5));
  });

  it('stores each entry once and in order, whatever gets lost', async () => {
    const random = seededRandom(71);
    const misfortunes = ['answer lost', 'never arrived', 'refused'] as const;
    const broker = new FakeBroker(() => (random() < 0.02 ? pick(random, misfortunes) : 'stored'));
    const outbox = outboxFor(broker);
    const appended: Promise<unknown>[] = [];
    for (const data of numbers(1_000)) {
      appended.push(outbox.append(event(data), random() < 0.5 ? 'queue' : 'timeout'));
      if (random() < 0.05) await delay(1);
    }
    await Promise.all(appended);
    expect(broker.log).toEqual(numbers(1_000));
    expect(broker.attempts.length).toBeGreaterThan(1_000);
  });

  it('rejects what has a time limit in time, and says what is known of its fate', async () => {
    const broker = new FakeBroker(({ n }) => (n === 1 ? 'silence' : 'stored'));
    const silent = outboxFor(broker, { publishTimeout: 100 });
    await expect(withTimeout(silent.append(event('x'), 'timeout'), 2_000, 'append()')).rejects.toMatchObject({
      stored: 'unknown',
    });

    const refusing = outboxFor(new FakeBroker(() => 'refused'), { publishTimeout: 100 });
    await expect(refusing.append(event('x'), 'timeout')).rejects.toMatchObject({
      stored: 'no',
      message: 'the broker: no answer within 100 ms (refused for now). It is not in the log.',
    });
    expect(silent.size + refusing.size).toBe(0);
  });

  it('keeps what may wait until the broker is back, in order, and leaves out what was given up', async () => {
    const broker = new FakeBroker(() => 'never arrived');
    const outbox = outboxFor(broker, { publishTimeout: 50 });
    const kept = numbers(20).map((data) => outbox.append(event(data), 'queue'));
    const givenUp = outbox.append(event('given up'), 'timeout');
    const last = outbox.append(event('20'), 'queue');
    await expect(givenUp).rejects.toMatchObject({ stored: 'unknown' });
    broker.luck = () => 'stored';
    await Promise.all([...kept, last]);
    expect(broker.log).toEqual(numbers(21));
  });

  it('rejects what is over its bounds, and keeps what was there before', async () => {
    const broker = new FakeBroker(() => 'refused');
    const outbox = outboxFor(broker, { maxPending: 3, maxPendingBytes: 10_000, maxEntryBytes: 9_000 });
    const kept = [outbox.append(event('0'), 'queue'), outbox.append(event('x'.repeat(8_000)), 'queue')];
    await expect(outbox.append(event('x'.repeat(9_000)), 'queue')).rejects.toThrow(/maxEntryBytes is 9000/);
    await expect(outbox.append(event('x'.repeat(2_000)), 'queue')).rejects.toThrow(/maxPendingBytes is 10000/);
    kept.push(outbox.append(event('2'), 'queue'));
    await expect(outbox.append(event('3'), 'queue')).rejects.toMatchObject({
      stored: 'no',
      message: '3 entries wait for the broker already; maxPending is 3.',
    });
    broker.luck = () => 'stored';
    await Promise.all(kept);
    expect(broker.log).toEqual(['0', 'x'.repeat(8_000), '2']);
  });

  it('does not press a broker that refuses everything', async () => {
    const broker = new FakeBroker(() => 'refused');
    const outbox = outboxFor(broker);
    const kept = outbox.append(event('0'), 'queue');
    await delay(1_500);
    expect(broker.batches).toBeGreaterThan(1);
    expect(broker.batches).toBeLessThan(60);
    expect(outbox.failing).toBe(true);
    broker.luck = () => 'stored';
    outbox.wake();
    await kept;
    expect(outbox.failing).toBe(false);
  });

  it('does not send again what the broker may have stored and forgotten', async () => {
    const broker = new FakeBroker(once({ 1: 'answer lost' }));
    const outbox = outboxFor(broker, { memory: 0 });
    const [first, second] = [outbox.append(event('0'), 'queue'), outbox.append(event('1'), 'queue')];
    await expect(first).rejects.toMatchObject({ stored: 'unknown' });
    await expect(second).rejects.toMatchObject({ stored: 'unknown' });
    expect(broker.attempts).toHaveLength(2);
  });

  it('waits for what is pending when it is closed, and rejects what is left and what comes', async () => {
    const broker = new FakeBroker();
    const outbox = outboxFor(broker);
    const pending = outbox.append(event('0'), 'queue');
    await outbox.close(1_000);
    await pending;
    await expect(outbox.append(event('1'), 'queue')).rejects.toMatchObject({ stored: 'no' });

    const away = outboxFor(new FakeBroker(() => 'refused'));
    const left = away.append(event('0'), 'queue');
    const closed = away.close(50);
    await expect(left).rejects.toThrow(/was shut down.*It is not in the log/);
    await closed;
  });

  it('knows that nothing was sent while the broker could not even be opened, and that it is back', async () => {
    const broker = new FakeBroker();
    let isAway = true;
    broker.open = () => (isAway ? Promise.reject(new Error('connection refused')) : Promise.resolve());
    const outbox = outboxFor(broker, { publishTimeout: 100 });
    await expect(outbox.append(event('0'), 'timeout')).rejects.toMatchObject({
      stored: 'no',
      message: 'the broker: no answer within 100 ms (connection refused). It is not in the log.',
    });
    expect(outbox.failing).toBe(true);
    expect(broker.attempts).toEqual([]);
    isAway = false;
    await until('it is no longer said to fail', () => !outbox.failing);
    await outbox.append(event('1'), 'timeout');
    expect(broker.log).toEqual(['1']);
  });

  it('gives up each of many in time', async () => {
    const outbox = outboxFor(new FakeBroker(() => 'silence'), { publishTimeout: 50 });
    const rejected = numbers(200).map((data) => outbox.append(event(data), 'timeout').catch(() => 'rejected'));
    expect(await Promise.all(rejected)).toEqual(numbers(200).map(() => 'rejected'));
    await until('nothing is pending', () => outbox.size === 0);
  });
});
