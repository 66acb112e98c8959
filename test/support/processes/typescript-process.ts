import { type ChildProcess, execFile, fork } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { ROOT } from '../root.js';
import { seed } from '../seed.js';

const ESBUILD = join(ROOT, 'node_modules/esbuild/bin/esbuild');

/** A module of this folder that runs in processes of its own. */
export interface Program {
  start(): ChildProcess;
  remove(): Promise<void>;
}

/** Makes one JavaScript file of it and of all that it imports: Node 20 runs no TypeScript. */
export async function buildProgram(file: string): Promise<Program> {
  const folder = await mkdtemp(join(tmpdir(), 'nestjs-sse-hub-'));
  const bundle = join(folder, 'program.mjs');
  const source = join(import.meta.dirname, file);
  await promisify(execFile)(ESBUILD, [source, '--bundle', '--platform=node', '--format=esm', `--outfile=${bundle}`]);
  return {
    // Not with the options of Jest's own process, and with its seed.
    start: () => fork(bundle, { execArgv: [], env: { ...process.env, SEED: String(seed) } }),
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}
