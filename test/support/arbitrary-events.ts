import fc from 'fast-check';
import type { SSEEvent } from 'nestjs-sse-hub';

import { eventFault } from '../../src/protocol/event.js';

/** What a careless encoder, or reader, takes for something else. */
const TRICKY = ['\r', '\n', '\r\n', '\n\n', ':', ': ', ' ', 'data: x', 'id: 1', 'event: x', 'retry: 1', '\ufeff', '\0'];

const text = fc
  .array(fc.oneof(fc.constantFrom(...TRICKY), fc.string({ unit: 'binary', maxLength: 5 })), {
    maxLength: 6,
    size: 'max',
  })
  .map((pieces) => pieces.join(''));

/** A text that the publisher lets pass in this field. */
function fit(field: 'event' | 'id'): fc.Arbitrary<string> {
  return text.filter((value) => eventFault({ [field]: value }) === undefined);
}

/** Any event that may be published, except one of the name `end`. */
export const anyEvent: fc.Arbitrary<SSEEvent> = fc.record(
  {
    data: fc.oneof(text, fc.jsonValue(), fc.string({ unit: 'binary', maxLength: 1_000 })),
    event: fit('event').filter((name) => name !== 'end'),
    id: fit('id'),
    retry: fc.nat({ max: 2 ** 31 - 1 }),
    comment: text.filter((comment) => eventFault({ comment }) === undefined),
  },
  { requiredKeys: ['data'] },
);
