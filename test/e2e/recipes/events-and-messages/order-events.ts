import { Injectable } from '@nestjs/common';
import { OnEvent } from '@nestjs/event-emitter';
import { SSEService } from 'nestjs-sse-hub';

import type { Order } from './order.js';

@Injectable()
export class OrderEvents {
  constructor(private readonly sse: SSEService) {}

  @OnEvent('order.created')
  created(order: Order) {
    this.sse.broadcast('orders', 'created', order);
  }
}
