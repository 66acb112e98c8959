import { Controller, Delete, Get, HttpCode, NotFoundException, Param, UseGuards } from '@nestjs/common';

import { AdminGuard } from '../users/admin.guard.js';
import { DemoUserGuard } from '../users/demo-user.guard.js';
import { type ConnectionReport, ConnectionsService } from './connections.service.js';
import { type HubReport, HubReports } from './hub-reports.js';

@Controller('admin')
@UseGuards(DemoUserGuard, AdminGuard)
export class AdminController {
  constructor(
    private readonly connections: ConnectionsService,
    private readonly hub: HubReports,
  ) {}

  @Get('hub')
  reportHub(): HubReport {
    return this.hub.report();
  }

  @Get('connections')
  report(): ConnectionReport {
    return this.connections.report();
  }

  @Delete('connections/:id')
  @HttpCode(204)
  disconnect(@Param('id') id: string): void {
    if (!this.connections.disconnect(id)) throw new NotFoundException('There is no such connection.');
  }
}
