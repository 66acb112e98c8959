import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Extractor, ExtractorConfig, ExtractorLogLevel } from '@microsoft/api-extractor';

import { run } from '../support/packed-library.js';
import { ROOT } from '../support/root.js';

/**
 * The types that applications compile against, held against the reports beside this file: whoever changes them sees it in
 * the diff. After a change that is meant, `npm run api:update` writes the reports anew.
 */

const REPORTS = join(import.meta.dirname, 'api-report');
const ENTRY_POINTS = {
  index: 'index.d.ts',
  redis: 'backplane/redis/redis.backplane.d.ts',
  nats: 'backplane/nats/nats.backplane.d.ts',
  terminus: 'integrations/terminus.d.ts',
  opentelemetry: 'integrations/opentelemetry.d.ts',
  swagger: 'integrations/swagger.d.ts',
  client: 'client/index.d.ts',
  testing: 'testing/index.d.ts',
};

/** For the declarations: in the repository, because they name types of its dependencies. */
const DIST = join(import.meta.dirname, 'dist');

beforeAll(async () => {
  const options = ['--project', 'src', '--emitDeclarationOnly', '--outDir', DIST];
  await run(ROOT, process.execPath, 'node_modules/typescript/bin/tsc', ...options);
}, 60_000);

afterAll(() => rm(DIST, { recursive: true, force: true }));

function reportOf(name: string, declarations: string): Promise<string> {
  const config = ExtractorConfig.prepare({
    configObject: {
      projectFolder: ROOT,
      mainEntryPointFilePath: join(DIST, declarations),
      compiler: { tsconfigFilePath: join(ROOT, 'src/tsconfig.json') },
      apiReport: {
        enabled: true,
        reportFileName: name,
        reportFolder: DIST,
        reportTempFolder: join(DIST, 'temp'),
        // What an option's type is made of can be named without being exported.
        includeForgottenExports: true,
      },
      newlineKind: 'lf',
    },
    configObjectFullPath: undefined,
    packageJsonFullPath: join(ROOT, 'package.json'),
  });
  const { errorCount } = Extractor.invoke(config, {
    localBuild: true,
    // Of no interest but for errors: that there was no report in the folder, and which version of TypeScript reads.
    messageCallback: (message) => {
      message.handled = message.logLevel !== ExtractorLogLevel.Error;
    },
  });
  expect(errorCount).toBe(0);
  return readFile(join(DIST, `${name}.api.md`), 'utf8');
}

describe('the API (npm run api:update accepts a change)', () => {
  for (const [name, declarations] of Object.entries(ENTRY_POINTS)) {
    it(`of the entry point ${name} is what its report says`, async () => {
      const report = await reportOf(name, declarations);
      const file = join(REPORTS, `${name}.api.md`);
      if (process.env['API_REPORT'] === 'update') await writeFile(file, report);
      expect(report).toBe(await readFile(file, 'utf8'));
    }, 60_000);
  }
});
