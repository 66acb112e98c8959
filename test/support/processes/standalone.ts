import { type ChildProcess, spawn } from 'node:child_process';
import { cp, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';

import { until } from '../baseline.js';
import { ROOT } from '../root.js';
import { compile } from './compile.js';

/** How a process ended. */
export interface Ending {
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** A program in a process of its own. */
export class Program {
  output = '';
  stderr = '';
  ending: Ending | undefined;
  readonly #child: ChildProcess;

  constructor(file: string, args: readonly string[] = [], env: NodeJS.ProcessEnv = {}) {
    this.#child = spawn(process.execPath, [file, ...args], {
      env: { ...process.env, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.#child.stdout!.setEncoding('utf8').on('data', (text: string) => (this.output += text));
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => (this.stderr += text));
    this.#child.on('close', (code, signal) => {
      this.ending = { code, signal };
    });
  }

  /** Waits until it has printed something like this. */
  async printed(pattern: RegExp): Promise<RegExpExecArray> {
    const told = `the process prints ${pattern}; its stderr: ${this.stderr}`;
    await until(told, () => pattern.test(this.output));
    return pattern.exec(this.output)!;
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

/** A program of the folder `standalone`, which says what it has to say in lines of JSON. */
export class Standalone extends Program {
  constructor(folder: string, what: string, program = 'standalone.mjs') {
    super(join(folder, program), [what]);
  }

  get messages(): Record<string, unknown>[] {
    const lines = this.output.split('\n').slice(0, -1);
    // Between them may be lines of its log.
    const said = lines.filter((line) => line.startsWith('{'));
    return said.map((line) => JSON.parse(line) as Record<string, unknown>);
  }

  /** Waits until it has said something with this name. */
  async said(name: string): Promise<unknown> {
    await this.printed(new RegExp(`"${name}":.*\n`));
    return this.messages.find((message) => name in message)![name];
  }
}

interface Build {
  readonly folder: string;
  remove(): Promise<void>;
}

async function newFolder(manifest: object): Promise<Build> {
  const folder = await mkdtemp(join(tmpdir(), 'nestjs-sse-hub-'));
  await writeFile(join(folder, 'package.json'), JSON.stringify({ type: 'module', ...manifest }));
  await symlink(join(ROOT, 'node_modules'), join(folder, 'node_modules'), 'junction');
  return { folder, remove: () => rm(folder, { recursive: true, force: true }) };
}

/** Builds the library into a temporary folder, with the programs beside it. */
export async function buildStandalone(): Promise<Build> {
  const build = await newFolder({});
  await compile(join(ROOT, 'src'), join(build.folder, 'library'));
  await cp(join(import.meta.dirname, 'standalone'), build.folder, { recursive: true });
  return build;
}

/** A folder in which the library has its name. */
async function newPackage(): Promise<Build> {
  const { name, exports } = JSON.parse(await readFile(join(ROOT, 'package.json'), 'utf8')) as Record<string, unknown>;
  const build = await newFolder({ name, exports });
  await compile(join(ROOT, 'src'), join(build.folder, 'dist'));
  return build;
}

/** Builds the library and the sample application into a temporary folder: `sample-app/dist/main.js`. */
export async function buildSample(): Promise<Build> {
  const build = await newPackage();
  const [source, copy] = [join(ROOT, 'sample-app'), join(build.folder, 'sample-app')];
  await cp(source, copy, { recursive: true, filter: (path) => basename(path) !== 'dist' });
  await compile(copy, join(copy, 'dist'));
  return build;
}

/** Builds the library and the nodes of a chat into a temporary folder: `chats/main.js`. */
export async function buildChats(): Promise<Build> {
  const build = await newPackage();
  await compile(join(ROOT, 'test/support/chats/server'), join(build.folder, 'chats'));
  return build;
}
