import { accessSync, constants } from 'node:fs';
import { delimiter, join } from 'node:path';

/**
 * A program that the machine may lack. Then what needs it is left out, with a line that says what to install; where
 * everything has to be tried (`CI`), it is an error.
 */
export function findProgram(names: readonly string[], remedy: string): string | undefined {
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  const found = folders.flatMap((folder) => names.map((name) => join(folder, name))).find(isExecutable);
  if (found !== undefined) return found;
  const message = `${names.join(', ')}: not found. ${remedy}`;
  if (process.env['CI']) throw new Error(message);
  process.stderr.write(`${message}\n`);
  return undefined;
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
