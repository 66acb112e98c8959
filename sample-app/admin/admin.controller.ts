import { Controller, Delete, Get, HttpCode, NotFoundException, Param, UseGuards } from '@nestjs/common';

import { AdminGuard } from '../users/admin.guard.js';
import { DemoUserGuard } from '../users/demo-user.guard.js';
import { type ConnectionReport, ConnectionsService } from './connections.service.js';

@Controller('admin/connections')
@UseGuards(DemoUserGuard, AdminGuard)
export class AdminController {
  constructor(private readonly connections: ConnectionsService) {}

  @Get()
  report(): ConnectionReport {
    return this.connections.report();
  }

  @Delete(':id')
  @HttpCode(204)
  disconnect(@Param('id') id: string): void {
    if (!this.connections.disconnect(id)) throw new NotFoundException('There is no such connection.');
  }
}
