import { describe, expect, it } from '@jest/globals';
import { createParser } from 'eventsource-parser';
import fc from 'fast-check';

import { EventParser } from '../../src/testing/event-parser.js';

interface Reading {
  /** Name, data and last event ID of each. */
  readonly events: [string, string, string][];
  readonly comments: string[];
  readonly retries: number[];
  lastEventId: string;
}

function read(pieces: readonly Uint8Array[], lastEventId = ''): Reading {
  const reading: Reading = { events: [], comments: [], retries: [], lastEventId };
  const parser = new EventParser(
    {
      event: (...event) => reading.events.push(event),
      block: (id) => (reading.lastEventId = id),
      retry: (ms) => reading.retries.push(ms),
      comment: (text) => reading.comments.push(text),
    },
    lastEventId,
  );
  for (const piece of pieces) parser.feed(piece);
  return reading;
}

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const readText = (text: string, lastEventId?: string): Reading => read([bytes(text)], lastEventId);

/** Every byte by itself. */
function inBytes(text: string): Uint8Array[] {
  return Array.from(bytes(text), (byte) => Uint8Array.of(byte));
}

describe('the parser of event streams', () => {
  it.each([
    ['dispatches at an empty line, and not before', 'data: 1\n\ndata: 2\n', [['message', '1', '']]],
    ['joins lines of data', 'data: a\ndata\ndata: b\n\n', [['message', 'a\n\nb', '']]],
    [
      'takes empty data for data',
      'data\n\ndata:\n\n',
      [
        ['message', '', ''],
        ['message', '', ''],
      ],
    ],
    ['takes one space away, and no more', 'data:a\ndata:  b\n\n', [['message', 'a\n b', '']]],
    ['forgets the name of a block without data', 'event: a\n\ndata: 1\n\n', [['message', '1', '']]],
    [
      'keeps the id for what follows',
      'id: 7\ndata: 1\n\ndata: 2\n\n',
      [
        ['message', '1', '7'],
        ['message', '2', '7'],
      ],
    ],
    [
      'clears the id',
      'id: 7\ndata: 1\n\nid\ndata: 2\n\n',
      [
        ['message', '1', '7'],
        ['message', '2', ''],
      ],
    ],
    ['ignores an id with a NUL', 'id: 7\0\ndata: 1\n\n', [['message', '1', '']]],
    ['ignores other fields, and other cases', 'x: 1\nData: 2\n data: 3\ndata: 4\n\n', [['message', '4', '']]],
    [
      'knows the three ends of lines',
      'data: a\r\rdata: b\r\n\r\ndata: c\n\n',
      ['a', 'b', 'c'].map((d) => ['message', d, '']),
    ],
    ['passes over one BOM at the start', '\ufeffdata: 1\n\n\ufeffdata: 2\n\n', [['message', '1', '']]],
    ['leaves other separators in the data', 'data: \u2028\u0085\v\n\n', [['message', '\u2028\u0085\v', '']]],
  ])('%s', (_, text, events) => {
    expect(readText(text).events).toEqual(events);
    expect(read(inBytes(text)).events).toEqual(events);
  });

  it('takes the id of a block without data for the place to come back to', () => {
    expect(readText('id: 8\n\n', '7')).toMatchObject({ events: [], lastEventId: '8' });
    expect(readText('id: 8\n', '7').lastEventId).toBe('7');
    expect(readText('data: 1\n\n', '7').events).toEqual([['message', '1', '7']]);
  });

  it('reads retry and comments', () => {
    const { retries, comments } = readText(':\n: a\n:  b\nretry: 10\nretry: 1x\nretry: -1\nretry\nretry: ٣\n\n');
    expect(retries).toEqual([10]);
    expect(comments).toEqual(['', 'a', ' b']);
  });

  it('reads what eventsource-parser reads, whatever comes, in whatever pieces', () => {
    const part = fc.constantFrom(
      'data',
      'event',
      'id',
      ':',
      ':',
      ' ',
      '\n',
      '\n',
      '\r',
      '\r\n',
      'é',
      '😀',
      'x',
      '\ufeff',
    );
    const lines = fc.constantFrom('data: a', 'event: b', 'id: 7', 'retry: 5', ': c', 'data', '\n');
    const text = fc.array(
      fc.oneof(
        part,
        lines.map((line) => `${line}\n`),
      ),
      { maxLength: 40 },
    );
    fc.assert(
      fc.property(text, fc.array(fc.nat(80), { maxLength: 5 }), (parts, cuts) => {
        // It takes a BOM away from text that was decoded already, and waits for what follows a carriage return.
        const whole = `:\n${parts.join('')}\n:\n`;
        const expected: Omit<Reading, 'lastEventId' | 'comments'> = { events: [], retries: [] };
        let id = '';
        const other = createParser({
          onEvent: ({ event = 'message', data, id: own }) => {
            id = own ?? id;
            expected.events.push([event, data, id]);
          },
          onRetry: (ms) => expected.retries.push(ms),
        });
        other.feed(whole);
        const all = bytes(whole);
        const places = [0, ...cuts.toSorted((a, b) => a - b), all.length];
        const pieces = places.slice(1).map((end, i) => all.subarray(places[i], end));
        const { events, retries } = read(pieces);
        // It tells no id of a block without data.
        const withoutIds = (list: Reading['events']) => list.map(([event, data]) => [event, data]);
        expect([withoutIds(events), retries]).toEqual([withoutIds(expected.events), expected.retries]);
      }),
      { numRuns: 2_000 },
    );
  });
});
