import { describe, expect, it } from '@jest/globals';

import { Publication } from '../../src/log/publication.js';
import type { EventEntry } from '../../src/protocol/entry.js';

const POSITION = { ms: 1_700_000_000_000, seq: 3 };

function envelopeOf(entry: Partial<EventEntry>) {
  return new Publication({ kind: 'event', data: '1', ...entry }, POSITION, 'epoch').envelope(JSON.parse);
}

describe('what observers see of a publication', () => {
  it('has the time at which the log got it', () => {
    expect(envelopeOf({}).timestamp).toBe('2023-11-14T22:13:20.000Z');
  });

  it("has the application's own time where there is one", () => {
    expect(envelopeOf({ timestamp: '2020-01-01T00:00:00Z' }).timestamp).toBe('2020-01-01T00:00:00Z');
  });

  it('cannot be changed', () => {
    expect(Object.isFrozen(envelopeOf({ topic: 't' }))).toBe(true);
  });
});
