import { Controller, Get } from '@nestjs/common';
import { HealthCheck, type HealthCheckResult, HealthCheckService } from '@nestjs/terminus';
import { SSEHealthIndicator } from 'nestjs-sse-hub/terminus';

/** For whoever runs the nodes and sends them requests. */
@Controller('health')
export class HealthController {
  constructor(
    private readonly health: HealthCheckService,
    private readonly sse: SSEHealthIndicator,
  ) {}

  @Get('ready')
  @HealthCheck()
  ready(): Promise<HealthCheckResult> {
    return this.health.check([() => this.sse.isReady()]);
  }

  @Get('alive')
  @HealthCheck()
  alive(): Promise<HealthCheckResult> {
    return this.health.check([() => this.sse.isAlive()]);
  }
}
