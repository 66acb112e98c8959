import { rm } from 'node:fs/promises';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, it } from '@jest/globals';

import { run } from '../support/packed-library.js';
import { ROOT } from '../support/root.js';

/** The declarations of the client alone: no file of the package that they need knows of Nest, of Node or of a page. */

const FOLDER = join(import.meta.dirname, 'types');

function tsc(...options: string[]): Promise<string> {
  return run(ROOT, process.execPath, 'node_modules/typescript/bin/tsc', ...options);
}

beforeAll(() => tsc('--project', 'src', '--emitDeclarationOnly', '--outDir', join(FOLDER, 'dist')));

afterAll(() => rm(join(FOLDER, 'dist'), { recursive: true, force: true }));

describe('the types', () => {
  it('fit in a page, where the source is an `EventSource` like the one that it has', async () => {
    await tsc('--project', FOLDER);
  });

  it('fit where only those of Node are', async () => {
    await tsc('--project', join(FOLDER, 'tsconfig.node.json'));
  });
});
