import { setTimeout as delay } from 'node:timers/promises';

import type { Client } from './clients/client.js';

/** Streams that are ended at once, before the rest is spread. */
const AT_ONCE = 200;
const STEP = 25;

/**
 * Ends all streams within `timeout` milliseconds: some at once, the rest spread over at most half of it, so that the
 * other nodes are not stormed. What has not been read by then is destroyed.
 */
export async function drain(
  clients: readonly Client[],
  retryAfter: (spread: number) => number,
  timeout: number,
): Promise<void> {
  const started = performance.now();
  const cancel = new AbortController();
  // Counted from here: a busy machine may take long to end what it ends.
  const timeIsUp = delay(timeout, undefined, { signal: cancel.signal }).catch(() => {});

  const closing: Promise<void>[] = [];
  const endUpTo = (count: number): void => {
    for (const client of clients.slice(closing.length, count)) {
      closing.push(client.endForShutdown(retryAfter(Math.random() * timeout)).catch(() => {}));
    }
  };

  endUpTo(AT_ONCE);
  const rest = clients.length - AT_ONCE;
  const spread = Math.min(timeout / 2, Math.ceil(rest / AT_ONCE) * STEP);
  while (closing.length < clients.length) {
    await delay(STEP);
    endUpTo(AT_ONCE + Math.ceil((rest * (performance.now() - started)) / spread));
  }

  await Promise.race([Promise.all(closing), timeIsUp]);
  cancel.abort();
  for (const client of clients) client.destroy();
}
