import { describe, expect, it } from '@jest/globals';

import { Progress } from '../../src/backplane/broker/progress.js';
import { ORIGIN } from '../../src/protocol/cursor.js';
import { LogRecorder } from '../support/brokers/log-recorder.js';

const NOW = 1_795_893_175_398;

function progressAt(from = ORIGIN): Progress {
  const progress = new Progress(new LogRecorder(), () => {});
  progress.startOver('epoch');
  progress.begin(from);
  return progress;
}

describe('how far a reader is behind', () => {
  it('is the time between what it has read and the end of the log', () => {
    const progress = progressAt({ ms: NOW - 1_500, seq: 0 });
    expect(progress.lag).toBeUndefined();
    progress.endsAt(NOW);
    expect(progress.lag).toBe(1_500);
    progress.advance({ ms: NOW, seq: 0 }, undefined);
    progress.endsAt(NOW);
    expect(progress.lag).toBe(0);
  });

  it('is nothing when the first event comes into an empty log', () => {
    const progress = progressAt();
    progress.endsAt(NOW);
    expect(progress.lag).toBe(0);
  });
});
