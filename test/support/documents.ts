import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

import { ROOT } from './root.js';

/** The documents that the tests hold to what they show and link to. */

/** Made by `npm run docs` from the doc comments, whose examples are compiled where they stand. */
const GENERATED = join('docs', 'reference', 'api');

/** Paths from the root of the repository, with `/` on every system. */
export async function documents(): Promise<string[]> {
  const [top, sample, below] = await Promise.all([
    readdir(ROOT),
    readdir(join(ROOT, 'sample-app')),
    readdir(join(ROOT, 'docs'), { recursive: true }),
  ]);
  return [...top, ...sample.map((name) => join('sample-app', name)), ...below.map((name) => join('docs', name))]
    .filter((name) => name.endsWith('.md') && !name.startsWith(GENERATED))
    .map((name) => name.replaceAll('\\', '/'))
    .toSorted();
}
