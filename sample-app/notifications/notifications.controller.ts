import { BadRequestException, Body, Controller, Get, HttpCode, Post, UseGuards } from '@nestjs/common';
import { getSchemaPath } from '@nestjs/swagger';
import { type ClientOptions, EventStream } from 'nestjs-sse-hub';
import { ApiEventStream } from 'nestjs-sse-hub/swagger';

import { CurrentUser } from '../users/current-user.decorator.js';
import { DemoUserGuard } from '../users/demo-user.guard.js';
import { type DemoUser, findDemoUser, userTopic } from '../users/demo-users.js';
import { requireText } from '../validate.js';
import { Inbox, Notification, NotificationsService } from './notifications.service.js';

const EVENTS = {
  inbox: Inbox,
  notification: { type: 'object', properties: { notification: { $ref: getSchemaPath(Notification) } } },
  read: { type: 'object', properties: { unread: { type: 'integer' } } },
};

@Controller('notifications')
@UseGuards(DemoUserGuard)
export class NotificationsController {
  constructor(private readonly notifications: NotificationsService) {}

  /** Whoever missed something gets the whole inbox again, so what is left of the history is of no use. */
  @EventStream('events', { onGap: 'latest' })
  @ApiEventStream({ events: EVENTS })
  events(@CurrentUser() user: DemoUser): ClientOptions {
    return {
      topics: userTopic(user),
      group: userTopic(user),
      initial: () => ({ event: 'inbox', data: this.notifications.inboxOf(user) }),
      metadata: { user: user.name },
    };
  }

  @Post()
  create(@CurrentUser() user: DemoUser, @Body('text') text: unknown, @Body('to') to?: unknown): Notification {
    return this.notifications.create(user, recipientOf(to) ?? user, requireText(text, 'text', 500));
  }

  @Get('unread')
  unread(@CurrentUser() user: DemoUser): { unread: number } {
    return { unread: this.notifications.inboxOf(user).unread };
  }

  @Post('read')
  @HttpCode(204)
  markAllRead(@CurrentUser() user: DemoUser): void {
    this.notifications.markAllRead(user);
  }
}

function recipientOf(to: unknown): DemoUser | undefined {
  if (to === undefined) return undefined;
  const user = typeof to === 'number' ? findDemoUser(String(to)) : undefined;
  if (!user) throw new BadRequestException('`to` has to be the number of a user, 42 or 7.');
  return user;
}
