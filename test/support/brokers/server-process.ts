import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile, rm } from 'node:fs/promises';

import { until } from '../baseline.js';

/** Whether the binary can be started. */
export async function isInstalled(command: string): Promise<boolean> {
  const child = spawn(command, ['--version'], { stdio: 'ignore' });
  return new Promise((resolve) => {
    child.once('error', () => resolve(false));
    child.once('exit', (code) => resolve(code === 0));
  });
}

/** The server of a broker, started for a test that may do anything to it, with a folder for its data. */
export abstract class ServerProcess {
  #process: ChildProcess | undefined;

  protected constructor(
    readonly port: number,
    readonly folder: string,
  ) {}

  abstract get url(): string;

  /** With what it has stored, unless it was told to store nothing. */
  abstract start(): Promise<void>;

  /** Asks it something; false, or a rejection, when it does not answer as it should. */
  protected abstract answers(): Promise<boolean>;

  protected async launch(command: string, args: readonly string[]): Promise<void> {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#process = child;
    let said = '';
    const note = (text: Buffer): void => void (said = (said + text.toString()).slice(-2_000));
    child.stdout.on('data', note);
    child.stderr.on('data', note);
    await until(`${command} answers on port ${this.port}`, () => {
      if (child.exitCode !== null) throw new Error(`${command} ended with code ${child.exitCode}:\n${said}`);
      return this.answers().catch(() => false);
    });
  }

  /** As when the machine loses its power. */
  async kill(): Promise<void> {
    const child = this.#process;
    if (!child || child.exitCode !== null || child.signalCode !== null) return;
    const ended = once(child, 'exit');
    child.kill('SIGCONT');
    child.kill('SIGKILL');
    await ended;
  }

  /** Ends when every thread stands still: one that waits for a processor at the signal would go on for a moment. */
  async freeze(): Promise<void> {
    const child = this.#process;
    if (child?.pid === undefined) return;
    child.kill('SIGSTOP');
    const tasks = `/proc/${child.pid}/task`;
    await until(`process ${child.pid} stands still`, async () => {
      // Elsewhere than on Linux there is no such folder, and the signal has to do.
      const threads = await readdir(tasks).catch(() => []);
      const states = await Promise.all(threads.map((thread) => readFile(`${tasks}/${thread}/stat`, 'utf8')));
      return states.every((state) => /\) T /.test(state));
    });
  }

  thaw(): void {
    this.#process?.kill('SIGCONT');
  }

  async remove(): Promise<void> {
    await this.kill();
    await rm(this.folder, { recursive: true, force: true });
  }
}
