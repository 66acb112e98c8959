import { execFileSync } from 'node:child_process';
import { join } from 'node:path';

import { ROOT } from '../root.js';

/** `nestjs-sse-hub/client` as an application's bundler makes it; in a page without a bundler it is `sseHub`. */
export function bundleClient(...options: string[]): Buffer {
  return execFileSync(
    join(ROOT, 'node_modules/.bin/esbuild'),
    ['src/client/index.ts', '--bundle', '--target=es2022', ...options],
    { cwd: ROOT, stdio: ['ignore', 'pipe', 'ignore'] },
  );
}

export const CLIENT_SCRIPT = bundleClient('--format=iife', '--global-name=sseHub').toString();
