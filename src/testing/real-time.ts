import { Socket } from 'node:net';

/**
 * Calls back after so many milliseconds of real time, unless the answer is called before. Keeps no process alive.
 *
 * It has to pass while a test has faked the timers, also when this module is loaded after that. Runners replace
 * `setTimeout` wherever it can be got, also in `node:timers`; the timer of a socket is Node's own.
 */
export function afterRealTime(ms: number, act: () => void): () => void {
  const socket = new Socket().setTimeout(ms, act);
  return () => socket.destroy();
}
