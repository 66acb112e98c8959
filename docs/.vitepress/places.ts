import { existsSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, posix } from 'node:path';

/** Where a file of the repository is on the site. The documents are written for GitHub; nothing in them is for the site alone. */

export const ROOT = join(import.meta.dirname, '../..');
export const API = 'docs/reference/api';
export const REPOSITORY = 'https://github.com/nestjs-sse-hub/nestjs-sse-hub';
/** Documents link to what only the site has, the API, by its whole address. */
export const SITE = 'https://nestjs-sse-hub.github.io/nestjs-sse-hub/';

/** What lies elsewhere than its page. */
const MOVED: Readonly<Record<string, string>> = {
  'README.md': 'index.md',
  'docs/README.md': 'documents.md',
  'CHANGELOG.md': 'changelog.md',
  'CONTRIBUTING.md': 'contributing.md',
  'SECURITY.md': 'security.md',
  'sample-app/README.md': 'sample-app.md',
};

/** The page of a document, as a path that ends in `.md`; undefined for what has none. */
export function pageOf(file: string): string | undefined {
  if (!file.endsWith('.md')) return undefined;
  const moved = MOVED[file];
  if (moved !== undefined) return moved;
  return file.startsWith('docs/') ? file.slice('docs/'.length).replace(/(^|\/)README[.]md$/, '$1index.md') : undefined;
}

/**
 * Where a link in a document leads on the site: to a page, or to the repository for all else.
 *
 * @throws For a file that does not exist.
 */
export function targetOf(file: string, target: string): string {
  if (target.startsWith(SITE)) return `/${target.slice(SITE.length)}`;
  if (target === '' || target.startsWith('#') || URL.canParse(target)) return target;
  const [path = '', anchor] = target.split('#', 2);
  const other = posix.join(dirname(file), decodeURIComponent(path)).replace(/\/$/, '');
  const place = join(ROOT, other);
  if (!existsSync(place)) throw new Error(`${file} links to ${target}, and ${other} does not exist.`);
  const page = pageOf(other);
  const behind = anchor === undefined ? '' : `#${anchor}`;
  if (page !== undefined) return `/${page}${behind}`;
  return `${REPOSITORY}/${statSync(place).isDirectory() ? 'tree' : 'blob'}/main/${other}${behind}`;
}

export function read(file: string): string {
  return readFileSync(join(ROOT, file), 'utf8');
}
