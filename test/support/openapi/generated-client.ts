import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import type { OpenAPIObject } from '@nestjs/swagger';

import { run } from '../packed-library.js';
import { ROOT } from '../root.js';

const STRICT = {
  module: 'nodenext',
  target: 'es2023',
  lib: ['es2023', 'dom', 'dom.iterable'],
  types: [],
  strict: true,
  noEmit: true,
};

/** Runs a program of the repository, with the working directory that programs look for their configuration in. */
export function runTool(name: string, cwd: string, ...args: string[]): Promise<string> {
  return run(cwd, process.execPath, join(ROOT, 'node_modules', name), ...args);
}

/**
 * The client that @hey-api/openapi-ts generates from a document, as a project of its own, and a program that uses it
 * (`./sdk.gen.js`, `./types.gen.js`): compiled strictly, and loaded.
 */
export async function loadWithClient<Module>(document: OpenAPIObject, program: string): Promise<Module> {
  const folder = await mkdtemp(join(tmpdir(), 'openapi-'));
  try {
    await writeFile(join(folder, 'package.json'), '{ "type": "module" }');
    await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions: STRICT, include: ['client'] }));
    await writeFile(join(folder, 'document.json'), JSON.stringify(document));
    const options = ['-i', 'document.json', '-o', 'client', '--silent', '--no-log-file'];
    await runTool('@hey-api/openapi-ts/bin/run.js', folder, ...options);
    await writeFile(join(folder, 'client/program.ts'), program);
    await runTool('typescript/bin/tsc', folder, '--project', folder);
    const code = await run(
      folder,
      join(ROOT, 'node_modules/.bin/esbuild'),
      'client/program.ts',
      '--bundle',
      '--format=esm',
    );
    return (await import(`data:text/javascript;base64,${Buffer.from(code).toString('base64')}`)) as Module;
  } finally {
    await rm(folder, { recursive: true });
  }
}
