import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { Batch, Frame, HEARTBEAT } from '../../src/protocol/frame.js';
import { seed } from '../support/seed.js';

function frameOf(size: number, letter = 'x'): Frame {
  return new Frame([{ data: letter.repeat(size) }]);
}

/** What is in HTTP/1.1 chunks, read as RFC 9112 says, section 7.1. */
function decodeChunks(bytes: Buffer): string[] {
  const contents: string[] = [];
  for (let at = 0; at < bytes.length;) {
    const line = bytes.indexOf('\r\n', at);
    const size = bytes.toString('latin1', at, line);
    expect(size).toMatch(/^[0-9a-f]+$/);
    const end = line + 2 + Number.parseInt(size, 16);
    contents.push(bytes.toString('utf8', line + 2, end));
    expect(bytes.toString('latin1', end, end + 2)).toBe('\r\n');
    at = end + 2;
  }
  return contents;
}

describe('a frame', () => {
  it('is all its blocks, in order', () => {
    expect(new Frame([{ id: 'mine', data: 'a' }, { id: '1~e~1-1' }]).text).toBe('id: mine\ndata: a\n\nid: 1~e~1-1\n\n');
  });

  it('is encoded once', () => {
    const frame = frameOf(10);
    expect(frame.chunk).toBe(frame.chunk);
    expect(frame.bytes.buffer).toBe(frame.chunk.buffer);
  });

  it('is one chunk of HTTP/1.1, counted in bytes', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (data) => {
        const frame = new Frame([{ data }]);
        expect(decodeChunks(frame.chunk)).toEqual([frame.text]);
        expect(frame.bytes.toString()).toBe(frame.text);
      }),
      { seed },
    );
  });

  it('is a comment without a blank line when it is a heartbeat', () => {
    expect(HEARTBEAT.bytes.toString()).toBe(':\n');
    expect(HEARTBEAT.chunk.toString()).toBe('2\r\n:\n\r\n');
  });
});

describe('a batch', () => {
  it('holds all frames in order, whatever their sizes', () => {
    const size = fc.oneof(fc.nat(60), fc.integer({ min: 1_350, max: 1_370 }), fc.nat(12_000));
    fc.assert(
      fc.property(fc.array(size, { minLength: 1, maxLength: 20 }), (sizes) => {
        const frames = sizes.map((length, i) => frameOf(length, String.fromCodePoint(0x4e00 + i)));
        const text = frames.map((frame) => frame.text).join('');
        const batch = new Batch(frames);
        expect(decodeChunks(Buffer.concat(batch.chunks)).join('')).toBe(text);
        expect(Buffer.concat(batch.payloads).toString()).toBe(text);
        expect(batch.size).toBe(frames.reduce((sum, frame) => sum + frame.chunk.length, 0));
      }),
      { seed, numRuns: 50 },
    );
  });

  it('joins small frames into one write', () => {
    const batch = new Batch(Array.from({ length: 100 }, () => frameOf(20)));
    expect(batch.chunks).toHaveLength(1);
    expect(decodeChunks(batch.chunks[0]!)).toHaveLength(1);
  });

  it('joins them once for everybody', () => {
    const batch = new Batch([frameOf(20), frameOf(20)]);
    expect(batch.chunks).toBe(batch.chunks);
    expect(batch.payloads[0]!.buffer).toBe(batch.chunks[0]!.buffer);
  });

  it('keeps what it joins within bounds', () => {
    const batch = new Batch(Array.from({ length: 1_000 }, () => frameOf(1_000)));
    expect(batch.chunks.length).toBeGreaterThan(20);
    for (const chunk of batch.chunks) expect(chunk.length).toBeLessThanOrEqual(32_768);
  });

  it('hands large frames on as they are, wherever they stand', () => {
    const large = frameOf(10_000);
    const huge = frameOf(1_048_576);
    const small = Array.from({ length: 4 }, () => frameOf(20));
    const batch = new Batch([large, small[0]!, small[1]!, huge, small[2]!, large, small[3]!]);
    const kinds = batch.chunks.map((chunk) =>
      chunk === large.chunk ? 'large' : chunk === huge.chunk ? 'huge' : 'small',
    );
    expect(kinds).toEqual(['large', 'small', 'huge', 'small', 'large', 'small']);
  });

  it('copies nothing when there is one frame', () => {
    const frame = frameOf(20);
    expect(new Batch([frame]).chunks).toEqual([frame.chunk]);
    expect(new Batch([frame]).chunks[0]).toBe(frame.chunk);
  });
});
