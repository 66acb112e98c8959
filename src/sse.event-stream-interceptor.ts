import {
  type CallHandler,
  type ExecutionContext,
  Inject,
  Injectable,
  type NestInterceptor,
  Optional,
} from '@nestjs/common';
import {
  catchError,
  concat,
  concatMap,
  defaultIfEmpty,
  defer,
  EMPTY,
  ignoreElements,
  map,
  type Observable,
  of,
  take,
} from 'rxjs';

import { describe } from './hub/reporting/logger.js';
import { RunHandle, RunState } from './hub/runs/run-handle.js';
import { TopicPattern } from './hub/topics/topic-pattern.js';
import { isPlainObject, withDefaults } from './option-checks.js';
import { TERMINAL_CURSOR } from './protocol/cursor.js';
import { show } from './protocol/event.js';
import { assertOptionNames, type ClientOptions, type RouteOptions } from './sse.client-options.js';
import { SSEError } from './sse.error.js';
import { Hubs } from './sse.hubs.js';
import { type CurrentRequest, currentRequestOf } from './sse.middleware.js';
import { EVENT_STREAM_METADATA, refusal, type Report, tellMisuse } from './sse.route.js';
import type { SSEService } from './sse.service.js';
import type { Topics } from './sse.topic-rules.js';
import { isMessage } from './transport/message.js';
import { isAnswered, type NodeResponseLike } from './transport/raw-response.js';

/** What `@EventStream()` keeps of a handler. */
export interface EventStreamRoute {
  /** The very list that was handed to Nest: another one is of another decorator. */
  readonly paths: string[];
  /** For all clients of the handler. */
  readonly defaults: RouteOptions;
  /** The name of its hub. */
  readonly hub: string;
}

/**
 * Next to a handler of `@EventStream()`: opens the stream from what the handler returns, before any other interceptor
 * sees that. To those it is `undefined`: nothing to put into an envelope, and nothing to be found in a cache.
 */
@Injectable()
export class EventStreamInterceptor implements NestInterceptor {
  readonly #hubs: Hubs;

  constructor(@Optional() @Inject(Hubs) hubs: Hubs | undefined) {
    if (!hubs) {
      throw new SSEError(
        'INVALID_CONFIG',
        'There is a handler of @EventStream(), and no hub to follow: the root module has to have ' +
          'imports: [SSEModule.forRoot()].',
      );
    }
    this.#hubs = hubs;
  }

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const response = context.switchToHttp().getResponse<NodeResponseLike>();
    // Kept by SSEInterceptor, which is around all others.
    const current = currentRequestOf(response)!;
    // Interceptors may ask again (`retry`): a stream is opened once.
    if (current.isOpened) return of(undefined);
    const { defaults, hub } = Reflect.getMetadata(EVENT_STREAM_METADATA, context.getHandler()) as EventStreamRoute;
    return next.handle().pipe(
      take(1),
      defaultIfEmpty(undefined),
      concatMap(async (value: unknown) => {
        // Where it cannot be started, that is the answer.
        if (value instanceof RunHandle) await value.started;
        return value;
      }),
      map((value) => {
        // Whoever has answered meanwhile, an interceptor or the handler itself, has answered.
        if (current.isOpened || isAnswered(response)) return;
        const name = current.route?.name ?? '';
        const options = optionsOf(value, name);
        this.#open(this.#hubs.get(hub, name), current, response, { ...options, ...withDefaults(options, defaults) });
      }),
      catchError((error: unknown) => {
        tellMisuse(error, current.route?.name ?? '');
        current.failure = { error };
        throw error;
      }),
    );
  }

  #open(hub: SSEService, current: CurrentRequest, response: NodeResponseLike, options: ClientOptions): void {
    // From here on it is not the handler that calls createClient().
    current.isOpened = true;
    try {
      hub.createClient(response, options);
    } catch (error) {
      current.isOpened = false;
      throw error;
    }
  }
}

/** 204, as for who comes back to a stream that is over for good. */
const NO_CONTENT: ClientOptions = { lastEventId: TERMINAL_CURSOR };

const RIGHT_FORMS =
  "A handler of @EventStream() returns topics ('orders', topicPattern('orders:*'), or a list of them), options " +
  "({ topics: 'orders', group }), what run() or getRun() answers, or undefined for 204; or a promise of these, or an Observable of one.";

/** What a handler has returned, as options of its client. Throws `INVALID_ROUTE`, and `INVALID_CONFIG` for the name of an option. */
function optionsOf(value: unknown, handler: string): ClientOptions {
  if (value === undefined || value === null) return NO_CONTENT;
  if (Array.isArray(value) && value.length === 0) throw refusal(`${handler} returns an empty list. ${RIGHT_FORMS}`);
  if (typeof value === 'string' || value instanceof TopicPattern || Array.isArray(value)) {
    return { topics: value as Topics };
  }
  if (value instanceof RunHandle || value instanceof RunState) return optionsOfRun(value);
  if (isMessage(value)) {
    throw refusal(
      `${handler} returns stream(), which is for handlers of @Sse(). Return its topics and options instead: ` +
        'return { topics }.',
    );
  }
  if (!isPlainObject(value)) throw refusal(`${handler} returns ${show(value)}. ${RIGHT_FORMS}`);
  assertOptionNames(value, `What ${handler} returns`);
  if (isFollowing(value)) return value;
  throw refusal(`${handler} returns options without topics, and nothing could reach such a stream. ${RIGHT_FORMS}`);
}

/** Whether it follows something, or may be found by its id or group, and made to. */
function isFollowing({ topics, id, group, lastEventId }: ClientOptions): boolean {
  const isEmpty = topics === undefined || (Array.isArray(topics) && topics.length === 0);
  return !isEmpty || id !== undefined || group !== undefined || lastEventId !== undefined;
}

/** All of the run, from its first event on, and then its end. */
function optionsOfRun(run: RunHandle | RunState): ClientOptions {
  const { topic: topics, merge } = run;
  return merge ? { topics, from: 0, merge } : { topics, from: 0 };
}

/**
 * Around everything that an application puts around a handler of `@EventStream()`: once the stream is open, nothing of
 * that gets to Nest, which would end the response for an error. And a request whose handler nobody has asked is told so,
 * instead of being left without an answer: Nest sends nothing here.
 */
export function guardEventStream(
  next: CallHandler,
  current: CurrentRequest,
  context: ExecutionContext,
  report: Report,
): Observable<unknown> {
  // One that could not be opened is not answered, even where its headers are: Nest ends the response then.
  const isSettled = (): boolean =>
    current.isOpened || (!current.failure && isAnswered(current.response as NodeResponseLike));
  const values = next.handle().pipe(
    catchError((error: unknown) => {
      if (!isSettled()) throw error;
      const what =
        `an interceptor failed with ${describe(error)} after the stream had been opened, which goes on. What a ` +
        'handler of @EventStream() returns is undefined to interceptors.';
      report.once('failed behind', context, what);
      return EMPTY;
    }),
    ignoreElements(),
  );
  return concat(
    values,
    defer(() => {
      if (isSettled()) return of(undefined);
      if (current.failure) throw current.failure.error;
      const what =
        'an interceptor answered instead of the handler, out of a cache (CacheInterceptor) for instance, and nobody ' +
        'was asked what to follow.';
      throw report.refusal(context, what);
    }),
  );
}
