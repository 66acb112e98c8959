import type { IncomingMessage } from 'node:http';

import { createParamDecorator, type ExecutionContext, type PipeTransform, type Type } from '@nestjs/common';

import { NEW_CURSOR } from './protocol/cursor.js';
import { lastEventIdOf } from './protocol/headers.js';

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
