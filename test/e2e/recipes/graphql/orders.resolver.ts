import { Args, Int, Mutation, Query, Resolver, Subscription } from '@nestjs/graphql';
import { type SSEEvent, SSEService } from 'nestjs-sse-hub';
import { filter } from 'rxjs';

import { iterate } from './iterate.js';
import { Order } from './order.model.js';
import { OrdersRepository } from './orders.repository.js';

@Resolver(() => Order)
export class OrdersResolver {
  constructor(
    private readonly orders: OrdersRepository,
    private readonly sse: SSEService,
  ) {}

  @Query(() => [Order], { name: 'orders' })
  list() {
    return this.orders.list();
  }

  @Mutation(() => Order)
  async createOrder(@Args('total', { type: () => Int }) total: number) {
    const order = await this.orders.create(total);
    this.sse.broadcast('orders', 'created', order);
    return order;
  }

  @Subscription(() => Order, { resolve: ({ data }: SSEEvent) => data })
  orderCreated() {
    return iterate(this.sse.observe<Order>('orders').pipe(filter(({ event }) => event === 'created')));
  }
}
