import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { transform } from '@swc/core';

/** Code that a document shows, as modules that a test can load. */

const ROOT = join(import.meta.dirname, '..', '..');
const CACHE = join(ROOT, 'node_modules/.cache/nestjs-sse-hub');

/** The blocks of TypeScript, in their order. */
export async function codeShownIn(document: string): Promise<string[]> {
  const text = await readFile(join(ROOT, document), 'utf8');
  return [...text.matchAll(/^```ts\n(.*?)^```$/gms)].map(([, code = '']) => code);
}

/** A folder of modules, within the repository: there they find its packages. */
export class ShownModules {
  private constructor(private readonly folder: string) {}

  static async create(): Promise<ShownModules> {
    await mkdir(CACHE, { recursive: true });
    return new ShownModules(await mkdtemp(join(CACHE, 'shown-')));
  }

  /** Compiles it as Nest's templates do, and runs it. */
  async load(name: string, code: string): Promise<Readonly<Record<string, unknown>>> {
    const file = join(this.folder, `${name}.mjs`);
    const compiled = await transform(code, {
      swcrc: false,
      jsc: {
        target: 'es2023',
        parser: { syntax: 'typescript', decorators: true },
        transform: { legacyDecorator: true, decoratorMetadata: true },
      },
      module: { type: 'es6' },
    });
    await writeFile(file, compiled.code);
    return (await import(file)) as Readonly<Record<string, unknown>>;
  }

  async remove(): Promise<void> {
    await rm(this.folder, { recursive: true });
  }
}
