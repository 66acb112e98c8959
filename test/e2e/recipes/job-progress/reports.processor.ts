import { OnWorkerEvent, Processor, WorkerHost } from '@nestjs/bullmq';
import type { OnModuleDestroy } from '@nestjs/common';
import type { Job } from 'bullmq';
import { SSEService } from 'nestjs-sse-hub';

import { Printer } from './printer.js';

@Processor('reports')
export class ReportsProcessor extends WorkerHost implements OnModuleDestroy {
  constructor(
    private readonly sse: SSEService,
    private readonly printer: Printer,
  ) {
    super();
  }

  async process({ id, data: { pages } }: Job<{ pages: number }>) {
    this.sse.openTopic(`report:${id}`); // it is closed where a report is made again that had ended
    for (let page = 1; page <= pages; page++) {
      await this.printer.print(page);
      this.sse.broadcast(`report:${id}`, 'progress', { page, of: pages });
    }
    return { pages };
  }

  @OnWorkerEvent('completed')
  completed({ id, returnvalue }: Job) {
    this.sse.broadcast(`report:${id}`, 'completed', returnvalue);
    this.sse.closeTopic(`report:${id}`);
  }

  @OnWorkerEvent('failed')
  failed(job: Job | undefined) {
    if (job?.finishedOn === undefined) return; // it will be tried again
    this.sse.broadcast(`report:${job.id}`, 'failed', { message: 'The report could not be made.' });
    this.sse.closeTopic(`report:${job.id}`);
  }

  // Before the hub stops: what jobs still publish while they finish has somewhere to go.
  async onModuleDestroy() {
    await this.worker.close();
  }
}
