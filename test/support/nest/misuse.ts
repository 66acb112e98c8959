import { setImmediate as soon } from 'node:timers/promises';

import { CacheInterceptor, CacheKey, CacheModule } from '@nestjs/cache-manager';
import {
  type CallHandler,
  ClassSerializerInterceptor,
  Controller,
  type ExecutionContext,
  ForbiddenException,
  Get,
  HttpException,
  Inject,
  Module,
  type NestInterceptor,
  Query,
  RequestTimeoutException,
  Res,
  Sse,
  UseInterceptors,
} from '@nestjs/common';
import { EventStream, type NodeResponseLike, SSEModule, SSEService } from 'nestjs-sse-hub';
import {
  catchError,
  defer,
  delay,
  EMPTY,
  finalize,
  interval,
  lastValueFrom,
  map,
  merge,
  type Observable,
  of,
  retry,
  share,
  tap,
  throwError,
  timeout,
  TimeoutError,
  timer,
} from 'rxjs';

import type { Application } from './main.js';

/** As Nest's documentation has it. */
class TimeoutInterceptor implements NestInterceptor {
  intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(
      timeout(100),
      catchError((error: unknown) =>
        throwError(() => (error instanceof TimeoutError ? new RequestTimeoutException() : error)),
      ),
    );
  }
}

class AwaitingInterceptor implements NestInterceptor {
  async intercept(_context: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
    const last: unknown = await lastValueFrom(next.handle());
    return defer(() => Promise.resolve(last));
  }
}

class WrappingInterceptor implements NestInterceptor {
  intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(map((data: unknown) => ({ success: true, data })));
  }
}

class HarmlessInterceptor implements NestInterceptor {
  intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(
      tap(() => {}),
      retry(2),
      finalize(() => {}),
    );
  }
}

/** A cache of its own, which never asks whether what it has can be kept. */
class RememberingInterceptor implements NestInterceptor {
  #remembered: { readonly value: unknown } | undefined;

  intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
    if (this.#remembered) return of(this.#remembered.value);
    return next.handle().pipe(tap((value: unknown) => (this.#remembered = { value })));
  }
}

class SilentInterceptor implements NestInterceptor {
  intercept(): Observable<unknown> {
    return EMPTY;
  }
}

class HidingInterceptor implements NestInterceptor {
  intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(catchError(() => of({ success: false })));
  }
}

class LateInterceptor implements NestInterceptor {
  intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(delay(150));
  }
}

class FailingInterceptor implements NestInterceptor {
  intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(map(({ length }: unknown[]) => length));
  }
}

@Controller('event-stream')
class EventStreamsController {
  @UseInterceptors(TimeoutInterceptor)
  @EventStream('timed')
  timed() {
    return 't';
  }

  @UseInterceptors(AwaitingInterceptor)
  @EventStream('awaited')
  awaited() {
    return 't';
  }

  @UseInterceptors(WrappingInterceptor)
  @EventStream('wrapped')
  wrapped() {
    return 't';
  }

  @UseInterceptors(CacheInterceptor)
  @EventStream('cached')
  cached() {
    return 't';
  }

  @UseInterceptors(CacheInterceptor)
  @CacheKey('event-stream')
  @EventStream('cached-by-key')
  cachedByKey() {
    return Promise.resolve({ topics: 't' });
  }

  @UseInterceptors(HarmlessInterceptor, ClassSerializerInterceptor)
  @EventStream('harmless')
  harmless() {
    return of(['t']);
  }

  @UseInterceptors(FailingInterceptor)
  @EventStream('failing')
  failing() {
    return 't';
  }

  @UseInterceptors(TimeoutInterceptor, LateInterceptor)
  @EventStream('late')
  late() {
    return 't';
  }

  @UseInterceptors(RememberingInterceptor)
  @EventStream('remembered')
  remembered() {
    return 't';
  }

  @UseInterceptors(SilentInterceptor)
  @EventStream('silent')
  silent() {
    return 't';
  }

  @UseInterceptors(HidingInterceptor)
  @EventStream('hidden')
  hidden(): string {
    throw new ForbiddenException('Not yours.');
  }

  @UseInterceptors(TimeoutInterceptor)
  @EventStream('slow')
  slow() {
    return timer(500).pipe(map(() => 't'));
  }
}

