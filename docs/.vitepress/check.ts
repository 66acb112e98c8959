import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

/** What has to hold for the site as it was built: it stands by itself, and all of it is found. */

interface Page {
  readonly anchors: ReadonlySet<string>;
  readonly links: readonly string[];
  /** What a browser fetches by itself. */
  readonly loads: readonly string[];
}

const NOWHERE = 'https://nowhere.invalid';
const START = 'index.html';
/** What a server shows for a wrong address. Nothing links there. */
const NOT_FOUND = '404.html';
const SEARCH = /^assets\/chunks\/@localSearchIndexroot[.].*[.]js$/;
const ENTITIES: Readonly<Record<string, string>> = { amp: '&', quot: '"', lt: '<', gt: '>', '#39': "'", '#x27': "'" };

function attribute(tag: string, name: string): string | undefined {
  const value = new RegExp(`\\s${name}="([^"]*)"`).exec(tag)?.[1];
  return value?.replaceAll(/&(amp|quot|lt|gt|#39|#x27);/g, (_, entity: string) => ENTITIES[entity]!);
}

function pageOf(html: string): Page {
  const tags =
    html.replaceAll(/(<script\b[^>]*>).*?<\/script>/gs, '$1').match(/<[a-z][^\s>]*(?:"[^"]*"|[^">])*>/gi) ?? [];
  const values = (name: string, pattern: RegExp) =>
    tags.filter((tag) => pattern.test(tag)).flatMap((tag) => attribute(tag, name) ?? []);
  return {
    anchors: new Set(values('id', /^</)),
    links: values('href', /^<a\s/),
    loads: [...values('href', /^<link\s/), ...values('src', /^<(script|img|source|iframe|video|audio)\s/)],
  };
}

function loadsOfStyles(css: string): string[] {
  return [...css.matchAll(/url\(\s*["']?([^"')]*)|@import\s+["']([^"']*)/g)].map(
    ([, url, sheet]) => url ?? sheet ?? '',
  );
}

/** A file of the site, or `undefined` for what lies elsewhere. */
function fileOf(url: URL, base: string): string | undefined {
  if (url.origin !== NOWHERE || !url.pathname.startsWith(base)) return undefined;
  const path = decodeURIComponent(url.pathname.slice(base.length));
  return path === '' || path.endsWith('/') ? `${path}index.html` : path;
}

/** The pages that the search knows. */
async function searched(folder: string, files: readonly string[], base: string): Promise<Set<string | undefined>> {
  const index = files.find((file) => SEARCH.test(file));
  if (index === undefined) return new Set();
  const module = encodeURIComponent(await readFile(join(folder, index), 'utf8'));
  const { default: json } = (await import(`data:text/javascript,${module}`)) as { default: string };
  const { documentIds } = JSON.parse(json) as { documentIds: Record<string, string> };
  return new Set(Object.values(documentIds).map((id) => fileOf(new URL(id, NOWHERE), base)));
}

/** What is wrong with a site that was built into a folder, to be served below a base (`/docs/`): a line for each fault. */
export async function faultsOf(folder: string, base: string): Promise<string[]> {
  const files = (await readdir(folder, { recursive: true })).map((name) => name.replaceAll('\\', '/'));
  const existing = new Set(files);
  const pages = new Map<string, Page>();
  const faults: string[] = [];
  const loads: [from: string, target: string][] = [];
  for (const file of files) {
    if (!/[.](html|css)$/.test(file)) continue;
    const text = await readFile(join(folder, file), 'utf8');
    if (file.endsWith('.html')) pages.set(file, pageOf(text));
    else loads.push(...loadsOfStyles(text).map((target): [string, string] => [file, target]));
  }

  const reached = new Set([START]);
  /** Grows while it is walked. */
  const onward = new Map<string, string[]>();
  for (const [from, page] of pages) {
    loads.push(...page.loads.map((target): [string, string] => [from, target]));
    for (const link of page.links) {
      const url = new URL(link, `${NOWHERE}${base}${from}`);
      const file = fileOf(url, base);
      const anchor = decodeURIComponent(url.hash.slice(1));
      if (file === undefined) {
        const isOutside = /^(https|mailto):$/.test(url.protocol) || url.hostname === 'localhost';
        if (!isOutside || url.origin === NOWHERE) faults.push(`${from}: ${link} is no place.`);
      } else if (!existing.has(file)) faults.push(`${from}: ${link} leads to ${file}, which does not exist.`);
      else if (anchor !== '' && pages.get(file)?.anchors.has(anchor) !== true)
        faults.push(`${from}: ${link} leads to no heading of ${file}.`);
      else onward.set(from, [...(onward.get(from) ?? []), file]);
    }
  }
  for (const page of reached) for (const file of onward.get(page) ?? []) reached.add(file);

  for (const [from, target] of loads) {
    if (target.startsWith('data:') || target.startsWith('#')) continue;
    const file = fileOf(new URL(target, `${NOWHERE}${base}${from}`), base);
    if (file === undefined) faults.push(`${from}: ${target} is fetched from elsewhere.`);
    else if (!existing.has(file)) faults.push(`${from}: ${target} is fetched and does not exist.`);
  }

  const found = await searched(folder, files, base);
  for (const page of pages.keys()) {
    if (page === NOT_FOUND) continue;
    if (!reached.has(page)) faults.push(`${page}: no link leads there from ${START}.`);
    if (!found.has(page)) faults.push(`${page}: the search does not know it.`);
  }
  if (pages.size === 0) faults.push(`${folder} has no pages.`);
  return faults;
}
