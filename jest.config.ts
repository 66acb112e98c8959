/** @jest-config-loader esbuild-register */
import type { Config } from 'jest';

// Handed on to the processes that run the tests.
process.env['SEED'] ??= String(Math.floor(Math.random() * 2 ** 31));
process.stderr.write(`SEED=${process.env['SEED']}\n`);

export default {
  testEnvironment: 'node',
  roots: ['<rootDir>/test'],
  testMatch: ['**/*.spec.ts'],
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        jsc: {
          target: 'es2023',
          parser: { syntax: 'typescript', decorators: true },
          transform: { legacyDecorator: true, decoratorMetadata: true },
        },
        module: { type: 'es6' },
      },
    ],
  },
  moduleNameMapper: {
    '^(\\.{1,2}/.*)\\.js$': '$1',
    '^nestjs-sse-hub$': '<rootDir>/src/index.ts',
    '^nestjs-sse-hub/redis$': '<rootDir>/src/backplane/redis.backplane.ts',
    '^nestjs-sse-hub/nats$': '<rootDir>/src/backplane/nats.backplane.ts',
    '^nestjs-sse-hub/testing$': '<rootDir>/src/testing.ts',
  },
  testTimeout: 20_000,
  testSequencer: '<rootDir>/test/support/measuring-first.js',
  // Two cores is what small CI machines have, and tests of timing suffer when there are more processes than cores.
  maxWorkers: 2,
} satisfies Config;
