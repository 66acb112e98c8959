import type { Server } from 'node:http';
import { setImmediate as soon } from 'node:timers/promises';

import {
  Controller,
  Get,
  Inject,
  type MiddlewareConsumer,
  Module,
  type NestModule,
  Res,
  Sse,
  UseInterceptors,
  VersioningType,
} from '@nestjs/common';
import { APP_INTERCEPTOR, REQUEST } from '@nestjs/core';
import { ClsModule } from 'nestjs-cls';
import { EventStream, type NodeResponseLike, SSEModule, SSEService } from 'nestjs-sse-hub';
import { defer, from, map, merge, NEVER, type Observable, of, switchMap, timer } from 'rxjs';

import { AfterInterceptor, BeforeInterceptor, ControllerInterceptor, forget, GlobalInterceptor } from './around.js';
import type { Application } from './main.js';

abstract class Handlers {
  #kept: Observable<object> | undefined;

  constructor(@Inject(SSEService) private readonly sse: SSEService) {}

  @Sse('plain')
  plain() {
    return this.sse.stream('t');
  }

  @Sse('async')
  async async() {
    await soon();
    return this.sse.stream('t');
  }

  @Sse('deferred')
  deferred() {
    return defer(() => this.sse.stream('t'));
  }

  @Sse('promised')
  promised() {
    return from(soon()).pipe(switchMap(() => this.sse.stream('t')));
  }

  @Sse('timed')
  timed() {
    return timer(5).pipe(switchMap(() => this.sse.stream('t')));
  }

  @Sse('merged')
  merged() {
    return merge(this.sse.stream('t'), NEVER);
  }

  @Sse('kept')
  kept() {
    return (this.#kept ??= this.sse.stream('t'));
  }

  @Sse('mistaken')
  mistaken(@Res({ passthrough: true }) response: NodeResponseLike) {
    return defer(() => of(this.sse.createClient(response, { topics: 't' })));
  }

  @EventStream('followed/plain')
  followed() {
    return 't';
  }

  @EventStream('followed/async')
  async followedLater() {
    await soon();
    return { topics: 't' };
  }

  @EventStream('followed/deferred')
  followedDeferred() {
    return defer(() => of(['t']));
  }

  @EventStream('followed/timed')
  followedTimed() {
    return timer(5).pipe(map(() => 't'));
  }

  @Get('web/plain')
  web() {
    return this.sse.addClient({ topics: 't' }).response;
  }

  @Get('web/async')
  async webLater() {
    await soon();
    return this.sse.addClient({ topics: 't' }).response;
  }

  @Get('web/deferred')
  webDeferred() {
    return defer(() => of(this.sse.addClient({ topics: 't' }).response));
  }

  @Get('web/timed')
  webTimed() {
    return timer(5).pipe(switchMap(() => of(this.sse.addClient({ topics: 't' }).response)));
  }
}

@UseInterceptors(ControllerInterceptor)
@Controller({ path: 'matrix', version: '1' })
class MatrixController extends Handlers {}

/** It stands outside of the global prefix. */
@Controller('outside')
class OutsideController extends Handlers {}

/** Nest makes one for each request. */
@Controller('scoped')
class ScopedController extends Handlers {
  constructor(
    @Inject(SSEService) sse: SSEService,
    @Inject(REQUEST) readonly request: object,
  ) {
    super(sse);
  }
}

@Module({ providers: [{ provide: APP_INTERCEPTOR, useClass: BeforeInterceptor }] })
class BeforeModule {}

@Module({ providers: [{ provide: APP_INTERCEPTOR, useClass: AfterInterceptor }] })
class AfterModule implements NestModule {
  configure(consumer: MiddlewareConsumer): void {
    consumer.apply(forget).forRoutes('{*path}');
  }
}

@Module({
  imports: [
    ClsModule.forRoot({ middleware: { mount: true } }),
    BeforeModule,
    SSEModule.forRoot({ heartbeatInterval: 0, slowTimeout: 600_000, drainTimeout: 600_000 }),
    AfterModule,
  ],
  controllers: [MatrixController, OutsideController, ScopedController],
})
class MatrixModule {}

export function application(): Application {
  return {
    module: MatrixModule,
    prepare: (app) => {
      app.setGlobalPrefix('api', { exclude: ['outside/{*path}'] });
      app.enableVersioning({ type: VersioningType.URI });
      app.useGlobalInterceptors(new GlobalInterceptor());
      // A connection that nobody closes would be waited for until then.
      (app.getHttpServer() as Server).keepAliveTimeout = 600_000;
    },
  };
}
