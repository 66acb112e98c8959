import { type ChildProcess, execFile, fork } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { cp, mkdir, mkdtemp, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { afterAll, beforeAll, describe } from '@jest/globals';

import { until } from '../baseline.js';
import { platforms } from '../platforms.js';
import { closeStreams, type EventStream, open, type OpenOptions } from '../readers/event-stream.js';
import { ROOT } from '../root.js';
import { compile } from './compile.js';

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

interface NestVersion {
  readonly name: string;
  /** Where its packages are found from. */
  readonly prepare: () => Promise<string>;
}

/** The one that all other tests use, and the oldest that the package says it works with. */
const nestVersions: readonly NestVersion[] = [
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

export interface LogLine {
  readonly level: string;
  readonly text: string;
}

/** A process with one application for each platform. */
class NestServer {
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

  async ask(what: string): Promise<unknown> {
    const response = await fetch(`${this.control}/${what}`);
    if (!response.ok) throw new Error(`${what}: ${await response.text()}`);
    return response.json();
  }

  async stop(): Promise<void> {
    if (this.process.exitCode === null) {
      const ended = once(this.process, 'exit');
      this.process.kill('SIGKILL');
      await ended;
    }
    await rm(this.folder, { recursive: true, force: true });
  }
}

/** An application on one platform, and one version of Nest. */
export class NestApp {
  constructor(
    readonly version: string,
    private readonly platform: string,
    private readonly server: () => NestServer,
  ) {}

  url(path: string): string {
    return `${this.server().url(this.platform)}/${path}`;
  }

  async open(path: string, options?: OpenOptions): Promise<EventStream> {
    const stream = await open(this.url(path), options);
    // A stream that is cut off is no failure of the test.
    stream.request.on('error', () => {});
    return stream;
  }

  broadcast(topic: string, count: number, size = 0): Promise<unknown> {
    return this.server().ask(`broadcast?platform=${this.platform}&topic=${topic}&count=${count}&size=${size}`);
  }

  async stats(): Promise<{ clients: number; delivered: number }> {
    return (await this.server().ask(`stats?platform=${this.platform}`)) as { clients: number; delivered: number };
  }

  /** Waits until no slot is held. */
  untilAllHaveLeft(): Promise<void> {
    return until('all have left', async () => (await this.stats()).clients === 0);
  }

  /** What the hubs, and what logs requests, have logged since the last time, on either platform. */
  async logged(): Promise<LogLine[]> {
    return (await this.server().ask('logged')) as LogLine[];
  }

  /** Answers when the application is closed. */
  close(): Promise<unknown> {
    return this.server().ask(`close?platform=${this.platform}`);
  }
}

/** The same tests with every version of Nest, on every platform. */
export function onEveryNest(application: string, tests: (app: NestApp) => void): void {
  for (const version of nestVersions) {
    describe(version.name, () => {
      let server: NestServer;

      beforeAll(async () => {
        server = await NestServer.start(version, application);
      });

      afterAll(async () => {
        closeStreams();
        await server.stop();
      });

      for (const { name } of platforms) {
        describe(`on ${name}`, () => tests(new NestApp(version.name, name, () => server)));
      }
    });
  }
}
