import { AsyncLocalStorage } from 'node:async_hooks';
import type { IncomingMessage } from 'node:http';

import { type CallHandler, type ExecutionContext, Injectable, type NestInterceptor } from '@nestjs/common';
import { catchError, Observable, throwError } from 'rxjs';

/** Nest marks the handlers of `@Sse()` with this. */
const SSE_METADATA = '__sse__';

/** The request that is being handled. */
export interface CurrentRequest {
  readonly request: IncomingMessage;
  readonly response: unknown;
  /** The handler is one of `@Sse()`, so Nest writes the response. */
  readonly isSse: boolean;
  /** To be called when the handler fails: what it had opened until then is given back. */
  readonly onFailure: (() => void)[];
}

const storage = new AsyncLocalStorage<CurrentRequest>();
const applications = new Set<object>();

export function startKeepingRequests(application: object): void {
  applications.add(application);
}

/** With the last application, because a store that is in use costs every asynchronous step of the process something. */
export function stopKeepingRequests(application: object): void {
  if (applications.delete(application) && applications.size === 0) storage.disable();
}

/** The request whose handler is running, inside a Nest application. */
export function currentRequest(): CurrentRequest | undefined {
  return storage.getStore();
}

interface WithRaw {
  readonly raw?: unknown;
}

/** Keeps the current request at hand, so that `stream()` and `addClient()` find its last event ID by themselves. */
@Injectable()
export class SSEInterceptor implements NestInterceptor {
  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    if (context.getType() !== 'http') return next.handle();
    const http = context.switchToHttp();
    const request = http.getRequest<WithRaw & IncomingMessage>();
    const current: CurrentRequest = {
      request: (request.raw ?? request) as IncomingMessage,
      response: http.getResponse<unknown>(),
      isSse: Reflect.getMetadata(SSE_METADATA, context.getHandler()) === true,
      onFailure: [],
    };
    // Nest binds the handler to the async context in which `handle()` is called.
    const handled = storage.run(current, () => next.handle());
    // What an `@Sse()` handler opens closes with its stream; an operator more would cost every event something.
    if (current.isSse) return handled;
    return handled.pipe(
      catchError((error: unknown) => {
        for (const giveBack of current.onFailure) giveBack();
        return throwError(() => error);
      }),
    );
  }
}
