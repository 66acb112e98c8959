// Only its types are checked: each entry, from every kind of project.
import { SSEModule, SSEService } from 'nestjs-sse-hub';
import { EventSource } from 'nestjs-sse-hub/client';
import { NatsBackplane } from 'nestjs-sse-hub/nats';
import { observeHub, SSEMetricsModule } from 'nestjs-sse-hub/opentelemetry';
import { RedisBackplane } from 'nestjs-sse-hub/redis';
import { ApiEventStream } from 'nestjs-sse-hub/swagger';
import { SSEHealthIndicator } from 'nestjs-sse-hub/terminus';
import { backplaneContract, type ContractCheck } from 'nestjs-sse-hub/testing';

export const module = SSEModule.forRoot({ backplane: new RedisBackplane({ prefix: 'shop' }) });
export const service = new SSEService({ backplane: new NatsBackplane({ prefix: 'shop' }) });
export const stop: () => void = observeHub(service, { attributes: { 'sse.hub.name': 'shop' } });
export const parts: object[] = [SSEMetricsModule, SSEHealthIndicator];
export const described: MethodDecorator = ApiEventStream({
  events: { created: SSEService, removed: { type: 'object' } },
});
export const follow = (): EventSource => new EventSource('https://shop.example/orders/events', { share: true });
export const checks: readonly ContractCheck[] = backplaneContract();
// @ts-expect-error has a type, and it is not this one
export const never: string = service.getClients();
