import 'reflect-metadata';

import type { AddressInfo } from 'node:net';

import { NestFactory } from '@nestjs/core';

import { AppModule } from './app.module.js';

async function main(): Promise<void> {
  const app = await NestFactory.create(AppModule, { logger: ['fatal', 'error', 'warn'] });
  const server = await app.listen(0, '127.0.0.1');
  console.log((server.address() as AddressInfo).port);
  process.stdin.on('end', () => void app.close()).resume();
}

void main();
