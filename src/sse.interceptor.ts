import * as nest from '@nestjs/common';
import { type CallHandler, type ExecutionContext, Injectable, Logger, type NestInterceptor } from '@nestjs/common';
import { ApplicationConfig } from '@nestjs/core';
import { catchError, Observable, type Subscriber, tap, throwError } from 'rxjs';

import { describe } from './hub/reporting/logger.js';
import { ThrottledLog } from './hub/reporting/throttled-log.js';
import { isPlainObject } from './option-checks.js';
import { CURSOR_PREFIX } from './protocol/event.js';
import { EventStreamInterceptor, guardEventStream } from './sse.event-stream-interceptor.js';
import { CurrentRequest, currentRequest, keepOnResponse, onBehalfOf, rawOf } from './sse.middleware.js';
import { INTERCEPTORS_METADATA, refusal, type Report, routeOf } from './sse.route.js';
import { isFirstMessage, isMessage, recipientOf, type StreamMessage, wasMessage } from './transport/message.js';

/** Nest 12 sends web responses; 11 would make JSON of them. */
const SENDS_WEB_RESPONSES = 'SSE_ABORT_CONTROLLER' in nest;

/** Milliseconds within which the first message of a stream comes to Nest, unless an interceptor keeps it. */
const KEPT = 1_000;

const REMEDIES = {
  sse: 'Leave @Sse() handlers out of it, or use @EventStream(), whose streams interceptors cannot touch.',
  eventStream: 'Leave handlers of @EventStream() out of it.',
};

/**
 * Around everything that an application puts around its handlers. It says which handler a request is for, refuses what
 * cannot become an event stream, and keeps what interceptors make of `stream()` from harming its readers.
 */
@Injectable()
export class SSEInterceptor implements NestInterceptor {
  readonly #logger = new Logger('SSEService');
  readonly #failures = new ThrottledLog((message) => this.#logger.error(message));
  readonly #told = new Set<string>();

  constructor(private readonly config: ApplicationConfig) {}

  /** Only the outermost sees what really goes to Nest. Providers of APP_INTERCEPTOR stand in the order of the modules. */
  moveToFront(): void {
    const interceptors = this.config.getGlobalInterceptors();
    interceptors.splice(interceptors.indexOf(this), 1);
    interceptors.unshift(this);
  }

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    if (context.getType() !== 'http') return next.handle();
    const http = context.switchToHttp();
    const current = this.#currentRequest(http.getRequest(), http.getResponse());
    current.route = routeOf(context);
    keepOnResponse(current);
    const { isSse, isEventStream } = current.route;
    return new Observable((subscriber) => {
      // Nest has what is called, and what is subscribed to, run where that happens.
      onBehalfOf(current, () => {
        if (isSse) new SseGuard(current, context, subscriber, this.#report).subscribe(next);
        else if (isEventStream)
          subscriber.add(guardEventStream(next, current, context, this.#report).subscribe(subscriber));
        else subscriber.add(this.#checked(next, current).subscribe(subscriber));
      });
    });
  }

  // A middleware behind ours may have gone on where nothing is known of the request, in the callback of a pool for instance.
  #currentRequest(request: ConstructorParameters<typeof CurrentRequest>[0], response: unknown): CurrentRequest {
    const kept = currentRequest();
    if (kept?.request !== rawOf(request)) return new CurrentRequest(rawOf(request), response);
    kept.response = response;
    return kept;
  }

  #checked(next: CallHandler, current: CurrentRequest): Observable<unknown> {
    return next.handle().pipe(
      tap((value) => this.#assertSendable(value, current)),
      catchError((error: unknown) => {
        for (const { abandon } of current.answers) abandon();
        return throwError(() => error);
      }),
    );
  }

  /** Throws `INVALID_ROUTE` for what a handler that is no @Sse() one cannot return. */
  #assertSendable(value: unknown, { route, streams, answers }: CurrentRequest): void {
    if (!route || (!streams && answers.length === 0)) return;
    const returned = [value, ...(isPlainObject(value) ? Object.values(value) : [])];
    if (returned.some(isFirstMessage))
      throw refusal(
        `${route.name} returns stream(), and is no handler of @Sse(): Nest would wait for its end and send its last message. Put @Sse() in place of @Get(), or @EventStream() and return the topics.`,
      );
    if (returned.some((one) => answers.some(({ answer }) => answer === one)))
      throw refusal(
        `${route.name} returns what addClient() answers as a whole, of which Nest would make JSON. Return its response: return this.sse.addClient({ topics }).response.`,
      );
    if (!returned.some((one) => answers.some(({ answer }) => answer.response === one))) return;
    if (!SENDS_WEB_RESPONSES)
      throw refusal(
        `${route.name} returns the response of addClient(), which Nest sends from version 12.4 on; this one would make JSON of it. Put @EventStream() in place of @Get() and return { topics }.`,
      );
    if (route.writesItself)
      throw refusal(
        `${route.name} returns the response of addClient() and has @Res() or @Next(), so Nest sends nothing of what it returns. Leave the parameter out, use @Res({ passthrough: true }), or put @EventStream() in place of @Get() and return { topics }.`,
      );
  }

  readonly #report: Report = {
    once: (kind, context, what) => {
      const { name } = routeOf(context);
      const key = `${kind} ${name}`;
      if (this.#told.has(key)) return;
      this.#told.add(key);
      this.#logger.warn(`${name}: ${what} ${this.#around(context)}`);
    },
    failure: (context, error) => {
      this.#failures.log(`${routeOf(context).name}: its stream failed with ${describe(error)}. ${ENDED}`);
    },
    refusal: (context, what) => refusal(`${routeOf(context).name}: ${what} ${this.#around(context)}`),
  };

  /** The remedy, with the interceptors that it may be about. */
  #around(context: ExecutionContext): string {
    const own = [context.getClass(), context.getHandler()].flatMap(
      (target) => (Reflect.getMetadata(INTERCEPTORS_METADATA, target) as unknown[] | undefined) ?? [],
    );
    const requestScoped = this.config.getGlobalRequestInterceptors().map(({ metatype }) => metatype);
    const all = [...this.config.getGlobalInterceptors(), ...requestScoped, ...own].filter(
      (one) => one !== this && one !== EventStreamInterceptor,
    );
    const names = all.map((one) => (typeof one === 'function' ? one.name : (one as object).constructor.name));
    const remedy = routeOf(context).isEventStream ? REMEDIES.eventStream : REMEDIES.sse;
    return `${remedy}${names.length > 0 ? ` The interceptors around this handler: ${names.join(', ')}.` : ''}`;
  }
}

