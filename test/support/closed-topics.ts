import { expect } from '@jest/globals';
import type { SSEService } from 'nestjs-sse-hub';

import { until } from './baseline.js';
import { publish } from './numbered.js';

/**
 * Closed topics are remembered for longer than the events in them, also by a node that starts later, which this answers
 * with; `finished` is closed. Every call of `start` is another node on one log of 100 entries. `kept` waits until the
 * broker has put aside what it remembers, where that takes it a moment.
 */
export async function expectClosedTopicsRemembered(
  start: () => Promise<SSEService>,
  kept: () => Promise<void> = async () => {},
): Promise<SSEService> {
  const early = await start();
  early.broadcast('finished', 'n', 'result');
  for (const topic of ['finished', 'reopened']) early.closeTopic(topic);
  await until('they are closed', () => early.stats().history.events === 3);
  early.openTopic('reopened');
  await kept();
  publish(early, 'other', 1, 1_000);
  await early.publish('other', 'n', 'last');

  const late = await start();
  const [finished, reopened] = ['finished', 'reopened'].map((topic) => {
    const types: (string | undefined)[] = [];
    late.stream(topic, { since: 0 }).subscribe({ next: ({ type }) => types.push(type) });
    return types;
  });
  await until('both are open', () => finished!.length > 0 && reopened!.length > 0);
  expect(finished).toEqual(['sse.open', 'sse.end']);
  expect(reopened).toEqual(['sse.open']);
  await late.publish('reopened', 'n', 1);
  await expect(late.publish('finished', 'n', 1)).rejects.toMatchObject({ code: 'TOPIC_CLOSED' });
  return late;
}
