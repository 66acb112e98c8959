import type { INestApplication } from '@nestjs/common';
import { type AbstractHttpAdapter, NestFactory } from '@nestjs/core';
import { type Backplane, MemoryBackplane } from 'nestjs-sse-hub';

import { serveApiDocument } from './api-document.js';
import { AppModule } from './app.module.js';

/** The whole application on a platform of Nest's, not yet listening. */
export async function createApp(
  platform: AbstractHttpAdapter,
  backplane: Backplane = new MemoryBackplane(),
): Promise<INestApplication> {
  const app = await NestFactory.create(AppModule.withLog(backplane), platform, { logger: ['warn', 'error', 'fatal'] });
  serveApiDocument(app);
  return app;
}
