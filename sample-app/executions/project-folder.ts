import { realpath, stat } from 'node:fs/promises';
import { isAbsolute, relative, resolve } from 'node:path';

import { BadRequestException } from '@nestjs/common';

import { PROJECT_FOLDER } from '../paths.js';

/**
 * The absolute path of a folder of this project. Symbolic links are followed before it is checked, and one answer fits
 * all that is refused: it gives away nothing of what lies outside.
 */
export async function resolveProjectFolder(folder: string): Promise<string> {
  const path = await findFolder(resolve(PROJECT_FOLDER, folder));
  if (path !== undefined && isInside(await realpath(PROJECT_FOLDER), path)) return path;
  throw new BadRequestException('`folder` has to be a folder of this project, e.g. "src".');
}

async function findFolder(path: string): Promise<string | undefined> {
  try {
    const real = await realpath(path);
    return (await stat(real)).isDirectory() ? real : undefined;
  } catch {
    return undefined;
  }
}

function isInside(parent: string, path: string): boolean {
  const way = relative(parent, path);
  return !isAbsolute(way) && way.split(/[/\\]/)[0] !== '..';
}
