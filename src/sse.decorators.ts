import type { IncomingMessage } from 'node:http';

import {
  createParamDecorator,
  type ExecutionContext,
  Inject,
  type InjectionToken,
  type PipeTransform,
  type Type,
} from '@nestjs/common';

import { NEW_CURSOR } from './protocol/cursor.js';
import { lastEventIdOf } from './protocol/headers.js';
import { SSEService } from './sse.service.js';

/**
 * The last event ID of the request (the `Last-Event-ID` header, then `?lastEventId=`), or `''`. The hub reads it by
 * itself; this is for handlers that want to see it.
 *
 * @example
 * @Sse('prices')
 * prices(@LastEventId() lastEventId: string) {
 *   if (lastEventId === '') this.visits.count();
 *   return this.sse.stream('prices');
 * }
 */
// Its type is spelled out, because the one that Nest 12 infers names a type that Nest 11 does not have.
export const LastEventId: (...pipes: (PipeTransform | Type<PipeTransform>)[]) => ParameterDecorator =
  createParamDecorator((_data: undefined, context: ExecutionContext): string => {
    const { headers, url } = context.switchToHttp().getRequest<IncomingMessage>();
    const given = lastEventIdOf(headers['last-event-id'], url);
    return given === NEW_CURSOR ? '' : given;
  });

/**
 * What the hub of this name is provided as, for `useFactory` and `app.get()`. `SSEService` itself for the one without.
 *
 * @example
 * const admin = app.get<SSEService>(getSSEToken('admin'));
 */
export function getSSEToken(name?: string): InjectionToken<SSEService> {
  return name === undefined ? SSEService : `SSEService:${name}`;
}

/**
 * Injects the hub of this name: that of `SSEModule.forRoot({ name })`.
 *
 * @example
 * @Injectable()
 * export class Jobs {
 *   constructor(@InjectSSE('admin') private readonly admin: SSEService) {}
 * }
 */
export function InjectSSE(name?: string): PropertyDecorator & ParameterDecorator {
  return Inject(getSSEToken(name));
}