const ENDED = 'It was ended where it stood, so its client comes back with its cursor.';

/** Between what an application makes of one `stream()` and Nest, which writes it. */
class SseGuard {
  /** The last cursor that has come past the application's interceptors. */
  #cursor: string | undefined;
  /** The first messages of a stream are being handed over. */
  #first = false;
  /** Something of the stream has come past them, whatever they have made of it. */
  #arrives = false;
  #patience: NodeJS.Timeout | undefined;

  constructor(
    private readonly current: CurrentRequest,
    private readonly context: ExecutionContext,
    private readonly subscriber: Subscriber<unknown>,
    private readonly report: Report,
  ) {}

  subscribe(next: CallHandler): void {
    this.current.onFirst = (emit) => this.#watchFirst(emit);
    this.current.end = () => this.subscriber.complete();
    this.subscriber.add(() => clearTimeout(this.#patience));
    this.subscriber.add(
      next.handle().subscribe({
        next: (value) => this.#pass(value),
        error: (error: unknown) => this.#fail(error),
        complete: () => this.subscriber.complete(),
      }),
    );
  }

  #pass(value: unknown): void {
    if (this.#isOfAnother(value)) {
      const what =
        'what it emits was meant for another request, and was not sent: it comes out of a cache (CacheInterceptor), or ' +
        'of one stream() that requests share. Each request has to subscribe to a stream() of its own.';
      return this.subscriber.error(this.report.refusal(this.context, what));
    }
    this.#arrives ||= this.current.streams;
    const id = idOf(value);
    if (id?.startsWith(CURSOR_PREFIX)) this.#cursor = id;
    if (id !== undefined || !this.current.streams || isComment(value)) return this.subscriber.next(value);
    if (this.#cursor === undefined) {
      if (this.#first) this.#tellOfChange(value);
      return this.subscriber.next(value);
    }
    // Nest numbers messages without an id: 1, 2, 3… would be what the client comes back with.
    this.subscriber.next(withId(value, this.#cursor));
  }

  #isOfAnother(value: unknown): boolean {
    const recipient = recipientOf(value);
    return (recipient !== undefined && recipient !== this.current) || (!this.current.streams && wasMessage(value));
  }

  // Nest would write the error as an event with a number for its id, and the client would lose its cursor for that.
  #fail(error: unknown): void {
    if (this.#cursor === undefined) return this.subscriber.error(error);
    if (isTimeout(error)) {
      const what = `its stream was ended by a time limit (${describe(error)}). ${ENDED} Streams may be quiet for long.`;
      this.report.once('timeout', this.context, what);
    } else {
      this.report.failure(this.context, error);
    }
    this.subscriber.complete();
  }

  #watchFirst(emit: () => void): void {
    this.#first = true;
    emit();
    this.#first = false;
    if (this.#arrives || this.subscriber.closed) return;
    this.#patience ??= setTimeout(() => {
      if (this.#arrives) return;
      const what =
        'its stream was subscribed to, and nothing of it comes to its client: an interceptor waits for its end ' +
        '(lastValueFrom), or gathers or delays what it emits.';
      this.report.once('kept', this.context, what);
    }, KEPT).unref();
  }

  #tellOfChange(value: unknown): void {
    const isEnvelope = isPlainObject(value) && Object.values(value).some(isMessage);
    const what = isEnvelope
      ? `an interceptor wraps every message of its stream() in an envelope ({ ${Object.keys(value).join(', ')} }), which no EventSource can read.`
      : 'an interceptor or an operator makes new messages of what its stream() emits, without their id: no client can resume.';
    this.report.once('changed', this.context, what);
  }
}

function idOf(value: unknown): string | undefined {
  const { id } = (typeof value === 'object' && value !== null ? value : {}) as { id?: unknown };
  return typeof id === 'string' || typeof id === 'number' ? String(id) : undefined;
}

/** A comment alone, which Nest writes without an id. */
function isComment(value: unknown): boolean {
  if (typeof value !== 'object' || value === null) return false;
  const { comment, data, type } = value as StreamMessage;
  return comment !== undefined && data === undefined && type === undefined;
}

function withId(value: unknown, id: string): object {
  if (typeof value !== 'object' || value === null) return { data: value, id };
  const { type, data, retry, comment } = value as StreamMessage;
  return { type, data, retry, comment, id };
}

function isTimeout(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return error.name === 'TimeoutError' || (error instanceof nest.HttpException && error.getStatus() === 408);
}
