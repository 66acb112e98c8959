import { describe, expect, it } from '@jest/globals';
import { createParser } from 'eventsource-parser';
import fc from 'fast-check';

import { type Block, encodeBlock, encodedSize } from '../../src/protocol/encode.js';
import { seed } from '../support/seed.js';

const LINE_BREAKS = ['\n', '\r', '\r\n'] as const;

/** Text of many lines, with what could be taken for something else at the beginning of each. */
const text = fc
  .array(
    fc.oneof(
      fc.string({ unit: 'grapheme' }),
      fc.constantFrom(...LINE_BREAKS, ' ', ':', 'data:', 'event: x', 'id', '\u0000', '\u0085', '\u2028', '\ufeff'),
    ),
  )
  .map((parts) => parts.join(''));

const singleLine = fc
  .string({ unit: 'grapheme', minLength: 1 })
  // oxlint-disable-next-line no-control-regex -- what a publisher is refused
  .filter((value) => value.isWellFormed() && !/[\u0000-\u001f\u007f-\u009f]/.test(value));

const block: fc.Arbitrary<Block> = fc.record(
  { comment: text, event: singleLine, id: singleLine, retry: fc.nat(2 ** 31 - 1), data: text },
  { requiredKeys: ['data'] },
);

function parse(wire: string) {
  const events: unknown[] = [];
  const comments: string[] = [];
  const retries: number[] = [];
  const parser = createParser({
    onEvent: (event) => events.push(event),
    onComment: (comment) => comments.push(comment),
    onRetry: (retry) => retries.push(retry),
    onError: (error) => {
      throw error;
    },
  });
  parser.feed(wire);
  return { events, comments: comments.join('\n'), retries };
}

describe('encodeBlock', () => {
  it('writes each field with a space after its colon, and a blank line at the end', () => {
    const wire = encodeBlock({ comment: 'note', event: 'price', id: '7', retry: 3000, data: 'up' });
    expect(wire).toBe(': note\nevent: price\nid: 7\nretry: 3000\ndata: up\n\n');
  });

  it('leaves out what is not there', () => {
    expect(encodeBlock({ id: '7' })).toBe('id: 7\n\n');
    expect(encodeBlock({ data: '' })).toBe('data: \n\n');
    expect(encodeBlock({ retry: 0 })).toBe('retry: 0\n\n');
  });

  it.each(LINE_BREAKS)('gives every line of data and comments a field of its own (%j)', (lineBreak) => {
    const lines = ['a', '', 'b', ''].join(lineBreak);
    expect(encodeBlock({ comment: lines, data: lines })).toBe(': a\n: \n: b\n: \ndata: a\ndata: \ndata: b\ndata: \n\n');
  });

  it('takes CR LF for one line break and LF CR for two', () => {
    expect(encodeBlock({ data: 'a\r\nb' })).toBe('data: a\ndata: b\n\n');
    expect(encodeBlock({ data: 'a\n\rb' })).toBe('data: a\ndata: \ndata: b\n\n');
  });

  it('takes nothing else for a line break', () => {
    const data = 'a\u0085b\u2028c\u2029d\u000be\u000cf';
    expect(encodeBlock({ data })).toBe(`data: ${data}\n\n`);
  });

  it('writes no CR and one blank line only, whatever the values are', () => {
    fc.assert(
      fc.property(block, (value) => {
        const wire = encodeBlock(value);
        expect(wire).not.toContain('\r');
        expect(wire.indexOf('\n\n')).toBe(wire.length - 2);
      }),
      { seed },
    );
  });

  it('is read back by an independent parser as it was written', () => {
    fc.assert(
      fc.property(fc.array(block, { maxLength: 5 }), (blocks) => {
        const lines = (value: string) => value.replace(/\r\n?/g, '\n');
        expect(parse(blocks.map(encodeBlock).join(''))).toEqual({
          events: blocks.map(({ event, id, data }) => ({ event, id, data: lines(data!) })),
          comments: blocks.flatMap(({ comment }) => (comment === undefined ? [] : [lines(comment)])).join('\n'),
          retries: blocks.flatMap(({ retry }) => (retry === undefined ? [] : [retry])),
        });
      }),
      { seed, numRuns: 500 },
    );
  });

  it('has the size that was told before', () => {
    fc.assert(
      fc.property(text, (value) => {
        expect(encodedSize('data', value)).toBe(Buffer.byteLength(encodeBlock({ data: value })) - 'data: \n\n'.length);
        expect(encodedSize('', value)).toBe(Buffer.byteLength(encodeBlock({ comment: value })) - ': \n\n'.length);
        expect(encodedSize('data', value, 20) > 20).toBe(encodedSize('data', value) > 20);
      }),
      { seed },
    );
  });
});
