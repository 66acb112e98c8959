import { setTimeout as delay } from 'node:timers/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
export const collectGarbage = runInNewContext('gc') as () => void;

export const KiB = 1_024;
export const MiB = 1_024 * KiB;

/** Bytes on the heap, after a turn of the event loop in which pending work is done. */
export async function heap(): Promise<number> {
  return (await memory()).heapUsed;
}

/** Bytes on the heap and in buffers outside of it. */
export async function heapAndBuffers(): Promise<number> {
  const { heapUsed, arrayBuffers } = await memory();
  return heapUsed + arrayBuffers;
}

async function memory(): Promise<NodeJS.MemoryUsage> {
  for (let i = 0; i < 3; i++) {
    await delay(1);
    collectGarbage();
  }
  return process.memoryUsage();
}
