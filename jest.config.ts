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
    '^nestjs-sse-hub/redis$': '<rootDir>/src/backplane/redis/redis.backplane.ts',
    '^nestjs-sse-hub/nats$': '<rootDir>/src/backplane/nats/nats.backplane.ts',
    '^nestjs-sse-hub/(terminus|opentelemetry)$': '<rootDir>/src/integrations/$1.ts',
    '^nestjs-sse-hub/swagger$': '<rootDir>/src/integrations/swagger.ts',
    '^nestjs-sse-hub/(client|testing)$': '<rootDir>/src/$1/index.ts',
  },
  // Bounds the waiting, as the patience of the tests does, and measures nothing. With FAULT_SECONDS tests take minutes.
  testTimeout: process.env['FAULT_SECONDS'] === undefined ? 300_000 : 1_800_000,
  testSequencer: '<rootDir>/test/support/jest/longest-first.js',
  // Two cores is what small CI machines have, and tests of timing suffer when there are more processes than cores.
  maxWorkers: 2,
  // A process for every file: one that has run dozens keeps more of them than a server would have, and is slower by that.
  workerIdleMemoryLimit: '1MB',
} satisfies Config;
