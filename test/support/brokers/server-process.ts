import { type ChildProcess, spawn } from 'node:child_process';
import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import { rm } from 'node:fs/promises';
import net from 'node:net';

import { until } from '../baseline.js';

/** Below those that systems give to outgoing connections: a server that is away for a while has to find its port again. */
const [FIRST_PORT, LAST_PORT] = [15_000, 30_000];

/** A port that nobody listens on, and that nobody gets by chance. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(FIRST_PORT, LAST_PORT);
    const server = net.createServer().listen(port, '127.0.0.1');
    try {
      await once(server, 'listening');
    } catch {
      continue;
    }
    server.close();
    await once(server, 'close');
    return port;
  }
}

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
    this.#process = spawn(command, args, { stdio: 'ignore' });
    await until(`${command} answers on port ${this.port}`, () => this.answers().catch(() => false));
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

  freeze(): void {
    this.#process?.kill('SIGSTOP');
  }

  thaw(): void {
    this.#process?.kill('SIGCONT');
  }

  async remove(): Promise<void> {
    await this.kill();
    await rm(this.folder, { recursive: true, force: true });
  }
}
