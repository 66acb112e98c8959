import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import fc from 'fast-check';

import type { Block } from '../../src/protocol/encode.js';
import type { Entry, EventEntry } from '../../src/protocol/entry.js';
import type { SSEConfig } from '../../src/sse.config.js';
import { FakeTransport } from '../support/fake-transport.js';
import { seed } from '../support/seed.js';
import { type ConnectOptions, event, StandingClock, TestHub, turn } from '../support/test-hub.js';

const RUNS = 400;
/** A few of them, and the log has to let go of what the same turn has published. */
const LARGE = 'x'.repeat(20_000);

const topic = fc.constantFrom('a', 'b', 'other');
const options: fc.Arbitrary<Partial<EventEntry>> = fc.oneof(
  { weight: 6, arbitrary: fc.constant({}) },
  { weight: 1, arbitrary: fc.constant({ id: 'own' }) },
  { weight: 1, arbitrary: fc.constant({ except: ['somebody'] }) },
  { weight: 1, arbitrary: fc.constant({ exceptGroup: 'g' }) },
);
const entry: fc.Arbitrary<Entry> = fc.oneof(
  { weight: 12, arbitrary: fc.tuple(topic, options).map(([topic, more]) => event('', { topic, ...more })) },
  { weight: 2, arbitrary: options.map((more) => event('', more)) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('close' as const, 'open' as const), topic }) },
);
const turns = fc.array(fc.array(entry, { maxLength: 8 }), { minLength: 1, maxLength: 6 });
const following = fc.constantFrom<ConnectOptions>(
  { topics: ['a'] },
  { topics: ['a', 'b'] },
  { topics: ['a', ...Array.from({ length: 20 }, (_, i) => `quiet-${i}`)] },
  { patterns: ['*'] },
  { topics: ['a'], patterns: ['b'] },
);

/** What was written to somebody: all but what names the client. */
function received({ inFlight }: FakeTransport): Block[] {
  return inFlight.filter(({ event }) => event !== 'sse.open');
}

// A slow machine would let some begin a turn later than others.
let clock: StandingClock;
beforeEach(() => {
  clock = new StandingClock();
});

afterEach(() => {
  jest.restoreAllMocks();
});

describe('what those in step get', () => {
  it('is what each of them would read for itself', async () => {
    let shared = 0;
    const run = fc.asyncProperty(
      turns,
      following,
      fc.boolean(),
      fc.boolean(),
      fc.constantFrom<SSEConfig>({}, { maxHistorySize: 1 }, { maxHistoryBytes: 65_536 }),
      // Two turns long, but for one topic.
      fc.constantFrom<SSEConfig>({}, { flushInterval: 25, flush: [{ topics: 'b', interval: 0 }] }),
      fc.constantFrom('', LARGE),
      async (published, names, atOnce, controlEvents, limits, pace, filling) => {
        const test = new TestHub({ ...limits, ...pace });
        const connect = (more: ConnectOptions): FakeTransport => {
          const transport = new FakeTransport({ atOnce });
          test.connect({ ...names, group: 'g', controlEvents, transport, ...more });
          return transport;
        };
        const batches: unknown[] = [];
        const inStep = [connect({}), connect({})];
        // One with a filter never joins them.
        const alone = connect({ filter: () => true });
        for (const transport of inStep) {
          const write = transport.write.bind(transport);
          transport.write = (batch) => (batches.push(batch), write(batch));
        }
        await turn();
        batches.length = 0;
        let count = 0;
        for (const entries of published) {
          for (const entry of entries) {
            const data = `${++count}${filling}`;
            void test.hub.publisher.append(entry.kind === 'event' ? { ...entry, data } : entry, 'queue');
          }
          await turn(2);
          clock.advance(10);
          test.endWaits();
        }
        await turn(2);
        test.endWaits(Infinity);
        await turn(2);
        shared += batches.length - new Set(batches).size;
        const [expected, ended] = [received(alone), alone.ended];
        for (const transport of inStep) {
          expect(received(transport)).toEqual(expected);
          expect(transport.ended).toBe(ended);
        }
      },
    );
    await fc.assert(run, { seed, numRuns: RUNS });
    // Otherwise nothing was compared.
    expect(shared).toBeGreaterThan(RUNS);
  });
});
