import { type ExecutionContext, Logger } from '@nestjs/common';

import { SSEError } from './sse.error.js';

/** Where Nest keeps what decorators say of a handler. */
export const PATH_METADATA = 'path';
export const SSE_METADATA = '__sse__';
export const PARAMETERS_METADATA = '__routeArguments__';
export const PASSTHROUGH_METADATA = '__responsePassthrough__';
export const INTERCEPTORS_METADATA = '__interceptors__';

/** Where `@EventStream()` keeps what it says of a handler. */
export const EVENT_STREAM_METADATA = 'nestjs-sse-hub:event-stream';

/** Among the parameters: the response is 1, `next` is 2. */
const RESPONSE_OR_NEXT = /^[12]:/;

/** How a handler of Nest answers. */
export interface Route {
  /** Its controller and its own name, for messages. */
  readonly name: string;
  /** It is one of `@Sse()`: Nest writes the response, from what the handler's Observable emits. */
  readonly isSse: boolean;
  /** It is one of `@EventStream()`: the stream is opened from what the handler returns. */
  readonly isEventStream: boolean;
  /** It writes the response itself (`@Res()` without `passthrough`, `@Next()`): Nest sends nothing of what it returns. */
  readonly writesItself: boolean;
}

const routes = new WeakMap<object, Route>();

export function routeOf(context: ExecutionContext): Route {
  const handler = context.getHandler();
  const known = routes.get(handler);
  if (known) return known;
  const controller = context.getClass();
  const name = nameOf(handler, controller);
  const parameters = Object.keys(
    (Reflect.getMetadata(PARAMETERS_METADATA, controller, name) as object | undefined) ?? {},
  );
  const isPassthrough = Reflect.getMetadata(PASSTHROUGH_METADATA, controller, name) === true;
  const route: Route = {
    name: `${controller.name}.${name}()`,
    isSse: Reflect.getMetadata(SSE_METADATA, handler) === true,
    isEventStream: Reflect.hasMetadata(EVENT_STREAM_METADATA, handler),
    writesItself: parameters.some((key) => RESPONSE_OR_NEXT.test(key)) && !isPassthrough,
  };
  routes.set(handler, route);
  return route;
}

/** A decorator may have put a function with another name in the place of the method. */
function nameOf(handler: object, { prototype }: { readonly prototype: object }): string {
  for (
    let holder = prototype;
    holder && holder !== Object.prototype;
    holder = Object.getPrototypeOf(holder) as object
  ) {
    const names = Object.getOwnPropertyNames(holder);
    const found = names.find((name) => Object.getOwnPropertyDescriptor(holder, name)?.value === handler);
    if (found !== undefined) return found;
  }
  return (handler as { readonly name: string }).name;
}

/** What is said about a handler, with the interceptors around it, which it may be about. */
export interface Report {
  /** Logged once for each handler. */
  once(kind: string, context: ExecutionContext, what: string): void;
  failure(context: ExecutionContext, error: unknown): void;
  /** Logged, and to be thrown. */
  refusal(context: ExecutionContext, what: string): SSEError;
}

const logger = new Logger('SSEService');

/** Logged, and to be thrown: Nest does not log HTTP exceptions, and an EventSource shows nobody the answer. */
export function refusal(message: string): SSEError {
  logger.error(message);
  return new SSEError('INVALID_ROUTE', message);
}

/** The same for what `createClient()` says of options that somebody has returned, and could not have caught. */
export function tellMisuse(error: unknown, handler: string): void {
  if (error instanceof SSEError && error.code === 'INVALID_CONFIG') logger.error(`${handler}: ${error.message}`);
}
