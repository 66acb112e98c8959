import { setImmediate } from 'node:timers/promises';

import { describe, expect, it } from '@jest/globals';

import { WaitingLine } from '../../src/transport/waiting-line.js';

const MUCH = 65_536;

describe('the waiting line', () => {
  it('is none while little is handed over', () => {
    const line = new WaitingLine();
    for (let i = 0; i < 100; i++) line.handed(10);
    expect(line.busy).toBe(false);
    line.handed(MUCH);
    expect(line.busy).toBe(true);
  });

  it('is over with the turn, when nobody waits', async () => {
    const line = new WaitingLine();
    line.handed(MUCH);
    await setImmediate();
    expect(line.busy).toBe(false);
  });

  it('lets those who get much proceed one in a turn, in their order', async () => {
    const line = new WaitingLine();
    const served: string[] = [];
    for (const name of ['a', 'b', 'c']) {
      line.join(() => {
        served.push(name);
        line.handed(MUCH);
      });
    }
    expect(served).toEqual([]);
    for (const expected of [['a'], ['a', 'b'], ['a', 'b', 'c']]) {
      await setImmediate();
      expect(served).toEqual(expected);
    }
    await setImmediate();
    expect(line.busy).toBe(false);
  });

  it('lets thousands who get little proceed together', async () => {
    const line = new WaitingLine();
    let served = 0;
    for (let i = 0; i < 10_000; i++) {
      line.join(() => {
        served++;
        line.handed(1);
      });
    }
    await setImmediate();
    expect(served).toBe(10_000);
    await setImmediate();
    expect(line.busy).toBe(false);
  });

  it('takes whoever joins it again behind those who wait already', async () => {
    const line = new WaitingLine();
    const served: string[] = [];
    const proceed = (name: string, again: number) => (): void => {
      served.push(name);
      line.handed(MUCH);
      if (again > 0) line.join(proceed(name, again - 1));
    };
    line.join(proceed('a', 1));
    line.join(proceed('b', 0));
    for (let i = 0; i < 3; i++) await setImmediate();
    expect(served).toEqual(['a', 'b', 'a']);
  });
});
