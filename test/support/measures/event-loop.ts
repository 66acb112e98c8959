import { readFileSync } from 'node:fs';

const RESOLUTION = 5;

/**
 * How long the event loop was at work without a pause, as `monitorEventLoopDelay()` would see it on a machine of one's
 * own: what counts is the time for which this thread has run. By the clock, a test on a busy machine would measure what
 * else runs there.
 */
export class EventLoopWatch {
  readonly #blocks: number[] = [];
  #before = threadTime();
  readonly #timer = setInterval(() => this.#look(), RESOLUTION);

  /** Ends the watch. Answers with milliseconds. */
  stop(): { p99: number; max: number } {
    this.#look();
    clearInterval(this.#timer);
    const sorted = this.#blocks.toSorted((a, b) => a - b);
    return { p99: sorted[Math.floor(sorted.length * 0.99)]!, max: sorted.at(-1)! };
  }

  #look(): void {
    const now = threadTime();
    this.#blocks.push(now - this.#before);
    this.#before = now;
  }
}

/** For how many milliseconds this thread has run; where the machine does not tell, all threads of the process. */
function threadTime(): number {
  try {
    return Number(readFileSync('/proc/thread-self/schedstat', 'latin1').split(' ')[0]) / 1e6;
  } catch {
    const { user, system } = process.cpuUsage();
    return (user + system) / 1_000;
  }
}
