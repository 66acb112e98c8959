import { Body, Controller, type MessageEvent, Post, Sse, UseGuards } from '@nestjs/common';
import { SSEService } from 'nestjs-sse-hub';
import { ApiEventStream } from 'nestjs-sse-hub/swagger';
import type { Observable } from 'rxjs';

import { CurrentUser } from '../users/current-user.decorator.js';
import { DemoUserGuard } from '../users/demo-user.guard.js';
import { type DemoUser, userTopic } from '../users/demo-users.js';
import { requireInteger, requireText } from '../validate.js';
import { DashboardService, dashboardTopics, isOfThisNode, type Order } from './dashboard.service.js';

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
  @ApiEventStream()
  events(@CurrentUser() user: DemoUser): Observable<MessageEvent> {
    return this.sse.stream(dashboardTopics(user), {
      // Whoever is new begins with the last minute.
      since: Date.now() - MINUTE,
      filter: isOfThisNode,
      group: userTopic(user),
      metadata: { user: user.name },
    });
  }

  @Post('orders')
  order(@CurrentUser() user: DemoUser, @Body('item') item: unknown, @Body('quantity') quantity: unknown): Order {
    return this.dashboard.order(requireText(item, 'item', 100), requireInteger(quantity, 'quantity', 1, 99), user);
  }
}
