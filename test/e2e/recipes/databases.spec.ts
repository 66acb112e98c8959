import { describe, expect, it } from '@jest/globals';
import { Body, Controller, Get, Module, Post, type Type } from '@nestjs/common';
import { TypeOrmModule } from '@nestjs/typeorm';
import { EventStream, type SSEService } from 'nestjs-sse-hub';
import { DataSource, type EntityManager } from 'typeorm';

import { returnToBaseline } from '../../support/baseline.js';
import { platforms, type RunningApp } from '../../support/platforms.js';
import { Invoice } from './databases/invoice.entity.js';
import { Order } from './databases/order.entity.js';
import { OrderSubscriber } from './databases/order.subscriber.js';
import { OrdersService } from './databases/orders.service.js';

/** docs/recipes/databases.md: what is rolled back is never told, and what is told can be read. */

const bench = returnToBaseline();

@Controller('orders')
class OrdersController {
  constructor(private readonly orders: OrdersService) {}

  @EventStream('events')
  events() {
    return 'orders';
  }

  @Get()
  list() {
    return this.orders.list();
  }

  @Post()
  create(@Body('total') total: number) {
    return this.orders.create(total);
  }
}

async function start(...providers: Type<unknown>[]): Promise<RunningApp & { data: DataSource }> {
  @Module({
    imports: [TypeOrmModule.forRoot({ type: 'sqljs', entities: [Order, Invoice], synchronize: true })],
    controllers: [OrdersController],
    providers: [OrdersService, ...providers],
  })
  class OrdersModule {}
  const running = await bench.start(platforms[0]!, { imports: [OrdersModule] });
  return { ...running, data: running.app.get(DataSource) };
}

function published(sse: SSEService): number[] {
  const totals: number[] = [];
  const observing = sse.observe<Order>('orders').subscribe(({ data }) => totals.push(data.total));
  bench.onEnd(() => observing.unsubscribe());
  return totals;
}

async function post({ url }: RunningApp, total: number): Promise<number> {
  const headers = { 'content-type': 'application/json' };
  return (await fetch(`${url}/orders`, { method: 'POST', body: JSON.stringify({ total }), headers })).status;
}

async function ordersOf({ url }: RunningApp): Promise<{ cursor: string; orders: Order[] }> {
  return (await fetch(`${url}/orders`)).json() as Promise<{ cursor: string; orders: Order[] }>;
}

describe('publishing behind transaction()', () => {
  it('tells nothing that is rolled back, and whoever hears of an order can read it', async () => {
    const running = await start();
    const stream = await bench.stream(running.app, '/orders/events');
    expect(await post(running, -1)).toBe(500);
    expect(await post(running, 20)).toBe(201);
    const { data } = await stream.next('created');
    expect(data).toMatchObject({ total: 20 });
    expect((await ordersOf(running)).orders).toEqual([data]);
  });

  it('a list with the cursor from before it is followed without a hole', async () => {
    const running = await start();
    await post(running, 1);
    const { cursor, orders } = await ordersOf(running);
    expect(orders).toHaveLength(1);
    await post(running, 2);
    const stream = await bench.stream(running.app, `/orders/events?lastEventId=${cursor}`);
    expect((await stream.next()).data).toMatchObject({ total: 2 });
  });
});

describe('a subscriber', () => {
  const save = (manager: EntityManager, total: number) => manager.save(Order, { total });

  it('tells what was inserted when the transaction is committed, in its order', async () => {
    const { sse, data } = await start(OrderSubscriber);
    const totals = published(sse);
    await data.transaction(async (manager) => {
      await save(manager, 1);
      await save(manager, 2);
      expect(totals).toEqual([]);
    });
    expect(totals).toEqual([1, 2]);
    await save(data.manager, 3);
    await data.manager.insert(Order, { total: 4 });
    expect(totals).toEqual([1, 2, 3, 4]);
  });

  it('tells nothing that is rolled back, with the whole or in a part of its own', async () => {
    const { sse, data } = await start(OrderSubscriber);
    const totals = published(sse);
    const fail = async (manager: EntityManager, total: number) => {
      await save(manager, total);
      throw new Error('rolled back');
    };
    await expect(data.transaction((manager) => fail(manager, 1))).rejects.toThrow('rolled back');
    await data.transaction(async (manager) => {
      await save(manager, 2);
      await expect(manager.transaction((inner) => fail(inner, 3))).rejects.toThrow('rolled back');
      await manager.transaction((inner) => save(inner, 4));
      expect(totals).toEqual([]);
    });
    expect(totals).toEqual([2, 4]);
    expect((await data.manager.find(Order)).map(({ total }) => total)).toEqual([2, 4]);
  });
});
