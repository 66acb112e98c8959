import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';

import { faultsOf } from '../../docs/.vitepress/check.js';
import { documentGroups } from '../../docs/.vitepress/contents.js';
import { pageOf, read, targetOf } from '../../docs/.vitepress/places.js';

/** What the site is made by: the order of its pages, where links lead, and the check that `npm run docs:site` ends with. */

describe('the sidebar of the site', () => {
  it('has the documents in the groups and the order of docs/README.md', () => {
    const groups = documentGroups();
    expect(groups.map(({ text }) => text).slice(0, 3)).toEqual(['Guide', 'Recipes', 'Operations']);
    expect(groups[0]!.items!.slice(0, 2)).toEqual([
      { text: 'Installing', link: '/guide/installing.md' },
      { text: 'Topics and publishing', link: '/guide/topics-and-publishing.md' },
    ]);
    expect(groups.at(-1)!.text).toBe('Elsewhere');
  });

  it('refuses a document that is in no list', () => {
    const contents = read('docs/README.md').replace(/^.*guide\/runs\.md.*\n/m, '');
    expect(() => documentGroups(contents)).toThrow('docs/guide/runs.md: in no list of docs/README.md. List it there');
  });
});

describe('a link of a document', () => {
  it('leads to a page of the site where there is one, and to the repository where there is none', () => {
    const file = 'docs/internals/design.md';
    expect(targetOf(file, '../guide/resume.md#how-it-works')).toBe('/guide/resume.md#how-it-works');
    expect(targetOf(file, '../../SECURITY.md')).toBe('/security.md');
    expect(targetOf(file, '../../test/docs/site.spec.ts')).toMatch(
      /^https:.*\/blob\/main\/test\/docs\/site\.spec\.ts$/,
    );
    expect(targetOf(file, '../../src/hub/')).toMatch(/^https:.*\/tree\/main\/src\/hub$/);
    expect(targetOf(file, 'https://example.org/a')).toBe('https://example.org/a');
    expect(pageOf('README.md')).toBe('index.md');
  });

  it('leads nowhere else', () => {
    expect(() => targetOf('docs/internals/design.md', 'gone.md')).toThrow('docs/internals/gone.md does not exist');
  });
});

describe('the check of the built site', () => {
  let folder: string;

  /** A site of two pages, with which nothing is wrong. */
  const SITE: Readonly<Record<string, string>> = {
    'index.html': '<link rel="stylesheet" href="/docs/a.css"><h1 id="a">A</h1><a href="/docs/b.html#b">B</a>',
    'b.html': '<h1 id="b">B</h1><a class="x" href="./index.html#a">A</a><a href="https://example.org">elsewhere</a>',
    '404.html': '<a href="/docs/">A</a>',
    'a.css': 'a { background: url(data:image/svg+xml,x) }',
    'assets/chunks/@localSearchIndexroot.x.js': indexOf('/docs/', '/docs/b.html#b'),
  };

  function indexOf(...ids: string[]): string {
    const json = JSON.stringify({ documentIds: Object.fromEntries(ids.entries()) });
    return `const x=${JSON.stringify(json)};export{x as default};`;
  }

  async function faultsWith(changed: Readonly<Record<string, string>>): Promise<string[]> {
    for (const [name, text] of Object.entries({ ...SITE, ...changed })) {
      await mkdir(dirname(join(folder, name)), { recursive: true });
      await writeFile(join(folder, name), text);
    }
    return faultsOf(folder, '/docs/');
  }

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'site-'));
  });

  afterEach(() => rm(folder, { recursive: true }));

  it('finds nothing where all is well', async () => {
    expect(await faultsWith({})).toEqual([]);
  });

  it('tells of links to pages and headings that are not there', async () => {
    const added =
      '<a href="/docs/c.html">C</a><a href="index.html#c">C</a><a href="/b.html">B</a><a href="http://x">X</a>';
    expect(await faultsWith({ 'b.html': SITE['b.html'] + added })).toEqual([
      'b.html: /docs/c.html leads to c.html, which does not exist.',
      'b.html: index.html#c leads to no heading of index.html.',
      'b.html: /b.html is no place.',
      'b.html: http://x is no place.',
    ]);
  });

  it('tells of a page that nothing links to, and that the search does not know', async () => {
    expect(await faultsWith({ 'c.html': '<a href="/docs/c.html">itself</a>' })).toEqual([
      'c.html: no link leads there from index.html.',
      'c.html: the search does not know it.',
    ]);
  });

  it('tells of what a browser would fetch from elsewhere, or in vain', async () => {
    const added = '<script src="https://example.org/count.js"></script><img src="/docs/gone.png">';
    const css = '@import "https://example.org/font.css"; a { background: url(/docs/gone.svg) }';
    expect((await faultsWith({ 'b.html': SITE['b.html'] + added, 'a.css': css })).toSorted()).toEqual([
      'a.css: /docs/gone.svg is fetched and does not exist.',
      'a.css: https://example.org/font.css is fetched from elsewhere.',
      'b.html: /docs/gone.png is fetched and does not exist.',
      'b.html: https://example.org/count.js is fetched from elsewhere.',
    ]);
  });

  it('tells where nothing was built', async () => {
    expect(await faultsOf(folder, '/docs/')).toEqual([`${folder} has no pages.`]);
  });
});
