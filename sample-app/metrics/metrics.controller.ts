import { Controller, Get, Header } from '@nestjs/common';

import { collect } from './prometheus.js';

/** For Prometheus, which has no user: keep such a route from the outside. */
@Controller('metrics')
export class MetricsController {
  @Get()
  @Header('content-type', 'text/plain; version=0.0.4; charset=utf-8')
  metrics(): Promise<string> {
    return collect();
  }
}
