import { Controller, Param, ParseIntPipe } from '@nestjs/common';
import { EventStream } from 'nestjs-sse-hub';

@Controller('boards')
export class BoardController {
  @EventStream(':id/events')
  events(@Param('id', ParseIntPipe) id: number) {
    return `board:${id}`;
  }
}
