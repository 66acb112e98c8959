import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';

import { MiB } from '../../support/measures/memory.js';
import { buildStandalone } from '../../support/processes/standalone.js';

const LIMIT = 4 * MiB;
/** Whatever the history holds: what is read back in one turn, what waits for its readers, code that is compiled meanwhile. */
const REST = 0.75 * MiB;

const KINDS = [
  'JSON that an observer reads',
  'JSON that filters read',
  'metadata',
  'frames that are compressed',
  'small events between large writes',
  'small events that nobody reads',
  'small events that are read',
  'texts cut out of large ones',
  'texts beyond Latin-1',
  'texts made of small pieces',
  'line breaks',
  'lists of those left out',
  'own ids',
  'many topics',
];

interface Report {
  /** Bytes of the heap and of buffers. */
  readonly kept: number;
  readonly events: number;
  readonly published: number;
}

describe('Memory', () => {
  let build: Awaited<ReturnType<typeof buildStandalone>>;

  beforeAll(async () => {
    build = await buildStandalone();
  });

  afterAll(() => build.remove());

  async function run(kind: string): Promise<Report> {
    const args = ['--expose-gc', join(build.folder, 'memory.mjs'), kind, String(LIMIT)];
    const { stdout } = await promisify(execFile)(process.execPath, args);
    return JSON.parse(stdout) as Report;
  }

  it.each(KINDS)('M1: a history that is full of %s takes no more memory than maxHistoryBytes', async (kind) => {
    const { kept, events, published } = await run(kind);
    // It was full, and held as much as it may.
    expect(events).toBeLessThan(published);
    expect(events).toBeGreaterThanOrEqual(5);
    expect(kept).toBeLessThan(LIMIT + REST);
  });

  it('M1: every kind of event is tried', async () => {
    expect(await run('kinds')).toEqual({ kinds: KINDS });
  });
});
