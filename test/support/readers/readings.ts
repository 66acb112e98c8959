import { expect } from '@jest/globals';
import type { SSEEvent, SSEService } from 'nestjs-sse-hub';

import { serializeData } from '../../../src/protocol/event.js';
import { seed } from '../seed.js';
import type { ReadEvent, Reading, SentEvent, StreamReader } from './readers.js';

export type TopicEvent = SSEEvent & { topic: string };

/** A reader at work. */
export interface Opened {
  readonly reader: Pick<StreamReader, 'name' | 'expects'>;
  readonly reading: Reading;
}

/** Publishes, and answers with what is then on the wire. */
export async function send(sse: SSEService, event: TopicEvent): Promise<SentEvent> {
  const cursor = await sse.publish(event);
  return { event: event.event, text: serializeData(event.data), id: event.id ?? cursor };
}

export function untilNamed(opened: readonly Opened[], name: string): Promise<void[]> {
  return Promise.all(opened.map(({ reading }) => reading.untilNamed(name)));
}

/** Every reader gave back what was sent, in its own way, and complained about nothing. */
export function expectRead(opened: readonly Opened[], sent: readonly SentEvent[]): void {
  for (const { reader, reading } of opened) {
    const difference = firstDifference(
      reading.messages,
      sent.flatMap((event) => reader.expects(event)),
    );
    expect({ reader: reader.name, difference, errors: reading.errors }).toEqual({
      reader: reader.name,
      difference: undefined,
      errors: [],
    });
  }
}

function firstDifference(read: readonly ReadEvent[], expected: readonly ReadEvent[]): unknown {
  for (let i = 0; i < Math.max(read.length, expected.length); i++) {
    const [a, b] = [read[i], expected[i]];
    if (a?.event === b?.event && a?.data === b?.data && a?.lastEventId === b?.lastEventId) continue;
    return { seed, at: i, read: a, expected: b, lengths: [read.length, expected.length] };
  }
  return undefined;
}
