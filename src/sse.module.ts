import {
  type DynamicModule,
  Global,
  Inject,
  type MiddlewareConsumer,
  Module,
  type NestModule,
  type OnApplicationShutdown,
} from '@nestjs/common';
import { APP_INTERCEPTOR, ModulesContainer } from '@nestjs/core';

import { show } from './protocol/event.js';
import { getSSEToken } from './sse.decorators.js';
import { SSEError } from './sse.error.js';
import { prepareEventStreams } from './sse.event-stream.js';
import { Hubs } from './sse.hubs.js';
import { SSEInterceptor } from './sse.interceptor.js';
import { SSEMiddleware, startKeepingRequests, stopKeepingRequests } from './sse.middleware.js';
import {
  type ASYNC_OPTIONS_TYPE,
  ConfigurableModuleClass,
  hubToken,
  OWN_HUB,
  OWN_NAME,
  type SSEModuleOptions,
} from './sse.module-definition.js';
import { SSEService } from './sse.service.js';
import { SilentConnections } from './sse.silent-connections.js';

/** What there is once in an application, whatever its hubs. */
@Global()
@Module({
  providers: [SSEInterceptor, { provide: APP_INTERCEPTOR, useExisting: SSEInterceptor }, SilentConnections, Hubs],
  exports: [Hubs],
})
class SSERequestsModule implements NestModule {
  constructor(
    private readonly modules: ModulesContainer,
    private readonly hubs: Hubs,
    private readonly interceptor: SSEInterceptor,
  ) {}

  /** Called in applications that serve HTTP alone. */
  configure(consumer: MiddlewareConsumer): void {
    this.interceptor.moveToFront();
    prepareEventStreams(this.modules, this.hubs);
    consumer.apply(SSEMiddleware).forRoutes('{*path}');
  }
}

/** One hub, however many modules import `SSEModule`. */
@Module({ imports: [SSERequestsModule] })
class SSEHubModule extends ConfigurableModuleClass implements NestModule, OnApplicationShutdown {
  constructor(
    hubs: Hubs,
    @Inject(OWN_NAME) name: string,
    @Inject(OWN_HUB) private readonly hub: SSEService,
  ) {
    super();
    hubs.add(name, hub);
  }

  /** Called in applications that serve HTTP alone. */
  configure(): void {
    startKeepingRequests(this.hub);
  }

  onApplicationShutdown(): void {
    stopKeepingRequests(this.hub);
  }
}

/** Provides a hub that has a name, beside the one of `SSEModule`. */
class NamedSSEModule {}

/**
 * Provides `SSEService`. Call `forRoot()` once, in the root module. With `isGlobal: false`, modules that use the service
 * import the class itself: `imports: [SSEModule]`, which throws `INVALID_CONFIG` in an application without `forRoot()`.
 * More hubs have a `name`, and are injected with `@InjectSSE(name)`.
 *
 * @example
 * @Module({ imports: [SSEModule.forRoot({ maxClientsPerGroup: 5 })], controllers: [PricesController] })
 * export class AppModule {}
 */
@Module({
  providers: [
    { provide: SSEService, useFactory: configured, inject: [{ token: hubToken(undefined), optional: true }] },
  ],
  exports: [SSEService],
})
export class SSEModule {
  /** Throws `INVALID_CONFIG` when the application starts, if an option has a value that makes no sense. */
  static forRoot(config: SSEModuleOptions = {}): DynamicModule {
    return moduleOf(SSEHubModule.forRoot(config), config);
  }

  /**
   * The same, with a configuration from `useFactory`, `useClass` or `useExisting` (see `SSEConfigFactory`).
   *
   * @example
   * SSEModule.forRootAsync({
   *   inject: [ConfigService],
   *   useFactory: (config: ConfigService) => ({ maxClients: Number(config.getOrThrow('SSE_MAX_CLIENTS')) }),
   * });
   */
  static forRootAsync(options: typeof ASYNC_OPTIONS_TYPE): DynamicModule {
    return moduleOf(SSEHubModule.forRootAsync(options), options);
  }
}

function moduleOf(
  hub: DynamicModule,
  { isGlobal = true, name }: { isGlobal?: boolean; name?: string | undefined },
): DynamicModule {
  const imports = [{ ...hub, global: true }];
  if (name === undefined) return { module: SSEModule, global: isGlobal, imports };
  assertName(name);
  const provide = getSSEToken(name);
  const providers = [{ provide, useExisting: hubToken(name) }];
  return { module: NamedSSEModule, global: isGlobal, imports, providers, exports: [provide] };
}

function assertName(name: unknown): void {
  if (typeof name === 'string' && name !== '') return;
  throw new SSEError(
    'INVALID_CONFIG',
    `SSE option \`name\` is ${show(name)}; it has to be a string that is not empty.`,
  );
}

function configured(hub: SSEService | undefined): SSEService {
  if (hub) return hub;
  throw new SSEError(
    'INVALID_CONFIG',
    'SSEModule was imported, and forRoot() was not called. The root module has imports: [SSEModule.forRoot()], and then ' +
      'no other module needs to import it.',
  );
}
