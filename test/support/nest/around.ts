import { AsyncResource } from 'node:async_hooks';
import { setImmediate as soon } from 'node:timers/promises';

import { type CallHandler, type ExecutionContext, Injectable, type NestInterceptor } from '@nestjs/common';
import { ClsInterceptor, ClsInterceptorOptions } from 'nestjs-cls';
import { defer, from, Observable, switchMap } from 'rxjs';

/** What applications put around their handlers. */

type Intercept = NestInterceptor['intercept'];

const cls = new ClsInterceptor(Object.assign(new ClsInterceptorOptions(), {}));

export const interceptors: Readonly<Record<string, Intercept>> = {
  none: (_context, next) => next.handle(),
  passing: (_context, next) => next.handle().pipe(),
  async: async (_context, next) => {
    await soon();
    return next.handle();
  },
  subscribing: (_context, next) => new Observable((subscriber) => next.handle().subscribe(subscriber)),
  deferring: (_context, next) => defer(() => next.handle()),
  switching: (_context, next) => from(soon()).pipe(switchMap(() => next.handle())),
  cls: (context, next) => cls.intercept(context, next) as ReturnType<Intercept>,
};

/** One of them, where and when the request asks for it. */
function interceptorAt(place: string): new () => NestInterceptor {
  @Injectable()
  class AskedForInterceptor implements NestInterceptor {
    intercept(context: ExecutionContext, next: CallHandler): ReturnType<Intercept> {
      const { query } = context.switchToHttp().getRequest<{ query: Readonly<Record<string, string>> }>();
      return interceptors[query['place'] === place ? query['with']! : 'none']!(context, next);
    }
  }
  return AskedForInterceptor;
}

export const BeforeInterceptor = interceptorAt('before');
export const AfterInterceptor = interceptorAt('after');
export const GlobalInterceptor = interceptorAt('global');
export const ControllerInterceptor = interceptorAt('controller');

const elsewhere = new AsyncResource('a pool of connections');

/** Goes on in the context of somebody else, as the callback of a pool does, when the request asks for it. */
export function forget(
  request: { readonly url?: string; readonly originalUrl?: string },
  _response: unknown,
  next: () => void,
): void {
  if ((request.originalUrl ?? request.url)?.includes('forget')) elsewhere.runInAsyncScope(next);
  else next();
}
