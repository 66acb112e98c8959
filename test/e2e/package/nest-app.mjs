// An application as one would write it without a compiler: decorators are applied by hand.
import 'reflect-metadata';

import { setImmediate } from 'node:timers/promises';

import { Controller, Get, Inject, Module, Param, Res, Sse } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { SSEModule, SSEService } from 'nestjs-sse-hub';

class EventsController {
  constructor(sse) {
    this.sse = sse;
  }

  stream(topic) {
    return this.sse.stream(topic);
  }

  direct(topic, response) {
    this.sse.createClient(response, { topics: topic });
  }

  async publish(topic, count, length) {
    for (let i = 0; i < Number(count); i++) {
      this.sse.broadcast(topic, 'numbered', { i, padding: '.'.repeat(Number(length)) });
      await setImmediate();
    }
    return 'done';
  }

  stats() {
    return this.sse.stats();
  }
}

function decorate(method, decorator, ...parameters) {
  const { prototype } = EventsController;
  for (const [index, parameter] of parameters.entries()) parameter(prototype, method, index);
  decorator(prototype, method, Object.getOwnPropertyDescriptor(prototype, method));
}

Inject(SSEService)(EventsController, undefined, 0);
decorate('stream', Sse('stream/:topic'), Param('topic'));
decorate('direct', Get('direct/:topic'), Param('topic'), Res());
decorate('publish', Get('publish/:topic/:count/:length'), Param('topic'), Param('count'), Param('length'));
decorate('stats', Get('stats'));
Controller()(EventsController);

class AppModule {}
Module({
  imports: [SSEModule.forRoot({ maxHistorySize: 1_000, maxHistoryBytes: 256 * 1024 * 1024 })],
  controllers: [EventsController],
})(AppModule);

const app = await NestFactory.create(AppModule, { logger: ['fatal', 'error', 'warn'] });
await app.listen(0, '127.0.0.1');
console.log(app.getHttpServer().address().port);

// Nothing but the application keeps this process alive: with it closed, the process ends by itself.
process.stdin.on('end', () => app.close()).resume();
