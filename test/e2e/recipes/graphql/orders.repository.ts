import { Injectable } from '@nestjs/common';

import type { Order } from './order.model.js';

/** Stands for a database. */
@Injectable()
export class OrdersRepository {
  readonly #orders: Order[] = [];

  list(): readonly Order[] {
    return this.#orders;
  }

  create(total: number): Promise<Order> {
    const order = { id: this.#orders.length + 1, total };
    this.#orders.push(order);
    return Promise.resolve(order);
  }
}
