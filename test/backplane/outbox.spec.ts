import { setTimeout as delay } from 'node:timers/promises';

import { describe, expect, it } from '@jest/globals';

import { Outbox, type OutboxOptions } from '../../src/backplane/broker/outbox.js';
import { withTimeout } from '../../src/backplane/broker/with-timeout.js';
import type { Cursor } from '../../src/protocol/cursor.js';
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

/** What happens to the attempts, one after the other; good luck from then on. */
function inTurn(...luck: Luck[]): () => Luck {
  return () => luck.shift() ?? 'stored';
}

/** Appends in this turn, and settles with what became of each. */
function appendAll(outbox: Outbox, data: readonly string[]): Promise<PromiseSettledResult<Cursor>[]> {
  return Promise.allSettled(data.map((text) => outbox.append(event(text), 'queue')));
}

describe('the outbox', () => {
  it('sends what one turn appended as one batch, and answers with the place of each', async () => {
    const broker = new FakeBroker();
    const outbox = outboxFor(broker);
    const places = await Promise.all(numbers(100).map((data) => outbox.append(event(data), 'timeout')));
    expect(broker.attempts).toEqual([{ n: 1, data: numbers(100) }]);
    expect(places.map(({ position }) => position.seq)).toEqual(numbers(100).map((n) => Number(n) + 1));
    expect(outbox.size).toBe(0);
  });

  it('sends one event alone at once, and what comes until it is stored together', async () => {
    const broker = new FakeBroker();
    const outbox = outboxFor(broker);
    const kept = [outbox.append(event('0'), 'queue')];
    await until('it was sent', () => broker.attempts.length === 1);
    for (const data of ['1', '2', '3']) kept.push(outbox.append(event(data), 'queue'));
    await Promise.all(kept);
    expect(broker.attempts.map(({ data }) => data)).toEqual([['0'], ['1', '2', '3']]);
    expect(broker.mostUnstored).toBe(1);
  });

  it('makes batches of at most 1,000 entries, and of so many bytes', async () => {
    const broker = new FakeBroker();
    await appendAll(outboxFor(broker), numbers(2_500));
    expect(broker.attempts.map(({ data }) => data.length)).toEqual([1_000, 1_000, 500]);

    const large = new FakeBroker();
    const kB = (count: number): string => 'x'.repeat(count * 1_024);
    const outbox = outboxFor(large, { maxEntryBytes: 1_000_000, maxPendingBytes: 10_000_000 });
    await appendAll(outbox, [kB(100), kB(100), kB(100), kB(600), '', kB(255), '']);
    expect(large.attempts.map(({ data }) => data.map(({ length }) => length / 1_024))).toEqual([
      [100, 100],
      [100],
      [600],
      [0, 255, 0],
    ]);
  });

  it('sends the next batch as soon as one is stored, though its place is not told yet', async () => {
    const broker = new FakeBroker(inTurn('told later', 'told later'));
    const outbox = outboxFor(broker);
    const appended = [outbox.append(event('0'), 'queue')];
    await until('it was stored', () => broker.log.length === 1);
    appended.push(outbox.append(event('1'), 'queue'));
    await until('so was the next', () => broker.log.length === 2);
    expect(outbox.size).toBe(2);
    broker.tell();
    expect((await Promise.all(appended)).map(({ position }) => position.seq)).toEqual([1, 2]);
  });

  it('sends a batch that may be stored again as it was, and before any other', async () => {
    for (const luck of ['answer lost', 'never arrived'] as const) {
      const broker = new FakeBroker(inTurn('stored', luck));
      const outbox = outboxFor(broker);
      await appendAll(outbox, ['0']);
      const first = appendAll(outbox, ['1', '2']);
      await until('it was sent', () => broker.attempts.length === 2);
      const places = (await Promise.all([first, appendAll(outbox, ['3'])])).flat();
      expect(broker.log).toEqual(numbers(4));
      expect(broker.attempts.map(({ n, data }) => [n, ...data])).toEqual([
        [1, '0'],
        [2, '1', '2'],
        [2, '1', '2'],
        [3, '3'],
      ]);
      expect(places.map((place) => place.status)).toEqual(['fulfilled', 'fulfilled', 'fulfilled']);
    }
  });

  it('sends all that were stored and whose places it was never told again, in order', async () => {
    const broker = new FakeBroker(inTurn('place lost', 'place lost', 'refused'));
    const outbox = outboxFor(broker);
    const kept = [appendAll(outbox, ['0'])];
    await until('it was stored', () => broker.log.length === 1);
    kept.push(appendAll(outbox, ['1', '2']));
    await until('so was the next', () => broker.log.length === 3);
    kept.push(appendAll(outbox, ['3']));
    await until('the third was refused', () => broker.attempts.length === 3);
    kept.push(appendAll(outbox, ['4']));
    broker.tell();
    const places = (await Promise.all(kept)).flat();
    expect(broker.log).toEqual(numbers(5));
    expect(broker.attempts.map(({ data }) => data.join())).toEqual(['0', '1,2', '3', '0', '1,2', '3,4']);
    expect(places.map((place) => place.status === 'fulfilled' && place.value.position.seq)).toEqual([1, 2, 3, 4, 5]);
  });

  it('makes smaller batches for a broker that takes no larger ones, and refuses what is too large by itself', async () => {
    const broker = new FakeBroker(({ bytes }) => (bytes > 3_000 ? 'too large' : 'stored'));
    const outbox = outboxFor(broker);
    const kept = appendAll(outbox, [...numbers(100), 'x'.repeat(3_500), ...numbers(50)]);
    const settled = (await kept).map(({ status }) => status);
    expect(settled.flatMap((status, i) => (status === 'rejected' ? [i] : []))).toEqual([100]);
    expect(broker.log).toEqual([...numbers(100), ...numbers(50)]);
    expect(broker.attempts.length).toBeLessThan(40);
  });

  it('knows that a batch which is refused when it is sent again may have been stored before', async () => {
    const broker = new FakeBroker(inTurn('answer lost', 'too large'));
    const outbox = outboxFor(broker);
    for (const settled of await appendAll(outbox, ['0', '1'])) {
      expect(settled).toMatchObject({
        status: 'rejected',
        reason: { stored: 'unknown', message: expect.stringMatching(/refused.*too many.*may be in the log/) },
      });
    }
    await outbox.append(event('2'), 'timeout');
    expect(broker.log).toEqual(numbers(3));
  });

  it('stores each entry once and in order, and answers with its place, whatever gets lost', async () => {
    const random = seededRandom(71);
    const misfortunes = ['answer lost', 'never arrived', 'refused', 'told later', 'place lost', 'too large'] as const;
    const broker: FakeBroker = new FakeBroker(({ n, count }) => {
      if (random() < 0.7) return 'stored';
      const luck = pick(random, misfortunes);
      const isSentAgain = broker.attempts.filter((attempt) => attempt.n === n).length > 1;
      // One that may be stored and is then too large is given up, as another test says.
      return luck === 'too large' && (count === 1 || isSentAgain) ? 'stored' : luck;
    });
    const telling = setInterval(() => broker.tell(), 2);
    const outbox = outboxFor(broker);
    const appended: Promise<Cursor>[] = [];
    for (const data of numbers(1_000)) {
      appended.push(outbox.append(event(data), random() < 0.5 ? 'queue' : 'timeout'));
      if (random() < 0.05) await delay(1);
      if (random() < 0.1) outbox.wake();
    }
    const waking = setInterval(() => outbox.wake(), 5);
    const places = await Promise.all(appended).finally(() => {
      clearInterval(telling);
      clearInterval(waking);
    });
    expect(broker.log).toEqual(numbers(1_000));
    expect(places.map(({ position }) => position.seq)).toEqual(numbers(1_000).map((n) => Number(n) + 1));
    expect(broker.mostUnstored).toBe(1);
  });

  it('rejects what has a time limit in time, and says what is known of its fate', async () => {
    const broker = new FakeBroker(() => 'silence');
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
    const broker = new FakeBroker(() => 'refused');
    const outbox = outboxFor(broker, { publishTimeout: 50 });
    const kept = numbers(20).map((data) => outbox.append(event(data), 'queue'));
    const givenUp = outbox.append(event('given up'), 'timeout');
    const last = outbox.append(event('20'), 'queue');
    await expect(givenUp).rejects.toMatchObject({ stored: 'no' });
    broker.luck = () => 'stored';
    await Promise.all([...kept, last]);
    expect(broker.log).toEqual(numbers(21));
  });

  it('stores what was given up with a batch that may be in the log, because others in it wait', async () => {
    const broker = new FakeBroker(() => 'never arrived');
    const outbox = outboxFor(broker, { publishTimeout: 50 });
    const givenUp = outbox.append(event('0'), 'timeout');
    const kept = outbox.append(event('1'), 'queue');
    await expect(givenUp).rejects.toMatchObject({ stored: 'unknown' });
    broker.luck = () => 'stored';
    await kept;
    expect(broker.log).toEqual(['0', '1']);
  });

  it('does not send again what nobody waits for', async () => {
    const broker = new FakeBroker(() => 'never arrived');
    const outbox = outboxFor(broker, { publishTimeout: 50 });
    await expect(outbox.append(event('0'), 'timeout')).rejects.toMatchObject({ stored: 'unknown' });
    broker.luck = () => 'stored';
    outbox.wake();
    await outbox.append(event('1'), 'timeout');
    expect(broker.log).toEqual(['1']);
  });

  it('keeps nothing of what was given up while the broker is away', async () => {
    const broker = new FakeBroker();
    broker.open = () => Promise.reject(new Error('away'));
    const outbox = outboxFor(broker, { publishTimeout: 20, maxPending: 10 });
    for (let round = 0; round < 5; round++) {
      const givenUp = numbers(10).map((data) => outbox.append(event(data), 'timeout'));
      for (const { status } of await Promise.allSettled(givenUp)) expect(status).toBe('rejected');
    }
    broker.open = () => Promise.resolve();
    outbox.wake();
    await outbox.append(event('last'), 'timeout');
    expect(broker.log).toEqual(['last']);
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
    expect(broker.attempts.length).toBeGreaterThan(1);
    expect(broker.attempts.length).toBeLessThan(60);
    expect(outbox.failing).toBe(true);
    broker.luck = () => 'stored';
    outbox.wake();
    await kept;
    expect(outbox.failing).toBe(false);
  });

  it('does not send again what the broker may have stored and forgotten', async () => {
    const broker = new FakeBroker(inTurn('answer lost'));
    const outbox = outboxFor(broker, { memory: 0 });
    for (const settled of await appendAll(outbox, ['0', '1'])) {
      expect(settled).toMatchObject({ status: 'rejected', reason: { stored: 'unknown' } });
    }
    await outbox.append(event('2'), 'timeout');
    expect(broker.attempts.map(({ data }) => data.join())).toEqual(['0,1', '2']);
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
