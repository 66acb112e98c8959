import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';

import { Child } from './child.js';
import { Crowd } from './crowd.js';
import { describeMachine, machineLine } from './machine.js';
import type { SoakRequests, SoakSample } from './soak-messages.js';
import { median } from './statistics.js';

const DEFAULT_SECONDS = 120;
const WINDOW = 5_000;
/** Windows at the start that do not count: code, histories and pools fill up first. */
const WARM_UP = 5;
/** What the floor may grow by: pools and code that settle late, not something that is kept for every client. */
const TOLERANCE_PART = 0.1;
const TOLERANCE_BYTES = 2 * 2 ** 20;
const GRACE = 30_000;

const { values: options, positionals } = parseArgs({
  options: { platform: { type: 'string', default: 'express' } },
  allowPositionals: true,
});
const seconds = Number(positionals[0] ?? DEFAULT_SECONDS);
if (!(seconds > 0)) throw new Error('npm run soak -- [seconds] [--platform express|fastify]');

const megabytes = (bytes: number): string => (bytes / 2 ** 20).toFixed(1);
const child = new Child<SoakRequests>('./soak-server.js', ['--expose-gc']);

async function end(crowd: Crowd | undefined, code: number): Promise<never> {
  crowd?.leave();
  await child.stop();
  process.exit(code);
}

function lineOf(sample: SoakSample, atSecond: number, crowd: Crowd): string {
  const { heap, rss, delay, clients, slow, published, delivered } = sample;
  return [
    `${atSecond.toFixed(0).padStart(5)} s`,
    `heap ${megabytes(heap).padStart(6)} MB`,
    `rss ${megabytes(rss).padStart(6)} MB`,
    `delay p99 ${delay.p99.toFixed(1).padStart(5)} max ${delay.max.toFixed(1).padStart(6)} ms`,
    `clients ${String(clients).padStart(4)}`,
    `visits ${crowd.visits}`,
    `slow ones closed ${slow}`,
    `published ${published}`,
    `delivered ${delivered}`,
  ].join('  ');
}

/** The lowest of some heaps: what nobody could collect. */
function floorOf(heaps: readonly number[]): number {
  return Math.min(...heaps);
}

function judge(heaps: readonly number[]): number {
  const settled = heaps.slice(WARM_UP);
  if (settled.length < 4) {
    process.stdout.write('Too short to judge: at least 50 seconds are needed.\n');
    return 0;
  }
  const half = settled.length >> 1;
  const before = floorOf(settled.slice(0, half));
  const after = floorOf(settled.slice(half));
  const allowed = Math.max(TOLERANCE_BYTES, median(settled) * TOLERANCE_PART);
  const verdict = after - before > allowed ? 'FAILED: the floor of the heap grows' : 'OK';
  process.stdout.write(
    `Floor of the heap: ${megabytes(before)} MB in the first half after warming up, ${megabytes(after)} MB in the ` +
      `second; it may grow by ${megabytes(allowed)} MB. ${verdict}.\n`,
  );
  return verdict === 'OK' ? 0 : 1;
}

async function soak(): Promise<void> {
  process.stdout.write(`${machineLine(describeMachine())}\n`);
  const { port } = await child.ask('start', { platform: options.platform === 'fastify' ? 'Fastify' : 'Express' });
  const crowd = new Crowd(port);
  process.once('SIGINT', () => void end(crowd, 130));
  setTimeout(() => void end(crowd, 1), seconds * 1_000 + GRACE).unref();
  crowd.enter();
  const heaps: number[] = [];
  const started = Date.now();
  while (Date.now() - started < seconds * 1_000) {
    await sleep(WINDOW);
    const sample = await child.ask('sample', {});
    heaps.push(sample.heap);
    process.stdout.write(`${lineOf(sample, (Date.now() - started) / 1_000, crowd)}\n`);
  }
  await end(crowd, judge(heaps));
}

try {
  await soak();
} catch (error) {
  process.stderr.write(`${String(error)}\n`);
  await end(undefined, 1);
}
