import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';

import { type Timed, TimerWheel } from '../../src/hub/timer-wheel.js';

class Metronome implements Timed {
  readonly ticks: number[] = [];

  constructor(private readonly interval: number) {}

  tick(now: number): number {
    this.ticks.push(now);
    return now + this.interval;
  }
}

describe('TimerWheel', () => {
  beforeEach(() => {
    jest.useFakeTimers();
  });

  afterEach(() => {
    jest.useRealTimers();
  });

  it('calls everyone when it is due, with one timer for all', () => {
    const heartbeat = new TimerWheel();
    const fast = new Metronome(100);
    const slow = new Metronome(1_000);
    heartbeat.schedule(fast, performance.now() + 100);
    heartbeat.schedule(slow, performance.now() + 1_000);
    for (let i = 0; i < 1_000; i++) heartbeat.schedule(new Metronome(60_000), performance.now() + 60_000);
    expect(jest.getTimerCount()).toBe(1);
    jest.advanceTimersByTime(2_100);
    expect(slow.ticks).toHaveLength(2);
    expect(fast.ticks.length).toBeGreaterThanOrEqual(13);
    expect(jest.getTimerCount()).toBe(1);
    heartbeat.stop();
    expect(jest.getTimerCount()).toBe(0);
  });

  it('never calls before it is due, and never again who was removed', () => {
    const heartbeat = new TimerWheel();
    const due = performance.now() + 500;
    const client = new Metronome(500);
    const removed = new Metronome(500);
    heartbeat.schedule(client, due);
    heartbeat.schedule(removed, due);
    heartbeat.remove(removed);
    jest.advanceTimersByTime(499);
    expect(client.ticks).toEqual([]);
    jest.advanceTimersByTime(100);
    expect(client.ticks).toHaveLength(1);
    expect(client.ticks[0]).toBeGreaterThanOrEqual(due);
    expect(removed.ticks).toEqual([]);
    expect(heartbeat.size).toBe(1);
  });

  it('scheduling again moves, also to an earlier time; Infinity is never', () => {
    const heartbeat = new TimerWheel();
    const client = new Metronome(Infinity);
    heartbeat.schedule(client, performance.now() + 10_000);
    heartbeat.schedule(client, performance.now() + 100);
    jest.advanceTimersByTime(200);
    expect(client.ticks).toHaveLength(1);
    expect(heartbeat.size).toBe(0);
    jest.advanceTimersByTime(20_000);
    expect(client.ticks).toHaveLength(1);
  });

  it('calls once who was moved by another that was due at the same time', () => {
    const heartbeat = new TimerWheel();
    const due = performance.now() + 100;
    const moved = new Metronome(1_000);
    const mover: Timed = {
      tick: (now) => {
        heartbeat.schedule(moved, now + 300);
        return Infinity;
      },
    };
    heartbeat.schedule(mover, due);
    heartbeat.schedule(moved, due);
    jest.advanceTimersByTime(290);
    expect(moved.ticks).toEqual([]);
    jest.advanceTimersByTime(210);
    expect(moved.ticks).toHaveLength(1);
    jest.advanceTimersByTime(1_060);
    expect(moved.ticks).toHaveLength(2);
    heartbeat.remove(moved);
    jest.advanceTimersByTime(10_000);
    expect(moved.ticks).toHaveLength(2);
  });
});
