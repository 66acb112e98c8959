import { Injectable } from '@nestjs/common';
import { SSEService } from 'nestjs-sse-hub';

import { PrismaClient } from './generated/prisma/client.js';

@Injectable()
export class OrdersService {
  constructor(
    private readonly prisma: PrismaClient,
    private readonly sse: SSEService,
  ) {}

  async create(total: number) {
    const order = await this.prisma.$transaction(async (tx) => {
      const created = await tx.order.create({ data: { total } });
      await tx.invoice.create({ data: { orderId: created.id, total } });
      return created;
    });
    this.sse.broadcast('orders', 'created', order);
    return order;
  }
}
