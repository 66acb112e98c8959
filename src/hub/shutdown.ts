import { setTimeout as delay } from 'node:timers/promises';

import type { Client } from './client.js';

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
  const closing: Promise<void>[] = [];
  const end = (client: Client): void => {
    closing.push(client.sendHome(retryAfter(Math.random() * timeout)).catch(() => {}));
  };
  for (const client of clients.slice(0, AT_ONCE)) end(client);

  const rest = clients.slice(AT_ONCE);
  const steps = Math.max(1, Math.min(Math.floor(timeout / 2 / STEP), Math.ceil(rest.length / AT_ONCE)));
  const perStep = Math.ceil(rest.length / steps);
  for (let i = 0; i < rest.length; i += perStep) {
    await delay(STEP);
    for (const client of rest.slice(i, i + perStep)) end(client);
  }

  const cancel = new AbortController();
  const timeIsUp = delay(Math.max(0, timeout - steps * STEP), undefined, { signal: cancel.signal }).catch(() => {});
  await Promise.race([Promise.all(closing), timeIsUp]);
  cancel.abort();
  for (const client of clients) client.destroy();
}
