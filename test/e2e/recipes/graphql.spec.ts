import type { Server } from 'node:http';

import { describe, expect, it } from '@jest/globals';
import { Controller, Module } from '@nestjs/common';
import { AbstractGraphQLDriver, type GqlModuleOptions, GqlSubscriptionService, GraphQLModule } from '@nestjs/graphql';
import type { GraphQLSchema } from 'graphql';
import { type Client, createClient } from 'graphql-ws';
import { EventStream, MemoryBackplane } from 'nestjs-sse-hub';
import { Subject } from 'rxjs';
import { WebSocket } from 'undici';

import { returnToBaseline, until } from '../../support/baseline.js';
import { platforms, type RunningApp } from '../../support/platforms.js';
import { iterate } from './graphql/iterate.js';
import { OrdersRepository } from './graphql/orders.repository.js';
import { OrdersResolver } from './graphql/orders.resolver.js';

/** docs/recipes/graphql.md: subscriptions and event streams out of one log. */

const bench = returnToBaseline();

/** What the drivers of Nest do for subscriptions, and nothing else. */
class SubscriptionDriver extends AbstractGraphQLDriver {
  #subscriptions: GqlSubscriptionService | undefined;

  start(options: GqlModuleOptions): Promise<void> {
    const schema = options.schema as GraphQLSchema;
    const server = this.httpAdapterHost.httpAdapter.getHttpServer() as Server;
    this.#subscriptions = new GqlSubscriptionService({ schema, path: '/graphql', 'graphql-ws': true }, server);
    return Promise.resolve();
  }

  async stop(): Promise<void> {
    await this.#subscriptions?.stop();
  }
}

@Controller('orders')
class OrdersController {
  @EventStream()
  orders() {
    return 'orders';
  }
}

@Module({
  imports: [GraphQLModule.forRoot({ driver: SubscriptionDriver, autoSchemaFile: true })],
  controllers: [OrdersController],
  providers: [OrdersResolver, OrdersRepository],
})
class OrdersModule {}

function start(backplane = new MemoryBackplane()): Promise<RunningApp> {
  return bench.start(platforms[0]!, { config: { backplane }, imports: [OrdersModule] });
}

function connect(url: () => string): Client {
  const client = createClient({
    url: () => `${url().replace('http:', 'ws:')}/graphql`,
    webSocketImpl: WebSocket,
    retryWait: () => Promise.resolve(),
    shouldRetry: () => true,
    retryAttempts: 1_000,
  });
  bench.onEnd(() => void client.dispose());
  return client;
}

/** The totals of orders that a subscription gets. */
async function subscribe(client: Client, { sse }: RunningApp): Promise<number[]> {
  const totals: number[] = [];
  const before = sse.stats().topics;
  client.subscribe<{ orderCreated: { total: number } }>(
    { query: 'subscription { orderCreated { total } }' },
    {
      next: ({ data }) => totals.push(data!.orderCreated.total),
      error: () => {},
      complete: () => {},
    },
  );
  await until('it observes', () => sse.stats().topics > before);
  return totals;
}

describe('a GraphQL subscription', () => {
  it('gets what is published on any node, as event streams do', async () => {
    const backplane = new MemoryBackplane();
    const [here, there] = [await start(backplane), await start(backplane)];
    const totals = await subscribe(
      connect(() => here.url),
      here,
    );
    const stream = await bench.stream(here.app, '/orders');
    for (const total of [1, 2]) await there.app.get(OrdersResolver, { strict: false }).createOrder(total);
    here.sse.broadcast('orders', 'other', {});
    await here.app.get(OrdersResolver, { strict: false }).createOrder(3);
    await until('all are there', () => totals.length === 3);
    expect(totals).toEqual([1, 2, 3]);
    const events = await stream.until(({ data }) => (data as { total?: number }).total === 3);
    expect(events.map(({ data }) => (data as { total?: number }).total)).toEqual([1, 2, undefined, 3]);
  });

  it('goes on at another node when its own closes', async () => {
    const backplane = new MemoryBackplane();
    const [here, there] = [await start(backplane), await start(backplane)];
    let node = here;
    const totals = await subscribe(
      connect(() => node.url),
      here,
    );
    node = there;
    // Some drivers stop behind the hub.
    await here.sse.shutdown();
    await here.close();
    await until('it is there', () => there.sse.stats().topics === 1);
    there.sse.broadcast('orders', 'created', { id: 1, total: 1 });
    await until('it goes on', () => totals.length === 1);
  });

  it('observes no longer when its client has left, although nothing was published', async () => {
    const running = await start();
    const client = connect(() => running.url);
    await subscribe(client, running);
    await client.dispose();
    await until('nobody observes', () => running.sse.stats().topics === 0);
  });
});

describe('iterate()', () => {
  it('lets go of its source with an error for a reader that is too far behind', async () => {
    const source = new Subject<number>();
    const numbers = iterate(source, 2);
    for (const n of [1, 2]) source.next(n);
    expect(await numbers.next()).toEqual({ value: 1 });
    for (const n of [3, 4]) source.next(n);
    expect(source.observed).toBe(false);
    expect([await numbers.next(), await numbers.next()]).toEqual([{ value: 2 }, { value: 3 }]);
    await expect(numbers.next()).rejects.toThrow('More than 2 events wait for a reader.');
  });

  it('ends a wait when its reader leaves', async () => {
    const source = new Subject<number>();
    const numbers = iterate(source);
    const next = numbers.next();
    await numbers.return!();
    expect(await next).toEqual({ done: true, value: undefined });
    expect(source.observed).toBe(false);
  });
});
