import { Controller } from '@nestjs/common';
import { EventPattern, Payload } from '@nestjs/microservices';
import { SSEService } from 'nestjs-sse-hub';

import type { Order } from './order.js';

@Controller()
export class OrderMessagesController {
  constructor(private readonly sse: SSEService) {}

  @EventPattern('order.created')
  created(@Payload() order: Order) {
    this.sse.broadcast('orders', 'created', order);
  }
}
