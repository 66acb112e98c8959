// A unit test as Nest's templates have it, for their Jest and their Vitest: TypeScript that needs no types.
import { TerminusModule } from '@nestjs/terminus';
import { Test } from '@nestjs/testing';
import { SSEModule, SSEService } from 'nestjs-sse-hub';
import { NatsBackplane } from 'nestjs-sse-hub/nats';
import { SSEMetricsModule } from 'nestjs-sse-hub/opentelemetry';
import { RedisBackplane } from 'nestjs-sse-hub/redis';
import { SSEHealthIndicator } from 'nestjs-sse-hub/terminus';
import { backplaneContract } from 'nestjs-sse-hub/testing';

import { EventsController } from './app.module';

describe('EventsController', () => {
  it('publishes', async () => {
    const module = await Test.createTestingModule({
      imports: [SSEModule.forRoot()],
      controllers: [EventsController],
    }).compile();
    const received = [];
    module
      .get(SSEService)
      .observe('news')
      .subscribe(({ data }) => received.push(data));
    module.get(EventsController).publish();
    expect(received).toEqual([{ i: 0 }]);
    await module.close();
  });

  it('reports its health, with the service of the module', async () => {
    const module = await Test.createTestingModule({
      imports: [SSEModule.forRoot(), SSEMetricsModule, TerminusModule],
      providers: [SSEHealthIndicator],
    }).compile();
    await module.init();
    expect(module.get(SSEHealthIndicator).isReady().sse.status).toBe('up');
    expect(module.get(SSEHealthIndicator).isAlive('hub').hub.state).toBe('running');
    await module.close();
  });

  it('finds the other entries', () => {
    expect([new RedisBackplane().kind, new NatsBackplane().kind]).toEqual(['redis', 'nats']);
    expect(backplaneContract().length).toBeGreaterThan(10);
  });
});
