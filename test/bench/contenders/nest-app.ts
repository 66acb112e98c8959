import 'reflect-metadata';

import type { Server } from 'node:http';

import { type DynamicModule, type INestApplication, Module, type Type } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';

import { connectionsOf, type ContenderServer, portOf } from './contender.js';

export type Platform = 'Express' | 'Fastify';

@Module({})
class BenchModule {}

/** A Nest application on a free port of the loopback interface. */
export async function startNest(
  platform: Platform,
  controller: Type<unknown>,
  imports: DynamicModule[] = [],
  { http2 = false } = {},
): Promise<INestApplication> {
  const adapter = platform === 'Express' ? new ExpressAdapter() : new FastifyAdapter(http2 ? { http2 } : {});
  const root = { module: BenchModule, imports, controllers: [controller] };
  const app = await NestFactory.create(root, adapter, { logger: ['fatal'] });
  await app.listen(0, '127.0.0.1');
  return app;
}

export function serverOf(app: INestApplication): Pick<ContenderServer, 'port' | 'connections' | 'close'> {
  const server = app.getHttpServer() as Server;
  return {
    port: portOf(server),
    connections: () => connectionsOf(server),
    close: async () => {
      // A server of HTTP/2 has none of its own: its sessions are their clients' to close.
      (server as Partial<Server>).closeAllConnections?.();
      await app.close();
    },
  };
}
