import { Injectable } from '@nestjs/common';
import { SSEService } from 'nestjs-sse-hub';
import { DataSource } from 'typeorm';

import { Invoice } from './invoice.entity.js';
import { Order } from './order.entity.js';

@Injectable()
export class OrdersService {
  constructor(
    private readonly data: DataSource,
    private readonly sse: SSEService,
  ) {}

  async create(total: number): Promise<Order> {
    const order = await this.data.transaction(async (manager) => {
      const created = await manager.save(Order, { total });
      await manager.insert(Invoice, { orderId: created.id, total });
      return created;
    });
    this.sse.broadcast('orders', 'created', order);
    return order;
  }

  async list() {
    const cursor = this.sse.cursor();
    return { cursor, orders: await this.data.manager.find(Order) };
  }
}
