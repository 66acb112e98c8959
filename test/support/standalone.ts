import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { copyFile, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { promisify } from 'node:util';

import { until } from './baseline.js';

const ROOT = join(import.meta.dirname, '..', '..');

/** How a process ended. */
export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** `test/fixtures/standalone.mjs` in a process of its own. */
export class Standalone {
  readonly messages: Record<string, unknown>[] = [];
  stderr = '';
  ending: Ending | undefined;
  readonly #child: ChildProcess;

  constructor(folder: string, what: string) {
    this.#child = spawn(process.execPath, [join(folder, 'standalone.mjs'), what], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    createInterface(this.#child.stdout!).on('line', (line) =>
      this.messages.push(JSON.parse(line) as Record<string, unknown>),
    );
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    this.#child.on('close', (code, signal) => {
      this.ending = { code, signal };
    });
  }

  /** Waits until it has said something with this name. */
  async said(name: string): Promise<unknown> {
    const find = (): Record<string, unknown> | undefined => this.messages.find((message) => name in message);
    await until(`the process says ${name}; its stderr: ${this.stderr}`, () => find() !== undefined);
    return find()![name];
  }

  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }

  /** Waits until it has ended by itself. */
  async ended(): Promise<Ending> {
    await until('the process ends by itself', () => this.ending !== undefined);
    return this.ending!;
  }

  kill(): void {
    if (this.ending === undefined) this.#child.kill('SIGKILL');
  }
}

/** Builds the library into a temporary folder, with the fixture beside it. */
export async function buildStandalone(): Promise<{ folder: string; remove: () => Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'nestjs-sse-hub-'));
  const tsc = join(ROOT, 'node_modules', 'typescript', 'bin', 'tsc');
  await promisify(execFile)(process.execPath, [tsc, '-p', join(ROOT, 'src'), '--outDir', join(folder, 'library')]);
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }');
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'), 'junction');
  await copyFile(join(ROOT, 'test', 'fixtures', 'standalone.mjs'), join(folder, 'standalone.mjs'));
  return { folder, remove: () => rm(folder, { recursive: true, force: true }) };
}
