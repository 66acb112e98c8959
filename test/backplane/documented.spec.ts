import { randomUUID } from 'node:crypto';
import { readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { describe, expect, it } from '@jest/globals';
import { backplaneContract } from 'nestjs-sse-hub/testing';

import { FileBackplane } from '../e2e/package/examples/file-backplane.js';

const ROOT = join(import.meta.dirname, '..', '..');

/** The backplane that `docs/reference/writing-a-backplane.md` writes, from the first line to the last. */
describe('the backplane in the documents', () => {
  it('is shown as it is', async () => {
    const page = await readFile(join(ROOT, 'docs/reference/writing-a-backplane.md'), 'utf8');
    const code = await readFile(join(ROOT, 'test/e2e/package/examples/file-backplane.ts'), 'utf8');
    expect(page).toContain(`\`\`\`ts\n${code}\`\`\`\n`);
  });

  for (const check of backplaneContract()) {
    it(check.name, () =>
      check.run(() => {
        const path = join(tmpdir(), `sse-log-${randomUUID()}`);
        return { node: () => new FileBackplane(path), dispose: () => rm(path) };
      }),
    );
  }
});
