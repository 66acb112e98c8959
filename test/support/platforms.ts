import type { AddressInfo } from 'node:net';

import type { DynamicModule, INestApplication, NestApplicationOptions, Type } from '@nestjs/common';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { SSEModule, type SSEModuleOptions, SSEService } from 'nestjs-sse-hub';

import { recordHub } from './measures/figures.js';

export interface Platform {
  readonly name: string;
  readonly adapter: () => ExpressAdapter | FastifyAdapter;
}

/** Every end-to-end test runs on all of them. */
export const platforms: readonly Platform[] = [
  { name: 'Express', adapter: () => new ExpressAdapter() },
  { name: 'Fastify', adapter: () => new FastifyAdapter() },
];

export interface RunningApp {
  readonly app: INestApplication;
  readonly sse: SSEService;
  readonly url: string;
  close(): Promise<void>;
}

export interface AppOptions {
  readonly config?: SSEModuleOptions;
  readonly controllers?: Type<unknown>[];
  readonly imports?: (DynamicModule | Type<unknown>)[];
  /** Those of Nest's own. */
  readonly nest?: NestApplicationOptions;
  readonly prepare?: (app: INestApplication) => void;
  /** A free one unless given. */
  readonly port?: number;
}

const running = new Set<RunningApp>();

/** A Nest application on a free port. Closed by `closeAll()` at the latest. */
export async function startApp(platform: Platform, options: AppOptions = {}): Promise<RunningApp> {
  const testing = await Test.createTestingModule({
    imports: [SSEModule.forRoot(options.config), ...(options.imports ?? [])],
    controllers: options.controllers ?? [],
  }).compile();
  const app = testing.createNestApplication(platform.adapter(), { logger: ['fatal'], ...options.nest });
  options.prepare?.(app);
  await app.listen(options.port ?? 0, '127.0.0.1');
  const { port } = app.getHttpServer().address() as AddressInfo;
  const started: RunningApp = {
    app,
    sse: app.get(SSEService),
    url: `http://127.0.0.1:${port}`,
    close: async () => {
      running.delete(started);
      await app.close();
      recordHub(started.sse);
    },
  };
  running.add(started);
  return started;
}

/** Those that are not closed yet. */
export function runningApps(): readonly RunningApp[] {
  return [...running];
}

export async function closeAll(): Promise<void> {
  await Promise.all([...running].map((started) => started.close()));
}
