import { createHash } from 'node:crypto';
import { createReadStream, type Dirent } from 'node:fs';
import { opendir, readdir } from 'node:fs/promises';
import { join, relative } from 'node:path';

/** The files of one entry of the folder, or of all of them. */
interface Totals {
  readonly files: number;
  readonly bytes: number;
  /** Gone, or not to be read, by the time it was their turn. */
  readonly unreadable: number;
}

export type HashEvent =
  | { readonly event: 'task-start'; readonly data: { task: string } }
  | { readonly event: 'progress'; readonly data: Totals & { tasks: number; ofTasks: number } }
  | { readonly event: 'task-complete'; readonly data: Totals & { task: string; sha256: string } }
  | { readonly event: 'execution-complete'; readonly data: Totals & { sha256: string; milliseconds: number } };

const PROGRESS_INTERVAL = 100;

/** Hashes every file below a folder. Each entry of the folder is a task; symbolic links are not followed. */
export async function* hashFolder(folder: string, signal: AbortSignal): AsyncGenerator<HashEvent> {
  const started = performance.now();
  const entries = (await readdir(folder, { withFileTypes: true })).filter(isFileOrFolder);
  const whole = createHash('sha256');
  const all = { files: 0, bytes: 0, unreadable: 0 };
  let reported = -Infinity;

  for (const [done, entry] of entries.entries()) {
    yield { event: 'task-start', data: { task: entry.name } };
    const hash = createHash('sha256');
    const totals = { files: 0, bytes: 0, unreadable: 0 };
    for await (const path of filesOf(entry)) {
      const file = await hashFile(path, signal);
      hash.update(`${file?.sha256 ?? 'unreadable'}  ${relative(folder, path)}\n`);
      for (const sum of [totals, all]) {
        sum.files++;
        sum.bytes += file?.bytes ?? 0;
        sum.unreadable += file ? 0 : 1;
      }
      if (performance.now() - reported < PROGRESS_INTERVAL) continue;
      reported = performance.now();
      yield { event: 'progress', data: { ...all, tasks: done, ofTasks: entries.length } };
    }
    const sha256 = hash.digest('hex');
    whole.update(`${sha256}  ${entry.name}\n`);
    yield { event: 'task-complete', data: { task: entry.name, ...totals, sha256 } };
  }
  yield { event: 'progress', data: { ...all, tasks: entries.length, ofTasks: entries.length } };
  const milliseconds = Math.round(performance.now() - started);
  yield { event: 'execution-complete', data: { ...all, sha256: whole.digest('hex'), milliseconds } };
}

function isFileOrFolder(entry: Dirent): boolean {
  return entry.isFile() || entry.isDirectory();
}

async function* filesOf(entry: Dirent): AsyncGenerator<string> {
  const path = join(entry.parentPath, entry.name);
  if (entry.isFile()) yield path;
  if (!entry.isDirectory()) return;
  for await (const child of await opendir(path)) yield* filesOf(child);
}

async function hashFile(path: string, signal: AbortSignal): Promise<{ sha256: string; bytes: number } | undefined> {
  signal.throwIfAborted();
  const hash = createHash('sha256');
  let bytes = 0;
  try {
    for await (const chunk of createReadStream(path, { signal }) as AsyncIterable<Buffer>) {
      hash.update(chunk);
      bytes += chunk.length;
    }
  } catch {
    signal.throwIfAborted();
    return undefined;
  }
  return { sha256: hash.digest('hex'), bytes };
}
