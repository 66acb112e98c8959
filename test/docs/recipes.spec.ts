import { existsSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';

import { describe, expect, it } from '@jest/globals';

import { documents } from '../support/documents.js';
import { ROOT } from '../support/root.js';
import { codeShownIn } from '../support/shown-code.js';

/** What the recipes show is code that is compiled beside its packages, and that the spec of the same name runs. */

const TESTED = join(ROOT, 'test/e2e/recipes');

async function sourcesOf(recipe: string): Promise<string[]> {
  const files = await readdir(join(TESTED, recipe), { recursive: true });
  const sources = files.filter((name) => name.endsWith('.ts'));
  return Promise.all(sources.map((name) => readFile(join(TESTED, recipe, name), 'utf8')));
}

const pages = (await documents()).filter((name) => name.startsWith('docs/recipes/'));

describe('the recipes', () => {
  it('are there, one for each folder of code', async () => {
    const folders = (await readdir(TESTED, { withFileTypes: true })).filter((entry) => entry.isDirectory());
    expect(pages.map((page) => basename(page, '.md'))).toEqual(folders.map(({ name }) => name).toSorted());
  });

  it.each(pages)('%s shows what is tested, as it is', async (page) => {
    const recipe = basename(page, '.md');
    expect(existsSync(join(TESTED, `${recipe}.spec.ts`))).toBe(true);
    const sources = await sourcesOf(recipe);
    const shown = await codeShownIn(page);
    expect(shown.length).toBeGreaterThan(0);
    expect(shown.filter((code) => !sources.some((source) => source.includes(code)))).toEqual([]);
  });
});
