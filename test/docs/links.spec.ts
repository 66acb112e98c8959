import { existsSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { describe, expect, it } from '@jest/globals';

import { documents } from '../support/documents.js';
import { ROOT } from '../support/root.js';

/** The documents as something to walk through: no link leads nowhere, and README is short. Nothing is asked of the network. */

/** What is shown as it is, and so is no markup: fenced blocks and code within a line. */
function withoutCode(markdown: string): string {
  return markdown.replaceAll(/^ *(`{3,}|~{3,}).*?^ *\1 *$/gms, '').replaceAll(/(`+)(?!`).+?(?<!`)\1(?!`)/gs, '`');
}

const LINKS = [
  // [text](target), also of a picture, and with a title behind the target.
  /\]\(\s*<?([^\s)>]*)>?(?:\s+"[^"]*")?\s*\)/g,
  // [name]: target
  /^ {0,3}\[[^\]]+\]:\s+<?([^\s>]+)>?/gm,
  /<(?:a|img|source)\b[^>]*?\b(?:href|src|srcset)="([^"]*)"/g,
];

function linksIn(markdown: string): string[] {
  const text = withoutCode(markdown);
  return LINKS.flatMap((pattern) => [...text.matchAll(pattern)].map(([, target = '']) => target));
}

/** As GitHub makes them: of what is read, letters, digits, `_` and `-` stay; the same heading again gets a number. */
function anchorsOf(markdown: string): Set<string> {
  const outsideBlocks = markdown.replaceAll(/^ *(`{3,}|~{3,}).*?^ *\1 *$/gms, '');
  const anchors = new Set<string>();
  for (const [, heading = ''] of outsideBlocks.matchAll(/^#{1,6} +(.*?)(?: +#+)? *$/gm)) {
    const read = heading.replaceAll(/!?\[([^\]]*)\]\([^)]*\)/g, '$1');
    const slug = read
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{M}\p{N}\p{Pc}\- ]/gu, '')
      .replaceAll(' ', '-');
    let anchor = slug;
    for (let again = 1; anchors.has(anchor); again++) anchor = `${slug}-${again}`;
    anchors.add(anchor);
  }
  return anchors;
}

const EXTERNAL = /^[a-z][a-z\d+.-]*:/i;

/** Why a link leads nowhere, or `undefined`. */
async function faultOf(file: string, target: string): Promise<string | undefined> {
  if (EXTERNAL.test(target)) {
    return URL.canParse(target) && /^(https:|mailto:)/.test(target) ? undefined : 'no https: or mailto: URL';
  }
  const [path = '', anchor] = target.split('#', 2);
  if (path.startsWith('/')) return 'not relative';
  const other = path === '' ? file : join(dirname(file), decodeURIComponent(path));
  if (!existsSync(join(ROOT, other))) return `${other} does not exist`;
  if (anchor === undefined) return undefined;
  if (!other.endsWith('.md')) return 'an anchor in what is no document';
  const isThere = anchorsOf(await readFile(join(ROOT, other), 'utf8')).has(decodeURIComponent(anchor));
  return isThere ? undefined : `${other} has no such heading`;
}

const files = await documents();

describe('links', () => {
  it.each(files)('of %s lead somewhere', async (file) => {
    const faults: string[] = [];
    for (const target of linksIn(await readFile(join(ROOT, file), 'utf8'))) {
      const fault = await faultOf(file, target);
      if (fault !== undefined) faults.push(`${target}: ${fault}`);
    }
    expect(faults).toEqual([]);
  });

  it('lead from README to every document', async () => {
    const reached = new Set(['README.md']);
    for (const file of reached) {
      for (const target of linksIn(await readFile(join(ROOT, file), 'utf8'))) {
        const path = target.split('#', 1)[0]!;
        const other = join(dirname(file), path).replaceAll('\\', '/');
        // GitHub lists what is in a folder.
        const found = files.filter((name) => name === other || (other.endsWith('/') && name.startsWith(other)));
        if (path !== '') for (const name of found) reached.add(name);
      }
    }
    expect(files.filter((file) => !reached.has(file))).toEqual([]);
  });

  it('are found, and so are headings', () => {
    const shown = [
      '# `stream()`: a [link](https://example.org), *or* two_words',
      '## Again',
      '## Again',
      '![picture](a.png) and [text](b.md#c "title") but not `[code](d.md)`',
      '```md',
      '# no heading',
      '[no link](e.md)',
      '```',
      '[name]: f.md',
      '<img alt="" src="g.png">',
    ].join('\n');
    expect(linksIn(shown)).toEqual(['https://example.org', 'a.png', 'b.md#c', 'f.md', 'g.png']);
    expect([...anchorsOf(shown)]).toEqual(['stream-a-link-or-two_words', 'again', 'again-1']);
  });
});

describe('README', () => {
  it('is one page', async () => {
    expect((await stat(join(ROOT, 'README.md'))).size).toBeLessThanOrEqual(15 * 1024);
  });
});
