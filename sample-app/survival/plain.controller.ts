import { Controller, type MessageEvent, Sse, UseGuards } from '@nestjs/common';
import { map, merge, type Observable, of, takeUntil } from 'rxjs';

import { DemoUserGuard } from '../users/demo-user.guard.js';
import { FlowService } from './flow.service.js';

/** For comparison: what Nest has without the hub. Whoever was away has missed what happened, and is not told. */
@Controller('survive')
@UseGuards(DemoUserGuard)
export class PlainController {
  constructor(private readonly flow: FlowService) {}

  @Sse('plain')
  plain(): Observable<MessageEvent> {
    const start = of({ type: 'start', data: this.flow.newest() });
    const ticks = this.flow.ticks.pipe(map((data) => ({ type: 'tick', data })));
    return merge(start, ticks).pipe(takeUntil(this.flow.drained));
  }
}
