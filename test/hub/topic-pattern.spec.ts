import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';
import { SSEError } from 'nestjs-sse-hub';

import { compilePattern, TopicPattern, topicPattern } from '../../src/hub/topics/topic-pattern.js';
import { seed } from '../support/seed.js';

function matches(pattern: string, topic: string, delimiter = ':'): boolean {
  return compilePattern(topicPattern(pattern), delimiter)(topic);
}

/** What the wildcards mean, written for reading and not for speed. */
function matchesByDefinition(wanted: readonly string[], segments: readonly string[]): boolean {
  const [first, ...rest] = wanted;
  if (first === undefined) return segments.length === 0;
  if (first === '**')
    return segments.some((_, i) => matchesByDefinition(rest, segments.slice(i))) || matchesByDefinition(rest, []);
  const [segment, ...others] = segments;
  if (segment === undefined) return false;
  return (first === '*' || first === segment) && matchesByDefinition(rest, others);
}

/** How often a match looks at a segment of the topic. */
function looksAtSegments(pattern: string, topic: string): number {
  let looks = 0;
  const segments = new Proxy(topic.split(':'), {
    get: (target, key, receiver) => {
      if (typeof key === 'string' && /^\d+$/.test(key)) looks++;
      return Reflect.get(target, key, receiver) as unknown;
    },
  });
  const split = { split: () => segments } as unknown as string;
  compilePattern(topicPattern(pattern), ':')(split);
  return looks;
}

describe('topicPattern', () => {
  it.each([
    ['dashboard:*', 'dashboard:cpu', true],
    ['dashboard:*', 'dashboard:cpu:0', false],
    ['dashboard:*', 'dashboard', false],
    ['dashboard:*', 'dashboard:', true],
    ['*', 'a', true],
    ['*', 'a:b', false],
    ['*:b', 'a:b', true],
    ['a:*:c', 'a:b:c', true],
    ['a:*:c', 'a:c', false],
    ['orders:**', 'orders', true],
    ['orders:**', 'orders:eu', true],
    ['orders:**', 'orders:eu:42', true],
    ['orders:**', 'ordersX', false],
    ['**', 'anything:at:all', true],
    ['**:end', 'end', true],
    ['**:end', 'a:b:end', true],
    ['**:end', 'a:end:b', false],
    ['a:**:z', 'a:z', true],
    ['a:**:z', 'a:b:z:c:z', true],
    ['a:**:**:z', 'a:z', true],
    ['**:*', 'a', true],
    ['a', 'a', true],
    ['a', 'A', false],
    ['a.b', 'aXb', false],
    ['__proto__:*', '__proto__:x', true],
  ])('says whether %j takes %j: %j', (pattern, topic, expected) => {
    expect(matches(pattern, topic)).toBe(expected);
  });

  it('follows the delimiter of the configuration', () => {
    expect(matches('a.*', 'a.b', '.')).toBe(true);
    expect(matches('a.*', 'a.b:c', '.')).toBe(true);
    expect(matches('a.*', 'a:b', '.')).toBe(false);
    expect(matches('a::*', 'a::b', '::')).toBe(true);
  });

  it('refuses a wildcard that is only a part of a segment, because it could never match', () => {
    for (const pattern of ['dash*', 'a:b*:c', '***', 'a:*b']) {
      expect(() => matches(pattern, 'a', ':')).toThrow(expect.objectContaining({ code: 'INVALID_TOPIC' }));
    }
    expect(() => matches('a:*', 'a.b', '.')).toThrow(/whole segments/);
  });

  it('agrees with the definition of its wildcards', () => {
    const segment = fc.constantFrom('a', 'b', '');
    const wanted = fc.array(fc.oneof(segment, fc.constantFrom('*', '**')), { minLength: 1, maxLength: 6 });
    fc.assert(
      fc.property(wanted, fc.array(segment, { minLength: 1, maxLength: 7 }), (wanted, segments) => {
        fc.pre(wanted.join(':') !== '');
        expect(matches(wanted.join(':'), segments.join(':'))).toBe(matchesByDefinition(wanted, segments));
      }),
      { seed, numRuns: 5_000 },
    );
  });

  it.each(['', 'a\nb', 'a\u0000', '\ud800', 'p'.repeat(513)])('refuses %j', (pattern) => {
    expect(() => topicPattern(pattern)).toThrow(SSEError);
    expect(() => topicPattern(pattern)).toThrow(expect.objectContaining({ code: 'INVALID_TOPIC' }));
  });

  it('is shown as it was written', () => {
    expect(String(topicPattern('a:**'))).toBe('a:**');
    expect(topicPattern('a:**')).toBeInstanceOf(TopicPattern);
  });

  describe('L5: patterns made to be slow', () => {
    it.each(['**:', '**:*:', '**:a:', '*:**:', 'a:**:'])('take linear time: %j, over and over', (unit) => {
      const looks = (times: number): number => looksAtSegments(`${unit.repeat(times)}b`, `${'a:'.repeat(4 * times)}c`);
      // Twice the pattern and twice the topic: twice the work, and not a multiple that grows.
      for (const times of [8, 16, 32]) expect(looks(2 * times)).toBeLessThanOrEqual(3 * looks(times));
      expect(looks(64)).toBeLessThan(10 * 4 * 64);
    });

    it('look at most (segments of the pattern) × (segments of the topic) times, whatever they are', () => {
      const segment = fc.constantFrom('a', 'a', 'a', 'b');
      const wanted = fc.array(fc.oneof(segment, fc.constantFrom('*', '**', '**')), { minLength: 1, maxLength: 120 });
      fc.assert(
        fc.property(wanted, fc.array(segment, { minLength: 1, maxLength: 200 }), (wanted, segments) => {
          const looks = looksAtSegments(wanted.join(':'), segments.join(':'));
          expect(looks).toBeLessThanOrEqual((wanted.length + 1) * segments.length);
        }),
        { seed },
      );
    });
  });
});
