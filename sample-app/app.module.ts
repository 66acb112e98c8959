import { type DynamicModule, Module } from '@nestjs/common';
import { TerminusModule } from '@nestjs/terminus';
import { type Backplane, SSEModule } from 'nestjs-sse-hub';
import { SSEMetricsModule } from 'nestjs-sse-hub/opentelemetry';
import { SSEHealthIndicator } from 'nestjs-sse-hub/terminus';

import { AdminController } from './admin/admin.controller.js';
import { ConnectionsService } from './admin/connections.service.js';
import { ChatController } from './chat/chat.controller.js';
import { ChatService } from './chat/chat.service.js';
import { DashboardController } from './dashboard/dashboard.controller.js';
import { DashboardService } from './dashboard/dashboard.service.js';
import { DocumentViewers } from './documents/document-viewers.js';
import { DocumentsController } from './documents/documents.controller.js';
import { DocumentsService } from './documents/documents.service.js';
import { ExecutionsController } from './executions/executions.controller.js';
import { ExecutionsService } from './executions/executions.service.js';
import { HealthController } from './health/health.controller.js';
import { MetricsController } from './metrics/metrics.controller.js';
import { NotificationsController } from './notifications/notifications.controller.js';
import { NotificationsService } from './notifications/notifications.service.js';
import { PageEventsController } from './page/page-events.controller.js';
import { PageController } from './page/page.controller.js';

@Module({
  imports: [SSEMetricsModule, TerminusModule],
  controllers: [
    PageController,
    PageEventsController,
    NotificationsController,
    DashboardController,
    DocumentsController,
    ExecutionsController,
    ChatController,
    AdminController,
    HealthController,
    MetricsController,
  ],
  providers: [
    NotificationsService,
    DashboardService,
    DocumentsService,
    DocumentViewers,
    ExecutionsService,
    ChatService,
    ConnectionsService,
    SSEHealthIndicator,
  ],
})
export class AppModule {
  /** One node, or one of many: only the log is another. */
  static withLog(backplane: Backplane): DynamicModule {
    const hub = SSEModule.forRoot({
      backplane,
      heartbeatInterval: 15_000,
      // Streams say whose they are with `group: 'user:42'`: a sixth one of the same user ends the oldest for good.
      maxClientsPerGroup: 5,
      // What is running gets a second to finish, then it is told as failed: whoever presses Ctrl-C does not want to wait.
      drainTimeout: 1_000,
    });
    return { module: AppModule, imports: [hub] };
  }
}
