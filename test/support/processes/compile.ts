import { mkdir, readdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';

import { transformFile } from '@swc/core';

/**
 * Makes JavaScript of all TypeScript in a folder, for programs that run in processes of their own. As Jest does it: types
 * are checked elsewhere, which takes a hundred times as long. What `tsc` makes of the library is tried by package.spec.ts.
 */
export async function compile(from: string, to: string): Promise<void> {
  const names = (await readdir(from, { recursive: true })).filter((name) => name.endsWith('.ts'));
  await Promise.all(
    names.map(async (name) => {
      const { code } = await transformFile(join(from, name), {
        swcrc: false,
        jsc: {
          target: 'es2023',
          parser: { syntax: 'typescript', decorators: true },
          transform: { legacyDecorator: true, decoratorMetadata: true },
        },
        module: { type: 'es6' },
      });
      const target = join(to, name.replace(/\.ts$/, '.js'));
      await mkdir(dirname(target), { recursive: true });
      await writeFile(target, code);
    }),
  );
}
