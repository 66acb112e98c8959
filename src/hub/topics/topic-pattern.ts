import { MAX_TOPIC_BYTES, show, singleLineFault } from '../../protocol/event.js';
import { SSEError } from '../../sse.error.js';

declare const MATCHES: unique symbol;

/** Topics that match a pattern, as a type: a template literal with a string for each wildcard. */
export type Matching<Pattern extends string> = Pattern extends `${infer Before}**${infer After}`
  ? `${Before}${string}${Matching<After>}`
  : Pattern extends `${infer Before}*${infer After}`
    ? `${Before}${string}${Matching<After>}`
    : Pattern;

/**
 * Several topics at once. Made by `topicPattern()`, never from a plain string: strings come from URLs, and a visitor
 * must not be able to follow everything.
 */
export class TopicPattern<Topic extends string = string> {
  /** The topics that match, for types alone. */
  declare readonly [MATCHES]?: Topic;

  constructor(readonly pattern: string) {
    Object.freeze(this);
  }

  /** Without a wildcard it is a topic like any other. */
  get isLiteral(): boolean {
    return !this.pattern.includes('*');
  }

  toString(): string {
    return this.pattern;
  }
}

/**
 * A pattern of topics: `*` stands for exactly one segment, `**` for any number, none included.
 * Segments are separated by the configured `topicDelimiter`, `:` by default.
 *
 * Throws `INVALID_TOPIC` when the pattern is not a single line of 1 to 512 bytes. A wildcard stands for a whole segment:
 * `order*` is `INVALID_TOPIC` where it is used.
 *
 * @example
 * sse.stream(topicPattern('dashboard:*')); // dashboard:cpu, dashboard:memory; not dashboard:cpu:0
 * sse.stream(topicPattern('orders:**')); // orders, orders:eu, orders:eu:42
 */
export function topicPattern<Pattern extends string>(pattern: Pattern): TopicPattern<Matching<Pattern>> {
  const fault = singleLineFault(pattern, MAX_TOPIC_BYTES);
  if (fault) throw new SSEError('INVALID_TOPIC', `topicPattern(${show(pattern)}): ${fault}.`);
  return new TopicPattern(pattern);
}

/**
 * A test for topics that match. Throws `INVALID_TOPIC` for a wildcard that is only a part of a segment. Its time is at most (segments of the pattern) × (segments of the topic).
 */
export function compilePattern({ pattern }: TopicPattern, delimiter: string): (topic: string) => boolean {
  for (const segment of pattern.split(delimiter)) assertSegment(segment, pattern, delimiter);
  // Neighbouring `**` mean the same as one.
  const wanted = pattern.split(delimiter).filter((segment, i, all) => segment !== '**' || all[i - 1] !== '**');
  return (topic) => matches(wanted, topic.split(delimiter));
}

function assertSegment(segment: string, pattern: string, delimiter: string): void {
  if (!segment.includes('*') || segment === '*' || segment === '**') return;
  throw new SSEError(
    'INVALID_TOPIC',
    `topicPattern(${show(pattern)}): a wildcard stands for whole segments between ${show(delimiter)}, ` +
      `and ${show(segment)} could never match.`,
  );
}

// Greedy with a single point of return, as for file globs: only the last `**` ever has to take one segment more.
function matches(wanted: readonly string[], segments: readonly string[]): boolean {
  let w = 0;
  let s = 0;
  let resumeWanted = -1;
  let resumeSegment = -1;
  while (s < segments.length) {
    if (wanted[w] === '**') {
      resumeWanted = ++w;
      resumeSegment = s;
    } else if (w < wanted.length && (wanted[w] === '*' || wanted[w] === segments[s])) {
      w++;
      s++;
    } else if (resumeWanted >= 0) {
      w = resumeWanted;
      s = ++resumeSegment;
    } else {
      return false;
    }
  }
  if (wanted[w] === '**') w++;
  return w === wanted.length;
}
