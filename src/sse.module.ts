import {
  type DynamicModule,
  Inject,
  type MiddlewareConsumer,
  Module,
  type NestModule,
  type OnApplicationShutdown,
  type OnModuleInit,
} from '@nestjs/common';
import { APP_INTERCEPTOR, ModulesContainer } from '@nestjs/core';

import type { SSEConfig } from './sse.config.js';
import { SSEError } from './sse.error.js';
import { prepareEventStreams } from './sse.event-stream.js';
import { SSEInterceptor } from './sse.interceptor.js';
import { SSEMiddleware, startKeepingRequests, stopKeepingRequests } from './sse.middleware.js';
import {
  type ASYNC_OPTIONS_TYPE,
  ConfigurableModuleClass,
  HUB,
  SSE_CONFIG,
  type SSEModuleOptions,
} from './sse.module-definition.js';
import { SSEService } from './sse.service.js';
import { SilentConnections } from './sse.silent-connections.js';

/** What there is once in an application, however many modules import `SSEModule`. */
@Module({
  providers: [
    { provide: HUB, useFactory: (config: SSEConfig) => new SSEService(config), inject: [SSE_CONFIG] },
    SSEInterceptor,
    { provide: APP_INTERCEPTOR, useExisting: SSEInterceptor },
    SilentConnections,
  ],
  exports: [HUB, SSE_CONFIG],
})
class SSEHubModule extends ConfigurableModuleClass implements NestModule, OnModuleInit, OnApplicationShutdown {
  constructor(
    private readonly modules: ModulesContainer,
    @Inject(HUB) private readonly hub: SSEService,
    private readonly interceptor: SSEInterceptor,
  ) {
    super();
  }

  /** Called in applications that serve HTTP alone. */
  configure(consumer: MiddlewareConsumer): void {
    startKeepingRequests(this.hub);
    this.interceptor.moveToFront();
    prepareEventStreams(this.modules);
    consumer.apply(SSEMiddleware).forRoutes('{*path}');
  }

  onModuleInit(): void {
    const hubs = [...this.modules.values()].filter((module) => module.metatype === SSEHubModule);
    if (hubs.length < 2) return;
    throw new SSEError(
      'INVALID_CONFIG',
      `SSEModule is configured ${hubs.length} times in this application, which would make hubs that do not know each ` +
        'other. Call SSEModule.forRoot() once, in the root module; it is global. Where it is not (isGlobal: false), other ' +
        'modules have imports: [SSEModule].',
    );
  }

  onApplicationShutdown(): void {
    stopKeepingRequests(this.hub);
  }
}

/**
 * Provides `SSEService`. Call `forRoot()` once, in the root module. With `isGlobal: false`, modules that use the service
 * import the class itself: `imports: [SSEModule]`, which throws `INVALID_CONFIG` in an application without `forRoot()`.
 *
 * @example
 * @Module({ imports: [SSEModule.forRoot({ maxClientsPerGroup: 5 })], controllers: [PricesController] })
 * export class AppModule {}
 */
@Module({
  providers: [{ provide: SSEService, useFactory: configured, inject: [{ token: HUB, optional: true }] }],
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

function moduleOf(hub: DynamicModule, { isGlobal = true }: { isGlobal?: boolean }): DynamicModule {
  return { module: SSEModule, global: isGlobal, imports: [{ ...hub, global: true }] };
}

function configured(hub: SSEService | undefined): SSEService {
  if (hub) return hub;
  throw new SSEError(
    'INVALID_CONFIG',
    'SSEModule was imported, and forRoot() was not called. The root module has imports: [SSEModule.forRoot()], and then ' +
      'no other module needs to import it.',
  );
}
