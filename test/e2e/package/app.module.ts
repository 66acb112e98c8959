import { Controller, Get, type MessageEvent, Module, Sse } from '@nestjs/common';
import { SSEModule, SSEService } from 'nestjs-sse-hub';
import type { Observable } from 'rxjs';

@Controller()
export class EventsController {
  constructor(private readonly sse: SSEService) {}

  @Sse('events')
  events(): Observable<MessageEvent> {
    return this.sse.stream('news', { since: 0 });
  }

  @Get('publish')
  publish(): string {
    this.sse.broadcast('news', 'numbered', { i: 0 });
    return 'done';
  }

  @Get('close')
  close(): string {
    this.sse.closeTopic('news');
    return 'done';
  }
}

@Module({ imports: [SSEModule.forRoot()], controllers: [EventsController] })
export class AppModule {}
