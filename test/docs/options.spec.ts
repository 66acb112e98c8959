import { readFile } from 'node:fs/promises';
import { join } from 'node:path';

import { describe, expect, it } from '@jest/globals';

import { ROOT } from '../support/root.js';

/** The tables of options in the documents have a row for every option, and none for what is no option. */

interface Page {
  readonly name: string;
  /** Types whose members have rows, as the reports of the API show them: `entry point/type`. */
  readonly types: readonly string[];
  /** What has a row besides: an option of `forRoot()` only, and methods that take a single one. */
  readonly others: readonly string[];
}

const PAGES: readonly Page[] = [
  { name: 'hub-options', types: ['index/SSEConfig', 'index/CompressionOptions'], others: ['isGlobal', 'name'] },
  {
    name: 'client-options',
    types: ['index/OptionsOfClient', 'index/EventStreamOptions', 'index/BroadcastOptions', 'index/SSEEvent'],
    others: ['subscribe', 'removeClient', 'removeGroup', 'startHeartbeat'],
  },
  { name: 'broker-options', types: ['redis/RedisBackplaneOptions', 'nats/NatsBackplaneOptions'], others: [] },
];

async function membersOf(path: string): Promise<string[]> {
  const [entryPoint = '', type = ''] = path.split('/');
  const report = await readFile(join(import.meta.dirname, `api-report/${entryPoint}.api.md`), 'utf8');
  const [, body = ''] = new RegExp(`^(?:export )?interface ${type}\\b[^\\n]*\\{\\n(.*?)^\\}`, 'ms').exec(report) ?? [];
  const members = [...body.matchAll(/^ {4}(?:readonly )?(\w+)\??:/gm)].map(([, name = '']) => name);
  if (members.length === 0) throw new Error(`The report of ${entryPoint} has no members of ${type}.`);
  return members;
}

async function rowsOf(page: string): Promise<string[]> {
  const text = await readFile(join(ROOT, `docs/reference/${page}.md`), 'utf8');
  return [...text.matchAll(/^\| `(\w+)/gm)].map(([, name = '']) => name);
}

describe('the tables of options', () => {
  for (const { name, types, others } of PAGES) {
    it(`of ${name} have every option, and nothing else`, async () => {
      const members = await Promise.all(types.map(membersOf));
      expect(new Set(await rowsOf(name))).toEqual(new Set([...members.flat(), ...others]));
    });
  }
});
