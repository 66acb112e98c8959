import { brotliCompressSync, gzipSync } from 'node:zlib';

import { expect, it } from '@jest/globals';

import { bundleClient } from '../support/readers/client-bundle.js';

it('is less than 4 KB, minified and compressed', () => {
  const bundle = bundleClient('--minify', '--format=esm');
  const sizes = { gzip: gzipSync(bundle, { level: 9 }).length, brotli: brotliCompressSync(bundle).length };
  process.stderr.write(`nestjs-sse-hub/client: ${bundle.length} bytes, ${JSON.stringify(sizes)}\n`);
  expect(sizes.gzip).toBeLessThan(4_096);
  expect(sizes.brotli).toBeLessThan(sizes.gzip);
});
