import { QueueEventsHost, QueueEventsListener } from '@nestjs/bullmq';
import type { Job } from 'bullmq';
import { filter, from, fromEvent, map, merge, type Observable, takeWhile } from 'rxjs';

@QueueEventsListener('reports')
export class ReportsListener extends QueueEventsHost {
  /** What a worker gives to job.updateProgress(), and then what the job has come to. */
  follow(job: Job) {
    const progress = fromEvent(this.queueEvents, 'progress') as Observable<[{ jobId: string; data: unknown }]>;
    return merge(
      progress.pipe(
        filter(([{ jobId }]) => jobId === job.id),
        map(([{ data }]) => ({ event: 'progress', data })),
      ),
      from(job.waitUntilFinished(this.queueEvents)).pipe(map((data: unknown) => ({ event: 'completed', data }))),
    ).pipe(takeWhile(({ event }) => event !== 'completed', true));
  }
}
