import { describe, expect, it } from '@jest/globals';

import { createParser, type WireEvent } from '../../src/client/parser.js';

/** What is read when the text comes in these pieces. */
function read(...pieces: string[]): WireEvent[] {
  const parser = createParser('');
  return pieces.flatMap((piece) => parser.push(piece));
}

describe('the parser', () => {
  it.each<[string, string, WireEvent[]]>([
    ['reads lines that end with LF', 'data: 1\n\n', [['message', '1', '']]],
    ['reads lines that end with CR', 'data: 1\r\r', [['message', '1', '']]],
    ['reads lines that end with CRLF', 'data: 1\r\n\r\n', [['message', '1', '']]],
    [
      'takes one space behind the colon away',
      'data:  1\n\ndata:2\n\n',
      [
        ['message', ' 1', ''],
        ['message', '2', ''],
      ],
    ],
    ['joins lines of data', 'data: 1\ndata\ndata: 3\n\n', [['message', '1\n\n3', '']]],
    ['dispatches empty data', 'data\n\n', [['message', '', '']]],
    ['passes over comments', ': 1\n:data: 2\n\ndata: 3\n\n', [['message', '3', '']]],
    ['passes over fields that it does not know', 'Data: 1\n data: 2\ndata: 3\n\n', [['message', '3', '']]],
    [
      'knows names',
      'event: a\ndata: 1\n\ndata: 2\n\n',
      [
        ['a', '1', ''],
        ['message', '2', ''],
      ],
    ],
    ['forgets the name of a block without data', 'event: a\n\ndata: 1\n\n', [['message', '1', '']]],
    [
      'keeps the id',
      'id: 1\ndata: 1\n\ndata: 2\n\n',
      [
        ['message', '1', '1'],
        ['message', '2', '1'],
      ],
    ],
    [
      'clears the id',
      'id: 1\ndata: 1\n\nid\ndata: 2\n\n',
      [
        ['message', '1', '1'],
        ['message', '2', ''],
      ],
    ],
    ['passes over an id with NUL', 'id: 1\n\nid: 2\0\ndata: 1\n\n', [['message', '1', '1']]],
    ['keeps colons in values', 'data: a: b\n\n', [['message', 'a: b', '']]],
    ['discards what is torn off', 'data: 1\n\ndata: 2\n', [['message', '1', '']]],
  ])('%s', (_, text, events) => {
    expect(read(text)).toEqual(events);
    expect(read(...Array.from(text))).toEqual(events);
  });

  it('reads a line end that is cut between CR and LF as one', () => {
    expect(read('data: 1\r', '', '\n', 'data: 2\r', '\n\r', '\n')).toEqual([['message', '1\n2', '']]);
  });

  it('moves the last event ID with the end of a block without data, and not before', () => {
    const parser = createParser('old');
    parser.push('data: 1\n\n');
    expect(parser.lastEventId).toBe('old');
    parser.push('id: new\n');
    expect(parser.lastEventId).toBe('old');
    parser.push('\n');
    expect(parser.lastEventId).toBe('new');
  });

  it('takes digits for `retry`, and nothing else', () => {
    const parser = createParser('');
    parser.push('retry: 1.5\nretry: -1\nretry: 1e3\nretry\n');
    expect(parser.retry).toBeUndefined();
    parser.push('retry: 050\n');
    expect(parser.retry).toBe(50);
  });
});
