import { type DynamicModule, type MiddlewareConsumer, Module, type NestModule } from '@nestjs/common';
import { TerminusModule } from '@nestjs/terminus';
import { type Backplane, SSEModule } from 'nestjs-sse-hub';
import { SSEMetricsModule } from 'nestjs-sse-hub/opentelemetry';
import { SSEHealthIndicator } from 'nestjs-sse-hub/terminus';

import { AdminController } from './admin/admin.controller.js';
import { ConnectionsService } from './admin/connections.service.js';
import { HubReports } from './admin/hub-reports.js';
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
import { MAX_HISTORY_BYTES, MAX_HISTORY_SIZE } from './history-limits.js';
import { LoadController } from './load/load.controller.js';
import { LOAD_TOPIC, LoadService } from './load/load.service.js';
import { MetricsController } from './metrics/metrics.controller.js';
import { NotificationsController } from './notifications/notifications.controller.js';
import { NotificationsService } from './notifications/notifications.service.js';
import { ApiPageController } from './page/api-page.controller.js';
import { PageEventsController } from './page/page-events.controller.js';
import { PageController } from './page/page.controller.js';
import { SourceController } from './page/source.controller.js';
import { VendorController } from './page/vendor.controller.js';
import { BadNetwork } from './survival/bad-network.js';
import { FLOW_HISTORY, FLOW_TOPIC, FlowService } from './survival/flow.service.js';
import { PlainController } from './survival/plain.controller.js';
import { SurvivalController } from './survival/survival.controller.js';
import { SurvivalService } from './survival/survival.service.js';

@Module({
  imports: [SSEMetricsModule, TerminusModule],
  controllers: [
    PageController,
    VendorController,
    ApiPageController,
    SourceController,
    PageEventsController,
    NotificationsController,
    DashboardController,
    DocumentsController,
    ExecutionsController,
    ChatController,
    SurvivalController,
    PlainController,
    LoadController,
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
    FlowService,
    SurvivalService,
    BadNetwork,
    LoadService,
    ConnectionsService,
    HubReports,
    SSEHealthIndicator,
  ],
})
export class AppModule implements NestModule {
  constructor(private readonly network: BadNetwork) {}

  /** One node, or one of many: only the log is another. */
  static withLog(backplane: Backplane): DynamicModule {
    const hub = SSEModule.forRoot({
      backplane,
      heartbeatInterval: 15_000,
      // Streams say whose they are with `group: 'user:42'`: a sixth one of the same user ends the oldest for good.
      maxClientsPerGroup: 5,
      // Two thousand for a load, and those who watch it.
      maxClients: 5_000,
      maxHistorySize: MAX_HISTORY_SIZE,
      maxHistoryBytes: MAX_HISTORY_BYTES,
      history: [
        { topics: FLOW_TOPIC, maxSize: FLOW_HISTORY },
        // Nobody comes back for it.
        { topics: LOAD_TOPIC, maxSize: 0 },
      ],
      // What is running gets a second to finish, then it is told as failed: whoever presses Ctrl-C does not want to wait.
      drainTimeout: 1_000,
    });
    return { module: AppModule, imports: [hub] };
  }

  configure(consumer: MiddlewareConsumer): void {
    consumer.apply(this.network.carry).forRoutes('events', 'survive/plain');
  }
}
