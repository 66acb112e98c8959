import { Controller, Query, UseGuards } from '@nestjs/common';
import { type ClientOptions, EventStream } from 'nestjs-sse-hub';

import { DashboardService, dashboardTopics, isOfThisNode } from '../dashboard/dashboard.service.js';
import { DocumentViewers, viewerId } from '../documents/document-viewers.js';
import { DocumentsService, documentTopic } from '../documents/documents.service.js';
import { EXECUTIONS_TOPIC } from '../executions/executions.service.js';
import { NotificationsService } from '../notifications/notifications.service.js';
import { FLOW_TOPIC, FlowService } from '../survival/flow.service.js';
import { CurrentUser } from '../users/current-user.decorator.js';
import { DemoUserGuard } from '../users/demo-user.guard.js';
import { type DemoUser, userTopic } from '../users/demo-users.js';
import { isName, requireText } from '../validate.js';

@Controller('events')
@UseGuards(DemoUserGuard)
export class PageEventsController {
  constructor(
    private readonly notifications: NotificationsService,
    private readonly dashboard: DashboardService,
    private readonly documents: DocumentsService,
    private readonly viewers: DocumentViewers,
    private readonly flow: FlowService,
  ) {}

  /**
   * All that the page shows, in one stream: a browser has six HTTP/1.1 connections to a server, for all its windows
   * together, and a stream for each section would leave none for requests when a second window is open. Only executions
   * and answers have one of their own, because these end. Whoever missed something gets all of it again, so what is left
   * of the history is of no use.
   */
  @EventStream('', { filter: isOfThisNode, onGap: 'latest' })
  events(
    @CurrentUser() user: DemoUser,
    @Query('document') document: unknown,
    @Query('tab') tab?: unknown,
    @Query('shared') shared?: unknown,
  ): ClientOptions {
    const id = requireText(document, 'document', 100);
    this.documents.read(id, user);
    return {
      topics: [userTopic(user), ...dashboardTopics(user), documentTopic(id), EXECUTIONS_TOPIC, FLOW_TOPIC],
      // A tab that shares the stream of others has one of its own until it is where they are: these are two clients.
      ...(shared === undefined && viewerId(id, user, tab)),
      group: userTopic(user),
      initial: async () => {
        // Before anything is awaited: what comes from here on is sent behind it, and would be counted twice.
        const state = [
          { event: 'inbox', data: this.notifications.inboxOf(user) },
          { event: 'orders', data: this.dashboard.recentOrders() },
          { event: 'flow', data: this.flow.newest() },
        ];
        const viewers = await this.viewers.of(id);
        return [...state, { event: 'document', data: { ...this.documents.read(id, user), viewers } }];
      },
      metadata: { user: user.name, documentId: id, ...(isName(tab) && { tab }) },
    };
  }
}
