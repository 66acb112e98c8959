import { setTimeout as delay } from 'node:timers/promises';

import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';

import { returnToBaseline, until } from '../../support/baseline.js';
import { FakeTransport } from '../../support/fake-transport.js';
import { LiveTimers } from '../../support/measures/live-timers.js';
import { fillUp } from '../../support/network/stuck.js';
import { platforms } from '../../support/platforms.js';
import { transports } from '../../support/stream-controllers.js';
import { TestHub, turn } from '../../support/test-hub.js';

const bench = returnToBaseline();

const INTERVAL = 30_000;
const CLIENTS = 10_000;
const CONNECTIONS = 50;
/** Timers of the hub: for heartbeats, for the end of a wait. Not one per client. */
const A_FEW = 5;

describe(`C8: the heartbeats of ${CLIENTS} clients`, () => {
  beforeEach(() => {
    jest.useFakeTimers();
  });

  afterEach(() => {
    jest.useRealTimers();
  });

  /** All connect at once, and are open when this settles. */
  async function crowd(): Promise<{ hub: TestHub; beats: number[] }> {
    const hub = new TestHub({ heartbeatInterval: INTERVAL, maxClients: Infinity, drainTimeout: 0 });
    const beats: number[] = [];
    const onBlock = ({ comment }: { comment?: string }): void => {
      if (comment !== undefined) beats.push(performance.now());
    };
    const transports = Array.from({ length: CLIENTS }, () => new FakeTransport({ onBlock }));
    for (const transport of transports) hub.connect({ topics: ['t'], heartbeatInterval: INTERVAL, transport });
    await turnsUntil(() => transports.every(({ lines }) => lines.length === 1));
    return { hub, beats };
  }

  it('C8: need no timer per client, and spread over the interval by themselves', async () => {
    const started = performance.now();
    const { beats } = await crowd();
    expect(jest.getTimerCount()).toBeLessThanOrEqual(A_FEW);

    jest.advanceTimersByTime(1.5 * INTERVAL);
    const first = beats.slice(0, CLIENTS);
    expect(first).toHaveLength(CLIENTS);
    expect(first[0]! - started).toBeGreaterThanOrEqual(INTERVAL);
    expect(shares(first, first[0]!, INTERVAL / 4, 4).filter((share) => share < 0.1)).toEqual([]);

    // All connected together; each time they drift apart by up to a quarter of the interval.
    jest.advanceTimersByTime(6 * INTERVAL);
    expect(jest.getTimerCount()).toBeLessThanOrEqual(A_FEW);
    const last = beats.slice(-CLIENTS);
    expect(shares(last, last[0]!, INTERVAL, 8).filter((share) => share < 0.03)).toEqual([]);
  });

  it('C8: are none while events flow', async () => {
    const { hub, beats } = await crowd();
    for (let n = 0; n < 20; n++) {
      hub.publish('t', String(n));
      await turn();
      jest.advanceTimersByTime(INTERVAL / 10);
    }
    expect(beats).toEqual([]);
    jest.advanceTimersByTime(1.5 * INTERVAL);
    expect(beats.length).toBeGreaterThanOrEqual(CLIENTS);
  });
});

for (const platform of platforms) {
  for (const transport of transports) {
    describe(`C8: heartbeats of ${transport.name} on ${platform.name}`, () => {
      it('C8: need no timer per connection, and none is sent to a client that is behind', async () => {
        const { url, sse } = await bench.start(platform, {
          config: { heartbeatInterval: 100, maxHistorySize: Infinity },
          controllers: [transport.controller()],
        });
        const stuck = await bench.open(`${url}/events/bulk`);
        await stuck.next();
        const timers = new LiveTimers(bench);
        const streams = await Promise.all(Array.from({ length: CONNECTIONS }, () => bench.open(`${url}/events/t`)));
        for (const stream of streams) await stream.next();
        await until('every one has had several', () => sse.stats().heartbeats > 6 * CONNECTIONS);
        // Others come and go with a connection; one of each client's own would stay.
        await until('there are few timers', () => timers.places.length <= A_FEW).catch(() => {});
        expect(timers.places.slice(A_FEW)).toEqual([]);
        expect(timers.places.join()).toContain('timer-wheel.ts');

        stuck.response.pause();
        await fillUp(sse, 'bulk');
        const lastBeat = (): number => Date.parse(sse.getClientsByTopic('bulk')[0]!.lastHeartbeatAt ?? '');
        const before = lastBeat();
        await delay(400);
        // As exact as a time of the day that is worked out from another clock.
        expect(Math.abs(lastBeat() - before)).toBeLessThan(5);
        stuck.response.resume();
        await stuck.messagesUpTo(128);
        const read = stuck.raw.slice(stuck.raw.indexOf('event: bulk'), stuck.raw.lastIndexOf('event: bulk'));
        expect(read).not.toMatch(/\n: ?\n/);
        await until('it has one again', () => lastBeat() - before > 100);
      });
    });
  }
}

async function turnsUntil(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 10_000 && !condition(); i++) await turn();
}

/** Which part of these times is in each of so many equal slices of a period that begins then, and repeats. */
function shares(times: readonly number[], begin: number, period: number, slices: number): number[] {
  const counts = Array.from({ length: slices }, () => 0);
  for (const time of times) counts[Math.floor((((time - begin) % period) / period) * slices)]!++;
  return counts.map((count) => count / times.length);
}
