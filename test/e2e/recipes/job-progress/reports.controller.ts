import { InjectQueue } from '@nestjs/bullmq';
import { Body, Controller, NotFoundException, Param, Post } from '@nestjs/common';
import { Queue } from 'bullmq';
import { EventStream } from 'nestjs-sse-hub';

/** Less than `maxHistoryAge`. */
const RETAINED = 15 * 60_000;

@Controller('reports')
export class ReportsController {
  constructor(@InjectQueue('reports') private readonly reports: Queue) {}

  @Post()
  async create(@Body('pages') pages: number) {
    const { id } = await this.reports.add('report', { pages }, { attempts: 2 });
    return { id };
  }

  @EventStream(':id/events', { since: 0 })
  async events(@Param('id') id: string) {
    const job = await this.reports.getJob(id);
    if (!job) throw new NotFoundException();
    const isForgotten = Date.now() - (job.finishedOn ?? Infinity) > RETAINED;
    return isForgotten ? undefined : `report:${id}`;
  }
}
