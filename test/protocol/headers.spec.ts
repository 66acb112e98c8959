import { describe, expect, it } from '@jest/globals';
import fc from 'fast-check';

import { lastEventIdOf, STREAM_HEADERS } from '../../src/protocol/headers.js';
import { seed } from '../support/seed.js';

describe('STREAM_HEADERS', () => {
  it('keeps caches and proxies from storing, changing or holding back an event stream, and says nothing of the connection', () => {
    expect(STREAM_HEADERS).toEqual({
      'Content-Type': 'text/event-stream',
      'Cache-Control': 'private, no-cache, no-store, must-revalidate, max-age=0, no-transform',
      'X-Accel-Buffering': 'no',
    });
    expect(Object.isFrozen(STREAM_HEADERS)).toBe(true);
  });
});

describe('lastEventIdOf', () => {
  it('prefers the header to the query', () => {
    expect(lastEventIdOf('from-header', '/events?lastEventId=from-query')).toBe('from-header');
    expect(lastEventIdOf(undefined, '/events?lastEventId=from-query')).toBe('from-query');
    expect(lastEventIdOf('', '/events?lastEventId=from-query')).toBe('from-query');
  });

  it('joins a header that came twice', () => {
    expect(lastEventIdOf(['a', 'b'], undefined)).toBe('a, b');
  });

  it('is empty when there is none', () => {
    for (const url of [undefined, '', '/', '/events', '/events?', '/events?last=1', '/events?lastEventId']) {
      expect(lastEventIdOf(undefined, url)).toBe('');
    }
  });

  it('finds it among other parameters, and takes the first of several', () => {
    expect(lastEventIdOf(undefined, '/e?a=1&lastEventId=x&lastEventId=y')).toBe('x');
  });

  it('survives a query that is not well-formed', () => {
    expect(lastEventIdOf(undefined, '/e?lastEventId=%0d%0a%zz')).toBe('\r\n%zz');
    expect(lastEventIdOf(undefined, '/e?%&&=&lastEventId=%ff')).toBe('\ufffd');
  });

  it('reads the header as UTF-8, which Node reads as Latin-1', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme', minLength: 1 }), (id) => {
        expect(lastEventIdOf(Buffer.from(id).toString('latin1'), undefined)).toBe(id);
      }),
      { seed },
    );
  });
});
