import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';

import { afterAll, describe, expect, it } from '@jest/globals';
import { Controller, type INestApplication, Module } from '@nestjs/common';
import { EventEmitter2, EventEmitterModule } from '@nestjs/event-emitter';
import { type ClientOptions, ClientProxyFactory, Transport } from '@nestjs/microservices';
import { type Backplane, EventStream, MemoryBackplane } from 'nestjs-sse-hub';
import { NatsBackplane } from 'nestjs-sse-hub/nats';
import { RedisBackplane } from 'nestjs-sse-hub/redis';

import { returnToBaseline, until } from '../../support/baseline.js';
import { findNats } from '../../support/brokers/nats-server.js';
import { findRedis } from '../../support/brokers/redis-server.js';
import { platforms, type RunningApp } from '../../support/platforms.js';
import { listenToOrders } from './events-and-messages/listen.js';
import { OrderEvents } from './events-and-messages/order-events.js';
import { OrderMessagesController } from './events-and-messages/order-messages.controller.js';

/** docs/recipes/events-and-messages.md: each event is in the log once, or as often as nodes hear of it. */

const [redis, nats] = [await findRedis(), await findNats()];
const prefix = `test-${randomUUID()}`;

afterAll(async () => {
  for (const broker of [redis, nats]) {
    await broker?.forget(prefix);
    await broker?.stop();
  }
});

const bench = returnToBaseline();

@Controller('orders')
class OrdersController {
  @EventStream()
  orders() {
    return 'orders';
  }
}

@Module({
  imports: [EventEmitterModule.forRoot()],
  controllers: [OrdersController, OrderMessagesController],
  providers: [OrderEvents],
})
class OrdersModule {}

/** Two nodes on one log. */
async function startNodes(backplane: () => Backplane): Promise<RunningApp[]> {
  const start = () => bench.start(platforms[0]!, { config: { backplane: backplane() }, imports: [OrdersModule] });
  return [await start(), await start()];
}

/** The ids of orders that a browser at each node gets until the last one has come, `end`. */
async function idsAt(nodes: readonly RunningApp[], act: () => Promise<void>): Promise<number[][]> {
  const streams = await Promise.all(nodes.map(({ app }) => bench.stream(app, '/orders')));
  await act();
  nodes[0]!.sse.broadcast('orders', 'end', null);
  return Promise.all(
    streams.map(async (stream) => {
      const events = await stream.until(({ event }) => event === 'end');
      return events.slice(0, -1).map(({ data }) => (data as { id: number }).id);
    }),
  );
}

describe('events of @nestjs/event-emitter', () => {
  it('fire on the node that emits them, so each is in the log once and reaches the browsers of all nodes', async () => {
    const memory = new MemoryBackplane();
    const nodes = await startNodes(() => memory);
    const ids = await idsAt(nodes, async () => {
      for (const id of [1, 2]) nodes[1]!.app.get(EventEmitter2).emit('order.created', { id });
    });
    expect(ids).toEqual([
      [1, 2],
      [1, 2],
    ]);
  });
});

const COUNT = 20;

/** Emits messages as another service does, and answers with how often each was published in the end. */
async function timesPublished(nodes: readonly RunningApp[], transport: ClientOptions): Promise<number[]> {
  const published = Array.from({ length: COUNT }, () => 0);
  const observing = nodes[0]!.sse.observe<{ id: number }>('orders').subscribe(({ data }) => published[data.id]!++);
  const client = ClientProxyFactory.create(transport);
  await client.connect();
  for (let id = 0; id < COUNT; id++) client.emit('order.created', { id });
  await until('all are published', () => published.every((times) => times > 0));
  // What comes twice comes at the same time.
  await delay(100);
  await client.close();
  observing.unsubscribe();
  return [...new Set(published)];
}

async function listen(app: INestApplication, transport: ClientOptions): Promise<void> {
  app.connectMicroservice(transport);
  await app.startAllMicroservices();
}

describe('messages of @nestjs/microservices', () => {
  (nats ? it : it.skip)('are published once where the nodes are a queue group of NATS', async () => {
    process.env['NATS_URL'] = nats!.url;
    const nodes = await startNodes(() => new NatsBackplane({ servers: nats!.url, prefix }));
    for (const { app } of nodes) await listenToOrders(app);
    const options = { servers: [nats!.url] };
    expect(await timesPublished(nodes, { transport: Transport.NATS, options })).toEqual([1]);
  });

  (nats ? it : it.skip)('are published by every node where they are none', async () => {
    const nodes = await startNodes(() => new NatsBackplane({ servers: nats!.url, prefix }));
    const transport = { transport: Transport.NATS as const, options: { servers: [nats!.url] } };
    for (const { app } of nodes) await listen(app, transport);
    expect(await timesPublished(nodes, transport)).toEqual([2]);
  });

  (redis ? it : it.skip)('are published by every node that listens to Redis, which knows no groups', async () => {
    const nodes = await startNodes(() => new RedisBackplane({ url: redis!.url, prefix }));
    const { hostname: host, port } = new URL(redis!.url);
    const transport = { transport: Transport.REDIS as const, options: { host, port: Number(port) } };
    for (const { app } of nodes) await listen(app, transport);
    expect(await timesPublished(nodes, transport)).toEqual([2]);
  });
});
