import { BullModule } from '@nestjs/bullmq';
import { Module } from '@nestjs/common';
import { SSEModule } from 'nestjs-sse-hub';
import { RedisBackplane } from 'nestjs-sse-hub/redis';

import { Printer } from './printer.js';
import { ReportsProcessor } from './reports.processor.js';

const url = process.env['REDIS_URL'] ?? 'redis://localhost';

@Module({
  imports: [
    SSEModule.forRoot({ backplane: new RedisBackplane({ url, prefix: 'shop' }) }),
    BullModule.forRoot({ connection: { url } }),
    BullModule.registerQueue({ name: 'reports' }),
  ],
  providers: [ReportsProcessor, Printer],
})
export class WorkerModule {}
