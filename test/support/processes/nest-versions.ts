import { type ChildProcess, execFile, fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';

import { transformFile } from '@swc/core';

import { ROOT } from '../root.js';

/**
 * Applications of `test/support/nest`, in a process of their own for each version of Nest: its packages require each other
 * by name, so that there can be no two of them in one tree.
 */

const CACHE = join(ROOT, 'node_modules/.cache/nestjs-sse-hub');

/** What the applications use beside Nest. */
const OTHERS = [
  'nestjs-cls',
  '@nestjs/cache-manager',
  'cache-manager',
  'keyv',
  'class-transformer',
  '@nestjs/throttler',
  'helmet',
  'compression',
  'express-session',
  'pino-http',
  'rxjs',
  'reflect-metadata',
];

interface Manifest {
  readonly version: string;
  readonly peerDependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
}

async function manifestOf(folder: string): Promise<Manifest> {
  return JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as Manifest;
}

export interface NestVersion {
  readonly name: string;
  /** Where its packages are found from. */
  readonly prepare: () => Promise<string>;
}

/** The one that all other tests use, and the oldest that the package says it works with. */
export const nestVersions: readonly NestVersion[] = [
  { name: 'Nest 12', prepare: () => Promise.resolve(join(CACHE, 'nest-12')) },
  { name: 'Nest 11', prepare: installOldest },
];

async function installOldest(): Promise<string> {
  const { peerDependencies, devDependencies } = await manifestOf(ROOT);
  const version = /^\^([\d.]+)/.exec(peerDependencies['@nestjs/core'] ?? '')?.[1];
  if (version === undefined)
    throw new Error('The range of the peer @nestjs/core does not begin with a lowest version.');
  const others = OTHERS.map((name) => `${name}@${devDependencies[name]}`);
  const list = createHash('sha256').update(others.join()).digest('hex').slice(0, 8);
  const folder = join(CACHE, `nest-${version}-${list}`);
  if (existsSync(folder)) return folder;
  await mkdir(CACHE, { recursive: true });
  const project = await mkdtemp(join(CACHE, 'install-'));
  await writeFile(join(project, 'package.json'), '{ "name": "applications", "private": true }');
  const nest = ['common', 'core', 'platform-express', 'platform-fastify'].map((name) => `@nestjs/${name}@${version}`);
  const options = ['--prefer-offline', '--no-audit', '--no-fund', '--ignore-scripts'];
  await promisify(execFile)('npm', ['install', ...options, ...nest, ...others], { cwd: project });
  // Another test file may have been faster.
  await rename(project, folder).catch(() => rm(project, { recursive: true, force: true }));
  return folder;
}

async function compile(from: string, to: string): Promise<void> {
  const names = (await readdir(from, { recursive: true })).filter((name) => name.endsWith('.ts'));
  await Promise.all(
    names.map(async (name) => {
      const { code } = await transformFile(join(from, name), {
        swcrc: false,
        jsc: {
          target: 'es2023',
          parser: { syntax: 'typescript', decorators: true },
          transform: { legacyDecorator: true, decoratorMetadata: true },
        },
        module: { type: 'es6' },
      });
      const target = join(to, name.replace(/\.ts$/, '.js'));
      await mkdir(dirname(target), { recursive: true });
      await writeFile(target, code);
    }),
  );
}

export interface LogLine {
  readonly level: string;
  readonly text: string;
}

/** A process with one application for each platform. */
export class NestServer {
  private constructor(
    private readonly process: ChildProcess,
    private readonly folder: string,
    private readonly control: string,
    private readonly ports: Readonly<Record<string, number>>,
  ) {}

  /** `application` is the name of a module of `test/support/nest`. */
  static async start({ prepare }: NestVersion, application: string): Promise<NestServer> {
    const runs = join(await prepare(), 'runs');
    await mkdir(runs, { recursive: true });
    const folder = await mkdtemp(join(runs, 'run-'));
    const library = join(folder, 'node_modules/nestjs-sse-hub');
    await compile(join(ROOT, 'src'), join(library, 'dist'));
    await cp(join(ROOT, 'package.json'), join(library, 'package.json'));
    await compile(join(ROOT, 'test/support/nest'), folder);
    await writeFile(join(folder, 'package.json'), '{ "type": "module" }');
    const child = fork(join(folder, 'main.js'), [application], { execArgv: [] });
    const [{ control, ports }] = (await once(child, 'message')) as [
      { control: number; ports: Readonly<Record<string, number>> },
    ];
    return new NestServer(child, folder, `http://127.0.0.1:${control}`, ports);
  }

  url(platform: string): string {
    return `http://127.0.0.1:${this.ports[platform]}`;
  }

  broadcast(platform: string, topic: string, count: number, size = 0): Promise<unknown> {
    return this.#ask(`broadcast?platform=${platform}&topic=${topic}&count=${count}&size=${size}`);
  }

  async stats(platform: string): Promise<{ clients: number; delivered: number }> {
    return (await this.#ask(`stats?platform=${platform}`)) as { clients: number; delivered: number };
  }

  /** What the hubs, and what logs requests, have logged since the last time. */
  async logged(): Promise<LogLine[]> {
    return (await this.#ask('logged')) as LogLine[];
  }

  /** Answers when the application is closed. */
  close(platform: string): Promise<unknown> {
    return this.#ask(`close?platform=${platform}`);
  }

  async stop(): Promise<void> {
    if (this.process.exitCode === null) {
      const ended = once(this.process, 'exit');
      this.process.kill('SIGKILL');
      await ended;
    }
    await rm(this.folder, { recursive: true, force: true });
  }

  async #ask(what: string): Promise<unknown> {
    const response = await fetch(`${this.control}/${what}`);
    if (!response.ok) throw new Error(`${what}: ${await response.text()}`);
    return response.json();
  }
}
