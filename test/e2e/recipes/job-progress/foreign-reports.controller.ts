import { InjectQueue } from '@nestjs/bullmq';
import { Controller, NotFoundException, Param } from '@nestjs/common';
import { Queue } from 'bullmq';
import { EventStream, SSEService } from 'nestjs-sse-hub';

import { ReportsListener } from './reports.listener.js';

@Controller('reports')
export class ForeignReportsController {
  constructor(
    @InjectQueue('reports') private readonly reports: Queue,
    private readonly listener: ReportsListener,
    private readonly sse: SSEService,
  ) {}

  @EventStream(':id/events')
  async events(@Param('id') id: string) {
    const job = await this.reports.getJob(id);
    if (!job) throw new NotFoundException();
    if (job.finishedOn !== undefined) return this.sse.getRun(`report:${id}`); // as long as the log knows of it
    return this.sse.run(`report:${id}`, () => this.listener.follow(job));
  }
}
