// Only its types are checked: each entry, from every kind of project.
import { SSEModule, SSEService } from 'nestjs-sse-hub';
import { NatsBackplane } from 'nestjs-sse-hub/nats';
import { RedisBackplane } from 'nestjs-sse-hub/redis';
import { ApiEventStream } from 'nestjs-sse-hub/swagger';
import { backplaneContract, type ContractCheck } from 'nestjs-sse-hub/testing';

export const module = SSEModule.forRoot({ backplane: new RedisBackplane({ prefix: 'shop' }) });
export const service = new SSEService({ backplane: new NatsBackplane({ prefix: 'shop' }) });
export const described: MethodDecorator = ApiEventStream({
  events: { created: SSEService, removed: { type: 'object' } },
});
export const checks: readonly ContractCheck[] = backplaneContract();
// @ts-expect-error has a type, and it is not this one
export const never: string = service.getClients();
