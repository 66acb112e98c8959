import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { beforeAll, describe, expect, it } from '@jest/globals';
import { SSEService } from 'nestjs-sse-hub';

/** That what docs/operations/observing.md quotes is what the source says: somebody will search for it at night. */

const ROOT = join(import.meta.dirname, '../..');

let page = '';
let source = '';

beforeAll(async () => {
  page = await readFile(join(ROOT, 'docs/operations/observing.md'), 'utf8');
  const files = (await readdir(join(ROOT, 'src'), { recursive: true })).filter((name) => name.endsWith('.ts'));
  const texts = await Promise.all(files.map((name) => readFile(join(ROOT, 'src', name), 'utf8')));
  // Texts that go over several lines are one.
  source = texts
    .join('\n')
    .replaceAll(/['"`] \+\n\s*['"`]/g, '')
    .replaceAll('\\`', '`');
});

function sectionOf(heading: string): string {
  const [, section] = new RegExp(`^## ${heading}\\n(.*?)(?=^## |$(?![^]))`, 'ms').exec(page) ?? [];
  if (section === undefined) throw new Error(`There is no section ${heading}.`);
  return section;
}

/** The first column of the section's table, without its head. */
function namesIn(heading: string): string[] {
  return [...sectionOf(heading).matchAll(/^\| `(\w+)` +\|/gm)].map(([, name]) => name!);
}

/** What of a quoted line is always the same, and in one piece: names are put in, and sentences put together. */
function fragmentsOf(line: string): string[] {
  return line
    .split(/…|<[^>]+>|\.orders\(\)|(?= Clients are reset\.)/)
    .map((fragment) => fragment.replace(/^[.:) ]+/, '').trim())
    .filter((fragment) => /\w{3}/.test(fragment));
}

function isSaid(fragment: string): boolean {
  const parts = fragment.split(/\bRedis\b|\bNATS\b|"/).map((part) => part.trim());
  return source.includes(fragment) || parts.every((part) => source.includes(part));
}

describe('docs/operations/observing.md', () => {
  it('quotes log lines as they are written', () => {
    const lines = [
      ...[...sectionOf('Log lines').matchAll(/^\| (?:warn|error) +\| (.*?) +\|/gm)],
      ...[...sectionOf('Debug').matchAll(/^\| (`.*?) +\|/gm)],
    ].flatMap(([, cell]) => [...cell!.matchAll(/(`+) ?(.*?) ?\1/g)].map(([, , line]) => line!));
    expect(lines.length).toBeGreaterThan(30);
    expect(lines.flatMap(fragmentsOf).filter((fragment) => !isSaid(fragment))).toEqual([]);
  });

  it('explains every figure', () => {
    expect(namesIn('Figures').toSorted()).toEqual(Object.keys(new SSEService().stats()).toSorted());
  });

  it('explains every reason why clients leave', () => {
    const [, union] = /type DisconnectReason =([^;]*);/.exec(source) ?? [];
    const reasons = [...union!.matchAll(/'(\w+)'/g)].map(([, reason]) => reason!);
    expect(namesIn('Why clients leave').toSorted()).toEqual(reasons.toSorted());
  });
});
