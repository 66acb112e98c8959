import { setTimeout as delay } from 'node:timers/promises';

/**
 * Milliseconds that a test waits for what has to come. It bounds the waiting and measures nothing: machines that test
 * have other work too, and may stand still for seconds.
 */
export const PATIENCE = 60_000;

/**
 * Settles as `work` does, and fails if that takes longer. What else runs on the machine does not count for long: a process
 * that stands still stands still as a whole, and then its timers fire in their order.
 */
export async function within<T>(ms: number, work: Promise<T>): Promise<T> {
  const late = Symbol('late');
  const abort = new AbortController();
  try {
    const first = await Promise.race([work, delay(ms, late, { signal: abort.signal })]);
    if (first === late) throw new Error(`Takes more than ${ms} ms.`);
    return first;
  } finally {
    abort.abort();
  }
}
