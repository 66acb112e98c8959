import { describe, expect, it } from '@jest/globals';
import { type LogReader, MemoryBackplane, SSEService, topicPattern } from 'nestjs-sse-hub';
import type { Observable } from 'rxjs';

import { FakeTransport } from '../support/fake-transport.js';
import { TestHub } from '../support/test-hub.js';

const drainTimeout = 1_000;

/** One whose end takes its time, on the processor and then on the network. */
class SlowToEnd extends FakeTransport {
  endedAfter: number | undefined;
  destroyed = false;

  constructor(
    readonly started: () => number,
    readonly work: number,
    readonly reads: boolean,
  ) {
    super();
  }

  override close(): Promise<void> {
    const from = performance.now();
    while (performance.now() - from < this.work);
    this.endedAfter = from - this.started();
    return this.reads ? super.close() : new Promise(() => {});
  }

  override destroy(): void {
    this.destroyed = true;
    super.destroy();
  }
}

async function shutDown(count: number, { work = 0, reads = true } = {}) {
  const test = new TestHub({ maxClients: Infinity, drainTimeout });
  let started = 0;
  const transports = Array.from({ length: count }, () => new SlowToEnd(() => started, work, reads));
  for (const transport of transports) test.connect({ topics: ['a'], transport });
  started = performance.now();
  await test.hub.shutdown();
  return { transports, took: performance.now() - started };
}

describe('shutdown', () => {
  it('takes no longer than drainTimeout, however long the machine takes for each stream', async () => {
    const { took, transports } = await shutDown(1_000, { work: 0.6, reads: false });
    expect(took).toBeGreaterThan(drainTimeout - 20);
    expect(took).toBeLessThan(drainTimeout + 500);
    expect(transports.filter(({ destroyed }) => !destroyed)).toEqual([]);
  });

  it('ends 200 streams at once, and spreads the others over at most half of drainTimeout', async () => {
    const { transports } = await shutDown(5_000);
    const times = transports.map(({ endedAfter }) => endedAfter!);
    const newest = Math.max(...times);
    expect(Math.max(...times.slice(0, 200))).toBeLessThan(drainTimeout / 4);
    expect(newest).toBeGreaterThan(drainTimeout / 4);
    expect(newest).toBeLessThan(drainTimeout / 2 + 300);
    const inFirstHalf = times.filter((time) => time < newest / 2).length;
    expect(inFirstHalf).toBeGreaterThan(times.length / 5);
    expect(inFirstHalf).toBeLessThan((times.length * 4) / 5);
  });

  it('waits no longer than the streams take', async () => {
    const { took, transports } = await shutDown(100);
    expect(took).toBeLessThan(drainTimeout / 2);
    expect(transports.every(({ ended }) => ended)).toBe(true);
  });

  it('does not begin to read a log that was never read', async () => {
    let readers = 0;
    const backplane = new (class extends MemoryBackplane {
      override start(reader: LogReader): Promise<void> {
        readers++;
        return super.start(reader);
      }
    })();
    const sse = new SSEService({ backplane });
    await sse.shutdown();
    const types: unknown[] = [];
    sse.stream('a').subscribe(({ type }) => types.push(type));
    await sse.start();
    expect(types).toEqual(['sse.busy']);
    expect(readers).toBe(0);
  });

  it('completes what observes from then on', async () => {
    const sse = await new SSEService().start();
    await sse.shutdown();
    const completed: string[] = [];
    const observed = { a: sse.observe('a'), pattern: sse.observe(topicPattern('*')), connections: sse.connections };
    for (const [name, observable] of Object.entries(observed)) {
      (observable as Observable<unknown>).subscribe({ complete: () => completed.push(name) });
    }
    expect(completed).toEqual(['a', 'pattern', 'connections']);
  });
});
