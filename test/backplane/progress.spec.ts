import { describe, expect, it } from '@jest/globals';

import { Progress } from '../../src/backplane/broker/progress.js';
import { ORIGIN } from '../../src/protocol/cursor.js';
import { LogRecorder } from '../support/brokers/log-recorder.js';
import { event } from '../support/test-hub.js';

const NOW = 1_795_893_175_398;

function progressAt(from = ORIGIN): Progress {
  const progress = new Progress(new LogRecorder(), () => {});
  progress.startOver('epoch');
  progress.begin(from);
  return progress;
}

describe('what is read next', () => {
  it('has the places up to the last one of its batch, and follows what was read before', () => {
    const progress = progressAt({ ms: 5, seq: 7 });
    const entries = ['a', 'b', 'c'].map((data) => event(data));
    const [a, b, c] = progress.advance({ ms: 6, seq: 12 }, entries);
    expect([a, b, c]).toEqual([
      { epoch: 'epoch', previous: { ms: 5, seq: 7 }, position: { ms: 6, seq: 10 }, entry: entries[0] },
      { epoch: 'epoch', previous: { ms: 6, seq: 10 }, position: { ms: 6, seq: 11 }, entry: entries[1] },
      { epoch: 'epoch', previous: { ms: 6, seq: 11 }, position: { ms: 6, seq: 12 }, entry: entries[2] },
    ]);
    expect(progress.last).toEqual({ ms: 6, seq: 12 });
    const [next] = progress.advance({ ms: 9, seq: 0 }, [undefined], { ms: 8, seq: 3 });
    expect(next).toMatchObject({ previous: { ms: 8, seq: 3 }, entry: undefined });
  });
});

describe('how far a reader is behind', () => {
  it('is the time between what it has read and the end of the log', () => {
    const progress = progressAt({ ms: NOW - 1_500, seq: 0 });
    expect(progress.lag).toBeUndefined();
    progress.endsAt(NOW);
    expect(progress.lag).toBe(1_500);
    progress.advance({ ms: NOW, seq: 0 }, [undefined]);
    progress.endsAt(NOW);
    expect(progress.lag).toBe(0);
  });

  it('is not nothing when it turns out where reading begins only after the end was asked for', () => {
    const progress = new Progress(new LogRecorder(), () => {});
    progress.startOver('epoch');
    progress.endsAt(NOW);
    progress.begin({ ms: NOW - 1_500, seq: 0 });
    expect(progress.lag).toBe(1_500);
  });

  it('is nothing when the first event comes into an empty log', () => {
    const progress = progressAt();
    progress.endsAt(NOW);
    expect(progress.lag).toBe(0);
  });
});
