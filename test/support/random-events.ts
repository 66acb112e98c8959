import type { SSEEvent } from 'nestjs-sse-hub';

import { integer, pick, seededRandom } from './seed.js';

type Random = () => number;

/** What may stand on one line, and could be taken for something else. */
const LINE_PIECES = ['a', 'Z', '0', ' ', ':', 'data:', 'event: x', 'id: 7', 'sse', '\ufeff', '\u2028', 'é', '漢', '😀'];
const TEXT_PIECES = [...LINE_PIECES, '\n', '\r', '\r\n', '\n\n', '\t', '\u0000', '\u0085', 'retry: 1', ': '];

function textOf(random: Random, pieces: readonly string[], min: number, max: number): string {
  return Array.from({ length: integer(random, min, max) }, () => pick(random, pieces)).join('');
}

function valueOf(random: Random, depth = 0): unknown {
  switch (integer(random, 0, depth < 3 ? 6 : 4)) {
    case 0:
      return textOf(random, TEXT_PIECES, 0, 8);
    case 1:
      return random() * 10 ** integer(random, -9, 20) - 1;
    case 2:
      return integer(random, -9, 9);
    case 3:
      return random() < 0.5;
    case 4:
      // Half an emoji: JSON escapes it, so it survives, which it doesn't as a text of its own.
      return depth === 0 ? null : pick(random, ['\ud83d', '', '\u2029']);
    case 5:
      return Array.from({ length: integer(random, 0, 4) }, () => valueOf(random, depth + 1));
    default:
      return Object.fromEntries(
        Array.from({ length: integer(random, 0, 4) }, () => [
          textOf(random, TEXT_PIECES, 0, 3),
          valueOf(random, depth + 1),
        ]),
      );
  }
}

/** Events of every shape that a publisher is allowed, the same for the same seed. Never one of the name `end`. */
export function randomEvents(count: number, topic: string, salt: number): (SSEEvent & { topic: string })[] {
  const random = seededRandom(salt);
  return Array.from({ length: count }, (_, i) => ({
    topic,
    data: random() < 0.6 ? textOf(random, TEXT_PIECES, 0, 12) : valueOf(random),
    ...(random() < 0.6 && {
      event: `${textOf(random, LINE_PIECES, 0, 3)}${pick(random, ['', 'e', ' '])}` || 'message',
    }),
    ...(random() < 0.15 && { id: `${textOf(random, LINE_PIECES, 0, 3)}-${i}` }),
    ...(random() < 0.05 && { retry: integer(random, 0, 2 ** 31 - 1) }),
    ...(random() < 0.1 && { comment: textOf(random, TEXT_PIECES, 0, 6) }),
  }));
}
