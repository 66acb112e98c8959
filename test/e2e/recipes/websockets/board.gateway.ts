import { ParseIntPipe } from '@nestjs/common';
import { MessageBody, SubscribeMessage, WebSocketGateway } from '@nestjs/websockets';
import { SSEService } from 'nestjs-sse-hub';

@WebSocketGateway({ path: '/board' })
export class BoardGateway {
  constructor(private readonly sse: SSEService) {}

  @SubscribeMessage('draw')
  draw(@MessageBody('board', ParseIntPipe) board: number, @MessageBody('points') points: number[]) {
    this.sse.broadcast(`board:${board}`, 'drawn', points);
  }
}
