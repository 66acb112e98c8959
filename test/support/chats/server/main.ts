// A node of a chat in a process of its own, to be restarted and killed.
import 'reflect-metadata';

import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { type Backplane, MemoryBackplane, SSEModule } from 'nestjs-sse-hub';

import { chatsThatEnd, NodeController } from './chats.js';

const { REDIS_URL: redis = '', NATS_URL: nats = '', BACKPLANE_PREFIX: prefix = '', PLATFORM } = process.env;

async function chooseBackplane(): Promise<Backplane> {
  if (redis !== '') return new (await import('nestjs-sse-hub/redis')).RedisBackplane({ url: redis, prefix });
  if (nats !== '') return new (await import('nestjs-sse-hub/nats')).NatsBackplane({ servers: nats, prefix });
  return new MemoryBackplane();
}

@Module({
  imports: [
    SSEModule.forRoot({
      backplane: await chooseBackplane(),
      // Comments between the tokens.
      heartbeatInterval: 20,
      retryInterval: 20,
      retryJitter: 0,
      drainTimeout: 500,
    }),
  ],
  controllers: [...chatsThatEnd('end'), ...chatsThatEnd('cut'), NodeController],
})
class ChatModule {}

// Fastify would answer 503 itself to who comes, on a connection that is open already, in the moment in which it closes.
const adapter = PLATFORM === 'fastify' ? new FastifyAdapter({ return503OnClosing: false }) : new ExpressAdapter();
const app = await NestFactory.create(ChatModule, adapter, { logger: ['error', 'fatal'] });
app.enableShutdownHooks();
await app.listen(0, '127.0.0.1');
console.log(`Listening on ${await app.getUrl()}.`);
