import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { SAMPLE_FOLDER } from '../paths.js';

export interface SourcePart {
  readonly file: string;
  /** Where it begins, from 1 on. */
  readonly line: number;
  readonly code: string;
}

/** A member of a class, or a function of a file, with its decorators, as it is in the source now. */
export async function cutOut(file: string, name: string): Promise<SourcePart> {
  const lines = (await readFile(join(SAMPLE_FOLDER, file), 'utf8')).split('\n');
  const declared = new RegExp(`^(  )?((export|async|function\\*?|const|readonly) )*${name}(\\(|<| = )`);
  const found = lines.findIndex((line) => declared.test(line));
  if (found < 0) throw new Error(`sample-app/${file} has no ${name} any more.`);
  const indent = /^ */.exec(lines[found]!)![0];
  let first = found;
  while (lines[first - 1]?.startsWith(`${indent}@`)) first--;
  const isWhole = lines[found]!.endsWith(';');
  const last = isWhole ? found : lines.findIndex((line, at) => at > found && /^[})\]]+;?$/.test(cut(line, indent)));
  const code = lines.slice(first, last + 1).map((line) => cut(line, indent));
  return { file: `sample-app/${file}`, line: first + 1, code: code.join('\n') };
}

function cut(line: string, indent: string): string {
  return line.startsWith(indent) ? line.slice(indent.length) : line;
}
