import { readdirSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';

import type { DefaultTheme } from 'vitepress';

import { API, pageOf, read, ROOT } from './places.js';

/** The order of the documents: docs/README.md has it, and so have the READMEs of folders for theirs. */

type Item = DefaultTheme.SidebarItem;

const CONTENTS = 'docs/README.md';
const LINK = /\[([^\]]+)\]\(([^)\s#]+[.]md)\)/g;

/** Groups of what a list of contents links to: the headings, up to their colon, and the links in its lists. */
function groupsIn(file: string, contents: string): Item[] {
  const groups: Item[] = [];
  // What follows the lists names more documents in a sentence.
  for (const part of contents.split(/^## /m).slice(1)) {
    const [heading = '', ...paragraphs] = part.split(/\n{2,}/);
    for (const paragraph of paragraphs) {
      const items = [...paragraph.matchAll(LINK)].map(([, text = '', target = '']) => itemOf(file, text, target));
      if (items.length === 0) continue;
      const isList = /^(-|\d+[.]) /.test(paragraph);
      groups.push({ text: isList ? heading.replace(/:.*/s, '') : 'Elsewhere', items });
    }
  }
  return groups;
}

function itemOf(file: string, text: string, target: string): Item {
  const other = posix.join(dirname(file), target);
  const page = pageOf(other);
  if (page === undefined) throw new Error(`${file} lists ${target}, which has no page. See places.ts.`);
  const item: Item = { text: text[0]!.toUpperCase() + text.slice(1), link: `/${page}` };
  if (!other.endsWith('/README.md') || !other.startsWith('docs/')) return item;
  const items = [...read(other).matchAll(LINK)].map(([, inner = '', below = '']) => itemOf(other, inner, below));
  return { ...item, items, collapsed: true };
}

function linksOf(items: readonly Item[]): string[] {
  return items.flatMap(({ link, items: below = [] }) => [...(link === undefined ? [] : [link]), ...linksOf(below)]);
}

/**
 * The sidebar of the documents.
 *
 * @throws Where a document is in no list.
 */
export function documentGroups(contents = read(CONTENTS)): Item[] {
  const groups = groupsIn(CONTENTS, contents);
  const listed = new Set(linksOf(groups));
  const missing = readdirSync(join(ROOT, 'docs'), { recursive: true, encoding: 'utf8' })
    .map((name) => posix.join('docs', name.replaceAll('\\', '/')))
    .filter((file) => file.endsWith('.md') && file !== CONTENTS && !file.startsWith(`${API}/`))
    .filter((file) => !listed.has(`/${pageOf(file)}`));
  if (missing.length > 0) {
    throw new Error(`${missing.join(', ')}: in no list of ${CONTENTS}. List it there, with a line on what it is for.`);
  }
  return groups;
}

/** Those with pages of their own. Types and constants stand on the page of their entry. */
const KINDS = ['classes', 'functions', 'interfaces'];
const OVERVIEW = /^- \[(.+)\]\((.+)\/index[.]md\)$/gm;
const MEMBER = /^- \[(.+)\]\((.+)\)$/gm;

/** The sidebar of the API: each entry of the package, with what it exports in the order of kinds. */
export function apiGroups(): Item[] {
  const entries = [...read(`${API}/index.md`).matchAll(OVERVIEW)];
  if (entries.length === 0) throw new Error(`${API} is empty: npm run docs makes it.`);
  return entries.map(([, text = '', folder = '']) => {
    const members = [...read(`${API}/${folder}/index.md`).matchAll(MEMBER)];
    const items = KINDS.map((kind) => ({
      text: kind[0]!.toUpperCase() + kind.slice(1),
      link: `/reference/api/${folder}/index.md#${kind}`,
      collapsed: true,
      items: members
        .filter(([, , target]) => target!.startsWith(`${kind}/`))
        .map(([, name = '', target = '']) => ({
          text: name.replaceAll('\\', ''),
          link: `/reference/api/${folder}/${target}`,
        })),
    })).filter((group) => group.items.length > 0);
    return { text, link: `/reference/api/${folder}/index.md`, collapsed: false, items };
  });
}
