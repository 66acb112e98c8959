import { describe, expect, it } from '@jest/globals';
import { SSEService, topicPattern } from 'nestjs-sse-hub';

import { returnToBaseline } from '../../support/baseline.js';

const bench = returnToBaseline();

describe('SSEService', () => {
  it('L5: patterns made to be slow cost a publisher no noticeable time', () => {
    const sse = bench.watch(new SSEService({ maxHistorySize: 0 }));
    const patterns = [
      '**:'.repeat(170) + 'x',
      '**:a:'.repeat(100) + 'x',
      '*:**:'.repeat(100) + 'x',
      'a:**:**:a:**:**:b',
    ];
    const subscriptions = patterns.map((pattern) => sse.stream(topicPattern(pattern)).subscribe());
    const topic = 'a:'.repeat(254) + 'b';
    const started = performance.now();
    for (let i = 0; i < 20; i++) sse.broadcast(topic, 'n', i);
    // One that tried all ways to match would be at it for years.
    expect(performance.now() - started).toBeLessThan(10_000);
    for (const subscription of subscriptions) subscription.unsubscribe();
  });
});