@Controller()
class MisuseController {
  readonly #shared: Observable<object>;

  constructor(@Inject(SSEService) private readonly sse: SSEService) {
    this.#shared = defer(() => this.sse.stream('t')).pipe(share());
  }

  @Get('stream-from-get')
  streamFromGet() {
    return this.sse.stream('t');
  }

  @UseInterceptors(WrappingInterceptor)
  @Get('wrapped-stream-from-get')
  async wrappedStreamFromGet() {
    await soon();
    return this.sse.stream('t');
  }

  @Get('stream-with-response')
  streamWithResponse(@Res() _response: NodeResponseLike) {
    return this.sse.stream('t');
  }

  @Sse('create-client-in-sse')
  createClientInSse(@Res() response: NodeResponseLike) {
    return this.sse.createClient(response, { topics: 't' });
  }

  @Get('passthrough')
  passthrough(@Res({ passthrough: true }) response: NodeResponseLike) {
    this.sse.createClient(response, { topics: 't' });
  }

  @Get('twice')
  twice(@Res() response: NodeResponseLike) {
    this.sse.createClient(response, { topics: 't' });
    this.sse.createClient(response, { topics: 'u' });
  }

  @Get('whole-answer')
  wholeAnswer() {
    return this.sse.addClient({ topics: 't' });
  }

  @UseInterceptors(WrappingInterceptor)
  @Get('wrapped-whole-answer')
  wrappedWholeAnswer() {
    return this.sse.addClient({ topics: 't' });
  }

  @Sse('add-client-in-sse')
  addClientInSse() {
    return this.sse.addClient({ topics: 't' }).response;
  }

  @Get('web')
  web() {
    return this.sse.addClient({ topics: 't' }).response;
  }

  @Get('web-with-response')
  webWithResponse(@Res() _response: NodeResponseLike) {
    return this.sse.addClient({ topics: 't' }).response;
  }

  @Sse('expires')
  expires(@Query('at') at: string) {
    return this.sse.stream('t', { expiresAt: Number(at) });
  }

  @UseInterceptors(CacheInterceptor)
  @Sse('cached')
  cached() {
    return this.sse.stream('t');
  }

  @UseInterceptors(CacheInterceptor)
  @CacheKey('all')
  @Sse('cached-by-key')
  cachedByKey() {
    return this.sse.stream('t');
  }

  @Sse('shared')
  shared() {
    return this.#shared;
  }

  @UseInterceptors(AwaitingInterceptor)
  @Sse('awaited')
  awaited() {
    return this.sse.stream('t');
  }

  @UseInterceptors(WrappingInterceptor)
  @Sse('wrapped')
  wrapped() {
    return this.sse.stream('t');
  }

  @Sse('new-messages')
  newMessages() {
    return this.sse.stream('t').pipe(map(({ data }) => ({ data })));
  }

  @UseInterceptors(TimeoutInterceptor)
  @Sse('timed-out')
  timedOut() {
    return this.sse.stream('t');
  }

  @Sse('failing')
  failing() {
    return this.sse.stream('t').pipe(
      map((message) => {
        if (message.type === 'n') throw new HttpException('secret', 400);
        return message;
      }),
    );
  }

  @Sse('merged')
  merged() {
    return merge(this.sse.stream('t'), interval(20).pipe(map((tick) => ({ type: 'tick', data: String(tick) }))));
  }

  @UseInterceptors(HarmlessInterceptor, ClassSerializerInterceptor)
  @Sse('harmless')
  harmless() {
    return this.sse.stream('t');
  }

  /** Not of this library, and so none of its business. */
  @UseInterceptors(TimeoutInterceptor)
  @Sse('foreign')
  foreign() {
    return timer(0, 10).pipe(
      map((data) => {
        if (data > 1) throw new HttpException('their own', 400);
        return { data: String(data) };
      }),
    );
  }
}

@Module({
  imports: [CacheModule.register({ ttl: 60_000 }), SSEModule.forRoot({ heartbeatInterval: 0, slowTimeout: 600_000 })],
  controllers: [MisuseController, EventStreamsController],
})
class MisuseModule {}

export function application(): Application {
  return { module: MisuseModule };
}
