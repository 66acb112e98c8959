import { Inject, Injectable } from '@nestjs/common';
import { type HealthIndicatorResult, HealthIndicatorService } from '@nestjs/terminus';

import type { SSEStats } from '../index.js';
import { invalid } from '../sse.error.js';
import { SSEService } from '../sse.service.js';

/** When a node counts as ready. */
export interface ReadinessOptions {
  /**
   * Milliseconds that this node may be behind the end of the log.
   *
   * @defaultValue `5_000`
   */
  maxLag?: number | undefined;
  /**
   * Whether a node is only ready while its log can be reached. `false` where a proxy answers 502 when no node is ready: a
   * broker is away for all nodes at a time, and an EventSource that is answered 502 never comes back.
   *
   * @defaultValue `true`
   */
  needsLog?: boolean | undefined;
}

/**
 * Health checks of the hub for `@nestjs/terminus`: a provider of the module that has the health controller.
 *
 * @example
 * @Controller('health')
 * export class HealthController {
 *   constructor(
 *     private readonly health: HealthCheckService,
 *     private readonly sse: SSEHealthIndicator,
 *   ) {}
 *
 *   @Get('ready')
 *   @HealthCheck()
 *   ready() {
 *     return this.health.check([() => this.sse.isReady('sse', { maxLag: 10_000 })]);
 *   }
 * }
 */
@Injectable()
export class SSEHealthIndicator {
  constructor(
    @Inject(HealthIndicatorService) private readonly health: Pick<HealthIndicatorService, 'check'>,
    @Inject(SSEService) private readonly sse: { stats(): SSEStats },
  ) {}

  /**
   * Up while new streams are welcome: the hub is not shutting down, its log can be reached, and is read in time. When it is
   * down, `message` says why, and `state`, `backplane` have the figures. For readiness probes.
   *
   * @throws `INVALID_CONFIG` for a `maxLag` that is not a number of milliseconds.
   */
  isReady(key = 'sse', { maxLag = 5_000, needsLog = true }: ReadinessOptions = {}): HealthIndicatorResult {
    if (!(maxLag >= 0)) throw invalid('maxLag', maxLag, 'a number of milliseconds, at least 0');
    const { state, backplane } = this.sse.stats();
    const { kind, status, lag = 0 } = backplane;
    const check = this.health.check(key);
    const down = (message: string) => check.down({ message, state, backplane });
    if (state === 'shutting down') return down('The hub is shutting down.');
    if (status === 'up' && lag > maxLag) {
      return down(`This node is ${lag} ms behind the end of the log, and maxLag is ${maxLag} ms.`);
    }
    if (status === 'down' && needsLog && state === 'running') return down(`The log (${kind}) cannot be reached.`);
    return check.up({ state, backplane });
  }

  /**
   * Up whenever it answers, because nothing else is a reason to end a process with open streams: not a broker that is away,
   * for which all nodes would be restarted, nor a shutdown. For liveness probes.
   */
  isAlive(key = 'sse'): HealthIndicatorResult {
    return this.health.check(key).up({ state: this.sse.stats().state });
  }
}
