const STEPS = 4;

/**
 * What `promise` settles with, or a rejection when that takes longer than `ms` milliseconds. The time is counted in
 * steps, so that a process which was busy, and has the answer in its socket already, doesn't take that for silence.
 */
export function withTimeout<T>(promise: Promise<T>, ms: number, what: string): Promise<T> {
  return new Promise((resolve, reject) => {
    let steps = 0;
    const timer = setInterval(() => {
      if (++steps < STEPS) return;
      clearInterval(timer);
      reject(new Error(`${what}: no answer within ${ms} ms`));
    }, ms / STEPS);
    timer.unref();
    promise.then(resolve, reject).finally(() => clearInterval(timer));
  });
}
