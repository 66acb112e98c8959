import { describe, expect, it } from '@jest/globals';

import { Reachability } from '../../src/backplane/broker/reachability.js';
import { LogRecorder } from '../support/brokers/log-recorder.js';

function start() {
  const hub = new LogRecorder();
  const calls: string[] = [];
  const listener = {
    settled: () => void calls.push('settled'),
    refuse: () => false,
    up: () => void calls.push('up'),
  };
  return { hub, calls, reachability: new Reachability('The broker', hub, listener) };
}

describe('whether a broker can be reached', () => {
  it('is not known before the log was read', () => {
    const { hub, calls, reachability } = start();
    expect(reachability.up).toBe(false);
    reachability.succeeded();
    reachability.succeeded();
    expect(reachability.up).toBe(true);
    expect(calls).toEqual(['settled', 'up']);
    expect(hub.warnings).toEqual([]);
  });

  it('is told once when it fails, however often that is, and once when it is back', () => {
    const { hub, calls, reachability } = start();
    reachability.succeeded();
    for (const reason of ['first', 'second']) reachability.failed(new Error(reason));
    expect(reachability.up).toBe(false);
    reachability.succeeded();
    expect(reachability.up).toBe(true);
    expect(calls).toEqual(['settled', 'up', 'settled', 'settled', 'settled', 'up']);
    expect(hub.warnings).toEqual([
      expect.stringContaining('(first)'),
      expect.stringMatching(/^The broker can be reached again, after \d+\.\d s\.$/),
    ]);
  });

  it('is not told when nothing has failed', () => {
    const { hub, reachability } = start();
    reachability.succeeded();
    reachability.lost();
    expect(reachability.up).toBe(false);
    reachability.succeeded();
    expect(hub.warnings).toEqual([]);
  });
});
