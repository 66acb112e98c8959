import { Body, Controller, type MessageEvent, Post, Sse, UseGuards } from '@nestjs/common';
import { SSEService, topicPattern } from 'nestjs-sse-hub';
import type { Observable } from 'rxjs';

import { CONNECTIONS_TOPIC } from '../admin/connections.service.js';
import { NODE_NAME } from '../node-name.js';
import { CurrentUser } from '../users/current-user.decorator.js';
import { DemoUserGuard } from '../users/demo-user.guard.js';
import type { DemoUser } from '../users/demo-users.js';
import { requireInteger, requireText } from '../validate.js';
import { DashboardService, type Order, ORDERS_TOPIC } from './dashboard.service.js';

const MINUTE = 60_000;

@Controller('dashboard')
@UseGuards(DemoUserGuard)
export class DashboardController {
  constructor(
    private readonly dashboard: DashboardService,
    private readonly sse: SSEService,
  ) {}

  /** Several topics, one stream, one last event ID. */
  @Sse('events')
  events(@CurrentUser() user: DemoUser): Observable<MessageEvent> {
    const topics = [topicPattern('dashboard:*'), ORDERS_TOPIC];
    return this.sse.stream(user.admin ? [...topics, CONNECTIONS_TOPIC] : topics, {
      // A fresh page begins with what its curves would show by now.
      since: Date.now() - MINUTE,
      // Figures are those of the node that serves the stream; everything else is of all nodes.
      filter: ({ metadata }) => (metadata?.['node'] ?? NODE_NAME) === NODE_NAME,
      metadata: { user: user.name },
    });
  }

  @Post('orders')
  order(@CurrentUser() user: DemoUser, @Body('item') item: unknown, @Body('quantity') quantity: unknown): Order {
    return this.dashboard.order(requireText(item, 'item', 100), requireInteger(quantity, 'quantity', 1, 99), user);
  }
}
