import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { MemoryBackplane } from 'nestjs-sse-hub';

import { TestHub, TestLog, turn } from '../support/test-hub.js';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;

let wall: number;
let passed: number;

beforeEach(() => {
  wall = 1_700_000_000_000;
  passed = 0;
  jest.spyOn(performance, 'now').mockImplementation(() => passed);
  jest.spyOn(Date, 'now').mockImplementation(() => wall + passed);
});

afterEach(() => {
  jest.restoreAllMocks();
});

describe('many events that grow old together', () => {
  it('go one part after the other, and nothing has to happen for the rest to go', async () => {
    const test = new TestHub({ maxHistoryAge: MINUTE }, new TestLog(), new MemoryBackplane());
    for (let n = 0; n < 2_000; n++) test.publish(`topic ${n}`, 'old');
    await turn();
    passed += 2 * MINUTE;
    jest.spyOn(performance, 'now').mockImplementation(() => ++passed);
    test.hub.turn.prune();
    const { log } = test.hub;
    expect(log.events).toBeGreaterThan(0);
    expect(log.events).toBeLessThan(2_000);
    for (let n = 0; n < 10; n++) await turn();
    expect(log.events).toBe(0);
  });
});

describe('a clock that was set back by an hour', () => {
  it('makes nothing old that is published then, as long as it takes', async () => {
    const test = new TestHub({ maxHistoryAge: 20 * MINUTE }, new TestLog(), new MemoryBackplane());
    test.publish('a', 'before');
    await turn();
    wall -= HOUR;
    for (let minute = 0; minute < 120; minute += 10) {
      passed += 10 * MINUTE;
      test.publish('a', `after ${minute} minutes`);
      await turn();
      // Those of the last 20 minutes.
      expect(test.hub.log.events).toBe(minute === 0 ? 2 : 3);
    }
  });

  it('lets no time go by more slowly, however often something is published', async () => {
    const test = new TestHub({ maxHistoryAge: MINUTE, maxHistorySize: 10 }, new TestLog(), new MemoryBackplane());
    test.publish('a', 'before');
    await turn();
    wall -= HOUR;
    for (let n = 0; n < 100_000; n++) {
      passed += 1.9;
      test.publish('a', String(n));
      if (n % 100 === 0) await turn();
    }
    await turn();
    expect(test.hub.log.events).toBe(10);
  });

  it('ends no session before its time, and every session at it', async () => {
    const test = new TestHub({}, new TestLog(), new MemoryBackplane());
    test.publish('a', 'before');
    await turn();
    wall -= HOUR;
    passed += MINUTE;
    const expiresAt = Date.now() + 10 * MINUTE;
    const level = test.connect({ topics: ['a'], expiresAt });
    const alone = test.connect({ topics: ['a'], expiresAt, filter: () => true });
    await turn();
    passed += 9 * MINUTE;
    test.publish('a', 'in time');
    await turn();
    for (const { transport } of [level, alone]) expect(transport.lines).toEqual(['open none', 'in time']);
    passed += 2 * MINUTE;
    test.publish('a', 'too late');
    await turn();
    for (const { transport, client } of [level, alone]) {
      expect(transport.lines).toEqual(['open none', 'in time', 'expired']);
      expect(client.connected).toBe(false);
    }
  });
});
