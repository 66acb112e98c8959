import { OnQueueEvent, QueueEventsHost, QueueEventsListener } from '@nestjs/bullmq';
import { SSEService } from 'nestjs-sse-hub';

/** In one process only: a provider of the module that has the queue there. */
@QueueEventsListener('reports')
export class ReportsListener extends QueueEventsHost {
  constructor(private readonly sse: SSEService) {
    super();
  }

  @OnQueueEvent('progress')
  progress({ jobId, data }: { jobId: string; data: unknown }) {
    this.sse.broadcast(`report:${jobId}`, 'progress', data); // what the worker gave to job.updateProgress()
  }

  @OnQueueEvent('completed')
  completed({ jobId }: { jobId: string }) {
    this.sse.broadcast(`report:${jobId}`, 'completed', {});
    this.sse.closeTopic(`report:${jobId}`);
  }

  @OnQueueEvent('failed')
  failed({ jobId }: { jobId: string }) {
    this.sse.broadcast(`report:${jobId}`, 'failed', { message: 'The report could not be made.' });
    this.sse.closeTopic(`report:${jobId}`);
  }
}
