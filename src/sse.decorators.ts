import type { IncomingMessage } from 'node:http';

import { createParamDecorator, type ExecutionContext } from '@nestjs/common';

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
export const LastEventId = createParamDecorator((_data: undefined, context: ExecutionContext): string => {
  const { headers, url } = context.switchToHttp().getRequest<IncomingMessage>();
  return lastEventIdOf(headers['last-event-id'], url);
});
