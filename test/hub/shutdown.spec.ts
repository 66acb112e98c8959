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

/** What else runs on the machine can only add to the time: the best of several is nearest to what the hub takes. */
async function best<T>(attempt: () => Promise<T>, isGood: (result: T) => boolean): Promise<T> {
  for (let tries = 1; ; tries++) {
    const result = await attempt();
    if (tries === 5 || isGood(result)) return result;
  }
}

describe('shutdown', () => {
  it('takes no longer than drainTimeout, however long the machine takes for each stream', async () => {
    const inTime = drainTimeout + 300;
    const slowToEnd = () => shutDown(1_000, { work: 0.6, reads: false });
    const { took, transports } = await best(slowToEnd, ({ took }) => took < inTime);
    expect(took).toBeGreaterThan(drainTimeout - 20);
    expect(took).toBeLessThan(inTime);
    expect(transports.filter(({ destroyed }) => !destroyed)).toEqual([]);
  });

  it('ends 200 streams at once, and spreads the others over at most half of drainTimeout', async () => {
    const endings = async () => (await shutDown(5_000)).transports.map(({ endedAfter }) => endedAfter!);
    const spread = (times: readonly number[]) => ({
      first: Math.max(...times.slice(0, 200)),
      last: Math.max(...times),
      inFirstHalf: times.filter((time) => time < Math.max(...times) / 2).length / times.length,
    });
    const { first, last, inFirstHalf } = spread(
      await best(endings, (times) => spread(times).first < drainTimeout / 4 && spread(times).last < drainTimeout * 0.8),
    );
    expect(first).toBeLessThan(drainTimeout / 4);
    expect(last).toBeGreaterThan(drainTimeout / 4);
    expect(last).toBeLessThan(drainTimeout * 0.8);
    expect(inFirstHalf).toBeGreaterThan(0.2);
    expect(inFirstHalf).toBeLessThan(0.8);
  });

  it('waits no longer than the streams take', async () => {
    const { took, transports } = await best(
      () => shutDown(100),
      ({ took }) => took < drainTimeout / 2,
    );
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
