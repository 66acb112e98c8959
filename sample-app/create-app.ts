import type { INestApplication } from '@nestjs/common';
import { type AbstractHttpAdapter, NestFactory } from '@nestjs/core';

import { AppModule } from './app.module.js';

/** The whole application on a platform of Nest's, not yet listening. */
export function createApp(platform: AbstractHttpAdapter): Promise<INestApplication> {
  return NestFactory.create(AppModule, platform, { logger: ['warn', 'error', 'fatal'] });
}
