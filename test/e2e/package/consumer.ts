// Only its types are checked: as the source of an ES module and of a CommonJS one, against each supported Nest.
import type { ServerResponse } from 'node:http';

import { Controller, Get, Injectable, type MessageEvent, Module, Post, Res, Sse } from '@nestjs/common';
import { Redis } from 'ioredis';
import {
  LastEventId,
  type SSEConfig,
  type SSEConfigFactory,
  SSEError,
  type SSEEvent,
  SSEModule,
  SSEService,
  topicPattern,
} from 'nestjs-sse-hub';
import { NatsBackplane } from 'nestjs-sse-hub/nats';
import { RedisBackplane } from 'nestjs-sse-hub/redis';
import { backplaneContract, type ContractCheck } from 'nestjs-sse-hub/testing';
import type { Observable } from 'rxjs';

interface Events {
  prices: { price: { symbol: string; value: number }; closed: null };
  [news: `news:${string}`]: { message: string };
  '**': { maintenance: { minutes: number } };
}

@Controller()
export class PricesController {
  constructor(private readonly sse: SSEService<Events>) {}

  @Sse('prices')
  prices(): Observable<MessageEvent> {
    return this.sse.stream(['prices', topicPattern('news:*')], { since: new Date(0) });
  }

  @Get('direct')
  direct(@Res() response: ServerResponse, @LastEventId() lastEventId: string): string {
    return this.sse.createClient(response, { topics: 'prices', lastEventId });
  }

  @Get('web')
  web(): Response {
    const { client, response } = this.sse.addClient({ topics: 'prices' });
    this.sse.sendTo(client.id, 'closed', null);
    return response;
  }

  @Post()
  async publish(): Promise<string> {
    this.sse.broadcast('prices', 'price', { symbol: 'A', value: 1 });
    this.sse.broadcast({ topic: 'prices', event: 'closed', data: null }, { exceptGroup: 'user:1' });
    this.sse.broadcast({ topic: `news:${Date.now()}`, data: 'without a name' });
    // @ts-expect-error there is no such topic
    this.sse.broadcast('price', 'price', { symbol: 'A', value: 1 });
    // @ts-expect-error nor here
    this.sse.broadcast({ topic: 'news', data: 'without a name' });
    // @ts-expect-error no event has this name
    this.sse.broadcast('prices', 'prize', { symbol: 'A', value: 1 });
    // @ts-expect-error its value is a number
    this.sse.broadcast('prices', 'price', { symbol: 'A', value: '1' });
    this.sse.broadcastAll('maintenance', { minutes: 5 });
    // @ts-expect-error this event's data belong to another
    this.sse.broadcastAll('closed', { symbol: 'A', value: 1 });
    return await this.sse.publish('prices', 'closed', null);
  }
}

@Injectable()
export class Configuration implements SSEConfigFactory {
  createSSEConfig(): SSEConfig {
    return { maxClients: 5, onLimit: 'reject' };
  }
}

@Module({ imports: [SSEModule.forRoot({ heartbeatInterval: 0, isGlobal: false })], controllers: [PricesController] })
export class AppModule {}

@Module({
  imports: [
    SSEModule.forRootAsync({
      inject: [Configuration],
      useFactory: async (configuration: Configuration) => configuration.createSSEConfig(),
    }),
    SSEModule.forRootAsync({ useClass: Configuration }),
    // @ts-expect-error no option has this name
    SSEModule.forRoot({ heartbeat: 0 }),
  ],
})
export class AsyncModule {}

export const onRedis: SSEConfig[] = [
  { backplane: new RedisBackplane({ url: 'redis://localhost', prefix: 'shop' }) },
  { backplane: new RedisBackplane({ options: { host: 'localhost', tls: {} }, maxPending: 5 }) },
  { backplane: new RedisBackplane({ client: new Redis({ lazyConnect: true }) }) },
];

export const onNats: SSEConfig[] = [
  { backplane: new NatsBackplane({ servers: ['nats://localhost:4222'], prefix: 'shop' }) },
  { backplane: new NatsBackplane({ options: { user: 'u', pass: 'p' }, storage: 'memory', replicas: 3 }) },
];

export const checks: readonly ContractCheck[] = backplaneContract({ retains: false });

export const unconfigured: SSEService = new SSEService();
unconfigured.broadcast('anything', 'goes', { here: true });
unconfigured.observe<{ here: boolean }>('anything').subscribe(({ data }: SSEEvent<{ here: boolean }>) => data.here);

export function isFull(error: unknown): boolean {
  return error instanceof SSEError && error.code === 'TOO_MANY_CLIENTS';
}
