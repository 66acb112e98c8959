import { RequestMapping, RequestMethod, Res, UseInterceptors } from '@nestjs/common';
import { MetadataScanner, type ModulesContainer } from '@nestjs/core';

import { show } from './protocol/event.js';
import { assertRouteOptions, type RouteOptions } from './sse.client-options.js';
import { invalid, SSEError } from './sse.error.js';
import type { Hubs } from './sse.hubs.js';
import { EventStreamInterceptor, type EventStreamRoute } from './sse.event-stream-interceptor.js';
import {
  EVENT_STREAM_METADATA,
  INTERCEPTORS_METADATA,
  PARAMETERS_METADATA,
  PASSTHROUGH_METADATA,
  PATH_METADATA,
  SSE_METADATA,
} from './sse.route.js';

/** Options of a handler of `@EventStream()`, for all its clients: what the handler returns wins over them. */
export interface EventStreamOptions extends RouteOptions {
  /**
   * The method of the request. `'GET'` also answers HEAD; an EventSource knows no other, readers built on `fetch` do.
   *
   * @defaultValue `'GET'`
   */
  method?: keyof typeof RequestMethod | undefined;
  /**
   * The name of the hub that its clients follow, where there are several.
   *
   * @defaultValue the hub without a name
   */
  hub?: string | undefined;
}

/** What else would write the response, by where Nest keeps it. */
const RIVALS = { [SSE_METADATA]: '@Sse()', __renderTemplate__: '@Render()', __redirect__: '@Redirect()' };

/**
 * Where Nest is told that the handler has a `@Res()`, so that it sends nothing itself. It is in front of all parameters:
 * Nest then has the response in its list of arguments as `[-1]`, which is not handed over, and the handler gets exactly
 * what it asks for, whatever its own decorators, defaults and rest parameters.
 */
const NO_PARAMETER = -1;
const RESPONSE_IN_FRONT = `1:${NO_PARAMETER}`;

/**
 * Makes a handler of a controller an event stream. The handler returns what to follow: topics, or `ClientOptions`, or a
 * promise of these or an Observable of one; `undefined` is answered 204, which stops an EventSource. Guards, pipes and
 * exception filters work as for any handler, and what interceptors make of its value does not touch the stream.
 *
 * A request is answered with `INVALID_ROUTE` (500) for anything else that is returned and for `createClient()` in the
 * handler, and with what `createClient()` throws.
 *
 * @throws `INVALID_CONFIG` when the class is defined, for an option that there is not or a value that makes no sense;
 * `INVALID_ROUTE` then or when the application starts, for a handler that has another decorator of a route.
 *
 * @example
 * @EventStream('orders/:id', { plannedEnd: 'cut' })
 * async order(@Param('id') id: string) {
 *   if (!(await this.orders.exists(id))) throw new NotFoundException();
 *   return { topics: `order:${id}`, initial: async () => ({ event: 'order', data: await this.orders.read(id) }) };
 * }
 */
export function EventStream(path: string | string[] = '', options: EventStreamOptions = {}): MethodDecorator {
  return (target, name, descriptor) => {
    const handler = descriptor.value as object;
    const label = `${target.constructor.name}.${String(name)}()`;
    const { method = 'GET', hub = '', ...defaults } = options;
    assertPath(path, label);
    if (typeof RequestMethod[method] !== 'number') {
      throw invalid('method', method, `one of those that Nest has, in capitals (@EventStream() of ${label})`);
    }
    assertRouteOptions(defaults, `Beside \`method\` and \`hub\`, @EventStream() of ${label}`);
    if (Reflect.hasMetadata(PATH_METADATA, handler)) throw notAlone(label);

    const paths = [path].flat().map((one) => one || '/');
    const kept: EventStreamRoute = { paths, defaults, hub };
    Reflect.defineMetadata(EVENT_STREAM_METADATA, kept, handler);
    RequestMapping({ path: paths, method: RequestMethod[method] })(target, name, descriptor);
    Res()(target, name, NO_PARAMETER);
    // The handler may have `@Res({ passthrough: true })`, to set a header.
    Reflect.defineMetadata(PASSTHROUGH_METADATA, false, target.constructor, name);
    UseInterceptors(EventStreamInterceptor)(target, name, descriptor);
  };
}

/**
 * Before Nest makes routes of them. Decorators that stand above `@EventStream()`, and hubs, are known only now. Throws
 * `INVALID_ROUTE`, `INVALID_CONFIG`.
 */
export function prepareEventStreams(modules: ModulesContainer, hubs: Hubs): void {
  const scanner = new MetadataScanner();
  for (const { controllers } of modules.values()) {
    for (const { metatype } of controllers.values()) {
      const { prototype } = metatype as { readonly prototype: Record<string, object> };
      for (const name of scanner.getAllMethodNames(prototype))
        prepare(metatype as object, name, prototype[name]!, hubs);
    }
  }
}

function prepare(controller: object, name: string, handler: object, hubs: Hubs): void {
  const stream = Reflect.getMetadata(EVENT_STREAM_METADATA, handler) as EventStreamRoute | undefined;
  if (!stream) return forgetInherited(controller, name);
  const label = `${(controller as { readonly name: string }).name}.${name}()`;
  if (Reflect.getMetadata(PATH_METADATA, handler) !== stream.paths) throw notAlone(label);
  hubs.get(stream.hub, label);
  for (const [key, rival] of Object.entries(RIVALS)) {
    if (Reflect.hasMetadata(key, handler)) throw notAlone(label, rival);
  }
  // Next to the handler is the last one. Those of decorators that stand above came behind ours.
  const interceptors = Reflect.getMetadata(INTERCEPTORS_METADATA, handler) as unknown[];
  const others = interceptors.filter((one) => one !== EventStreamInterceptor);
  Reflect.defineMetadata(INTERCEPTORS_METADATA, [...others, EventStreamInterceptor], handler);
}

/** A method that overrides one of `@EventStream()` inherits its parameters, and Nest would send nothing of what it returns. */
function forgetInherited(controller: object, name: string): void {
  const parameters = Reflect.getMetadata(PARAMETERS_METADATA, controller, name) as Record<string, unknown> | undefined;
  if (!parameters || !(RESPONSE_IN_FRONT in parameters)) return;
  const { [RESPONSE_IN_FRONT]: _, ...own } = parameters;
  Reflect.defineMetadata(PARAMETERS_METADATA, own, controller, name);
}

function assertPath(path: unknown, label: string): void {
  const paths = [path].flat();
  if (paths.length > 0 && paths.every((one) => typeof one === 'string')) return;
  throw new SSEError(
    'INVALID_CONFIG',
    `The path of @EventStream() of ${label} is ${show(path)}; it has to be a string, or a list of strings. Options come ` +
      "behind it: @EventStream('', { … }).",
  );
}

function notAlone(label: string, rival = '@Get(), @Sse(), @EventStream() or the like'): SSEError {
  return new SSEError(
    'INVALID_ROUTE',
    `${label} has @EventStream() and another decorator that says how it answers: ${rival}. Leave that out. ` +
      "@EventStream() takes paths and a method itself: @EventStream(['a', 'b'], { method: 'POST' }).",
  );
}
