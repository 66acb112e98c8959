import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';

import { findProgram, freePort } from '../programs.js';

const PATIENCE = 10_000;

export interface OwnServer {
  readonly port: number;
  readonly pid: number | undefined;
  close(): Promise<void>;
}

/** Starts a broker on a free port of the loopback interface, with a folder for its data that goes with it. */
export async function startServer(
  program: string,
  argsOf: (port: number, folder: string) => string[],
): Promise<OwnServer> {
  const folder = mkdtempSync(join(tmpdir(), 'bench-broker-'));
  const port = await freePort();
  const server = spawn(findProgram(program)!, argsOf(port, folder), { stdio: 'ignore' });
  const gone = new Promise<void>((resolve) => server.once('exit', () => resolve()).once('error', () => resolve()));
  return { port, pid: server.pid, close: () => end(server, gone, folder) };
}

async function end(server: ChildProcess, gone: Promise<void>, folder: string): Promise<void> {
  server.kill('SIGKILL');
  await gone;
  rmSync(folder, { recursive: true, force: true });
}

/** What the first attempt that succeeds answers with. */
export async function persistent<T>(attempt: () => Promise<T>): Promise<T> {
  const deadline = Date.now() + PATIENCE;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (Date.now() > deadline) throw error;
      await sleep(50);
    }
  }
}
