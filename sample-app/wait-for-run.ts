import { setTimeout as delay } from 'node:timers/promises';

import type { SSERunState, SSEService } from 'nestjs-sse-hub';

/** Milliseconds in which the news of a run gets from its node to the others, and between two looks. */
const NEWS_TIME = 500;
const LOOK_AGAIN_AFTER = 20;

/**
 * The run of a topic; with an `id`, only that one. Who was told of it by one node may ask another one, which has not read
 * of it yet, and an EventSource that is refused stays away.
 */
export async function waitForRun(
  sse: Pick<SSEService, 'getRun'>,
  topic: string,
  id?: string,
): Promise<SSERunState | undefined> {
  const until = performance.now() + NEWS_TIME;
  for (;;) {
    const run = sse.getRun(topic);
    if (run && (id === undefined || run.id === id)) return run;
    if (performance.now() > until) return undefined;
    await delay(LOOK_AGAIN_AFTER);
  }
}
