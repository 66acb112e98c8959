import { Module } from '@nestjs/common';
import { SSEModule } from 'nestjs-sse-hub';

import { BoardController } from './board.controller.js';
import { BoardGateway } from './board.gateway.js';

@Module({
  imports: [SSEModule.forRoot()],
  controllers: [BoardController],
  providers: [BoardGateway],
})
export class AppModule {}
