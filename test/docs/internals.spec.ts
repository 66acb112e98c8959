import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, it } from '@jest/globals';

/** What the internal documents say of files and tests is there. */

const ROOT = join(import.meta.dirname, '..', '..');

function read(file: string): Promise<string> {
  return readFile(join(ROOT, file), 'utf8');
}

/** The first cells of the tables under `### `folder/`` headings, as paths. */
function filesIn(page: string): string[] {
  const [, ...rooms] = page.split(/^### /m);
  return rooms.flatMap((room) => {
    const [heading = '', ...lines] = room.split('\n');
    const folders = [...heading.matchAll(/`([^`]+\/)`/g)].map(([, folder]) => folder!);
    const names = lines.flatMap((line) => /^\| `([\w.-]+\.ts)`/.exec(line)?.[1] ?? []);
    return folders.flatMap((folder) => names.map((name) => `${folder}${name}`));
  });
}

describe('the map of the rooms', () => {
  it('has every source file, and none that is not there', async () => {
    const page = await read('docs/internals/how-it-works.md');
    const shown = new Set(filesIn(page));
    const sources = (await readdir(join(ROOT, 'src'), { recursive: true }))
      .filter((name) => name.endsWith('.ts'))
      .map((name) => `src/${name.replaceAll('\\', '/')}`);
    expect(sources.filter((file) => !shown.has(file))).toEqual([]);
    // Two rooms that are alike share a table.
    const names = new Set(sources.map((file) => file.replace(/\/(redis|nats)\//, '/*/')));
    expect([...shown].filter((file) => !names.has(file.replace(/\/(redis|nats)\//, '/*/')))).toEqual([]);
  });
});

describe('the internal documents', () => {
  it('name no file that is not there', async () => {
    const pages = (await readdir(join(ROOT, 'docs'), { recursive: true }))
      .filter((name) => /^internals.*\.md$|^reference.(wire-format|writing-a-backplane)\.md$/.test(name))
      .map((name) => join('docs', name));
    const folders = await Promise.all(
      ['src', 'test'].map((folder) => readdir(join(ROOT, folder), { recursive: true })),
    );
    const files = folders.flat().map((name) => `/${name.replaceAll('\\', '/')}`);
    const missing: string[] = [];
    for (const page of pages) {
      // As much of a path as the text needs: `hub/delivery.ts`, or its name where the room is known.
      for (const [, path = ''] of (await read(page)).matchAll(/`(?:src\/|test\/)?([\w./-]+\.ts)`/g)) {
        if (!files.some((file) => file.endsWith(`/${path}`))) missing.push(`${page}: ${path}`);
      }
    }
    expect(missing).toEqual([]);
  });
});

interface Proof {
  readonly file: string;
  /** A row of the fault tables, such as `E1`, or how a test's name begins. */
  readonly name: RegExp | string;
}

/** What stands in the last cells of the tables: a link to a file of tests, then rows and quoted names. */
function proofsIn(page: string): Proof[] {
  const proofs: Proof[] = [];
  for (const line of page.split('\n').filter((text) => text.startsWith('|'))) {
    const cell = line.split('|').at(-2) ?? '';
    let file = '';
    for (const [, link, row, title] of cell.matchAll(/\]\(\.\.\/\.\.\/(test\/[^)]+)\)|\b([A-Z]\d+)\b|"([^"]+)"/g)) {
      if (link !== undefined) file = link;
      const name = row ? new RegExp(`\\b${row}\\b`) : title?.replaceAll('…', '').trim();
      if (file !== '' && name !== undefined) proofs.push({ file, name });
    }
  }
  return proofs;
}

describe('the threat model', () => {
  it('names tests that are there', async () => {
    const proofs = proofsIn(await read('docs/internals/threat-model.md'));
    expect(proofs.length).toBeGreaterThan(50);
    const missing: Proof[] = [];
    for (const proof of proofs) {
      const tests = (await read(proof.file)).replaceAll("\\'", "'");
      const { name } = proof;
      if (!(typeof name === 'string' ? tests.includes(name) : name.test(tests))) missing.push(proof);
    }
    expect(missing).toEqual([]);
  });
});
