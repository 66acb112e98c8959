import { readdirSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { extname, join, sep } from 'node:path';

import { NotFoundException, StreamableFile } from '@nestjs/common';

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
};

/** What a folder has to serve, as paths with slashes. What is not in this list is asked for in vain, whatever is in the URL. */
export function servedFiles(folder: string): string[] {
  const paths = readdirSync(folder, { recursive: true, encoding: 'utf8' }).map((path) => path.split(sep).join('/'));
  return paths.filter((path) => extname(path) in TYPES && /^[\w./-]+$/.test(path)).toSorted();
}

/** The same on each platform, without a module for static files. */
export async function serveFile(folder: string, path: string): Promise<StreamableFile> {
  const type = TYPES[extname(path)];
  if (type === undefined) throw new NotFoundException('There is no such file.');
  return new StreamableFile(await readFile(join(folder, path)), { type });
}
