import { BullModule } from '@nestjs/bullmq';
import { Module } from '@nestjs/common';

import { Printer } from './printer.js';
import { ReportsController } from './reports.controller.js';
import { ReportsProcessor } from './reports.processor.js';

@Module({
  imports: [BullModule.registerQueue({ name: 'reports' })],
  controllers: [ReportsController],
  providers: [ReportsProcessor, Printer],
})
export class ReportsModule {}
