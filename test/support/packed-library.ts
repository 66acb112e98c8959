import { execFile } from 'node:child_process';
import { cp, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { promisify } from 'node:util';

import { ROOT } from './root.js';

/** The library as others get it: packed, and installed into folders with nothing else in them. */

export interface Manifest {
  readonly version: string;
  readonly peerDependencies: Readonly<Record<string, string>>;
}

export async function manifestOf(directory: string): Promise<Manifest> {
  return JSON.parse(await readFile(join(directory, 'package.json'), 'utf8')) as Manifest;
}

/** Answers with what the program printed on standard output, and on both where it fails. */
export async function run(cwd: string, command: string, ...args: string[]): Promise<string> {
  try {
    return (await promisify(execFile)(command, args, { cwd, maxBuffer: Infinity })).stdout;
  } catch (error) {
    // Compilers and npm print what is wrong on either.
    const { stdout, stderr } = error as { stdout?: string; stderr?: string };
    throw new Error(`${command} ${args.join(' ')} failed: ${stdout} ${stderr}`, { cause: error });
  }
}

/** Versions of the peers that are installed together. */
export interface Peers {
  readonly nest: string;
  readonly swagger: string;
  readonly ioredis: string;
  readonly nats: string;
  /** What Nest's own template of that version has, as a range. */
  readonly typescript: string;
}

/** What the other tests use of the peers (Nest 12), and the oldest that the package says it works with (Nest 11). */
export async function supportedPeers(): Promise<{ newest: Peers; oldest: Peers }> {
  const { peerDependencies } = await manifestOf(ROOT);
  const newest = async (peer: string) => (await manifestOf(join(ROOT, 'node_modules', peer))).version;
  const oldest = (peer: string) => {
    const lowest = /^\^([\d.]+)/.exec(peerDependencies[peer] ?? '')?.[1];
    if (lowest === undefined) throw new Error(`The range of the peer ${peer} does not begin with a lowest version.`);
    return lowest;
  };
  const [nest, swagger] = ['@nestjs/core', '@nestjs/swagger'] as const;
  const [ioredis, nats] = ['ioredis', '@nats-io/jetstream'] as const;
  return {
    newest: {
      nest: await newest(nest),
      swagger: await newest(swagger),
      ioredis: await newest(ioredis),
      nats: await newest(nats),
      typescript: '~6.0.2',
    },
    oldest: {
      nest: oldest(nest),
      swagger: oldest(swagger),
      ioredis: oldest(ioredis),
      nats: oldest(nats),
      typescript: '^5.7.3',
    },
  };
}

/** CI always has a registry; elsewhere tests that need one may be left out. */
export async function isRegistryReachable(): Promise<boolean> {
  if (process.env['CI'] === 'true') return true;
  try {
    await run(tmpdir(), 'npm', 'ping', '--fetch-retries=0', '--fetch-timeout=5000');
    return true;
  } catch {
    return false;
  }
}

/**
 * The tarball that would be published, and folders that it is installed into.
 *
 * @example
 * const { oldest } = await supportedPeers();
 * const library = await PackedLibrary.pack();
 * const project = await library.installBeside(oldest, 'nestjs-cls@^6.0.0'); // a folder with Nest 11
 * await library.remove();
 */
export class PackedLibrary {
  private constructor(
    readonly folder: string,
    readonly tarball: string,
  ) {}

  /** Packs a copy, because `prepack` builds into `dist` and others may use that of the repository meanwhile. */
  static async pack(): Promise<PackedLibrary> {
    const folder = await mkdtemp(join(tmpdir(), 'nestjs-sse-hub-'));
    const copy = join(folder, 'repository');
    const left = new Set(['node_modules', 'dist', '.git']);
    await cp(ROOT, copy, { recursive: true, filter: (source) => !left.has(basename(source)) });
    await symlink(join(ROOT, 'node_modules'), join(copy, 'node_modules'));
    await run(copy, 'npm', 'pack', '--pack-destination', folder);
    const tarball = (await readdir(folder)).find((name) => name.endsWith('.tgz'));
    if (tarball === undefined) throw new Error('npm pack made no tarball.');
    return new PackedLibrary(folder, join(folder, tarball));
  }

  /**
   * A folder with this Nest (Express and testing too), the brokers' clients, TypeScript and the library. `others` are
   * further packages as npm takes them, `name@range`.
   */
  installBeside({ nest, swagger, ioredis, nats, typescript }: Peers, ...others: readonly string[]): Promise<string> {
    return this.install(
      `nest-${nest}`,
      this.tarball,
      ...['common', 'core', 'platform-express'].map((name) => `@nestjs/${name}@${nest}`),
      // Its numbers run apart from those of the others.
      `@nestjs/testing@^${nest.split('.', 1).join('')}.0.0`,
      // So do its numbers, but for the first.
      `@nestjs/terminus@^${nest.split('.', 1).join('')}.0.0`,
      '@opentelemetry/api@^1.9.0',
      `@nestjs/swagger@${swagger}`,
      `ioredis@${ioredis}`,
      ...['jetstream', 'transport-node'].map((name) => `@nats-io/${name}@${nats}`),
      'rxjs@^7.8.0',
      'reflect-metadata@^0.2.0',
      `typescript@${typescript}`,
      '@types/node@^20.19.0',
      '@types/express@^5.0.0',
      ...others,
    );
  }

  /** A folder with these packages only. */
  async install(name: string, ...packages: readonly string[]): Promise<string> {
    const project = await mkdtemp(join(this.folder, `${name}-`));
    await writeFile(join(project, 'package.json'), '{ "name": "consumer", "private": true }');
    const options = ['--prefer-offline', '--no-audit', '--no-fund', '--ignore-scripts'];
    await run(project, 'npm', 'install', ...options, ...packages);
    return project;
  }

  async remove(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
}
