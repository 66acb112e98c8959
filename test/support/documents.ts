import { readdir } from 'node:fs/promises';
import { join } from 'node:path';

/** Where the documents are that the tests hold to what they show and link to. */

export const ROOT = join(import.meta.dirname, '..', '..');

/** Made by `npm run docs` from the doc comments, whose examples are compiled where they stand. */
const GENERATED = join('docs', 'reference', 'api');

/** Paths from the root of the repository, with `/` on every system. */
export async function documents(): Promise<string[]> {
  const [top, below] = await Promise.all([readdir(ROOT), readdir(join(ROOT, 'docs'), { recursive: true })]);
  const found = [...top, join('sample-app', 'README.md'), ...below.map((name) => join('docs', name))];
  return found
    .filter((name) => name.endsWith('.md') && !name.startsWith(GENERATED))
    .map((name) => name.replaceAll('\\', '/'))
    .toSorted();
}
