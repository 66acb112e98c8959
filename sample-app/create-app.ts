import type { INestApplication } from '@nestjs/common';
import { type AbstractHttpAdapter, NestFactory } from '@nestjs/core';
import { type Backplane, MemoryBackplane } from 'nestjs-sse-hub';

import { AppModule } from './app.module.js';

/** The whole application on a platform of Nest's, not yet listening. */
export function createApp(
  platform: AbstractHttpAdapter,
  backplane: Backplane = new MemoryBackplane(),
): Promise<INestApplication> {
  return NestFactory.create(AppModule.withLog(backplane), platform, { logger: ['warn', 'error', 'fatal'] });
}
