import {
  type DynamicModule,
  Module,
  type OnApplicationShutdown,
  type OnModuleInit,
  type Provider,
} from '@nestjs/common';
import { APP_INTERCEPTOR, ModulesContainer } from '@nestjs/core';

import { SSEError } from './hub/errors.js';
import type { SSEConfig } from './sse.config.js';
import { SSEInterceptor, startKeepingRequests, stopKeepingRequests } from './sse.interceptor.js';
import {
  type ASYNC_OPTIONS_TYPE,
  ConfigurableModuleClass,
  SSE_CONFIG,
  type SSEModuleOptions,
} from './sse.module-definition.js';
import { SSEService } from './sse.service.js';

const PROVIDERS: Provider[] = [
  { provide: SSEService, useFactory: (config: SSEConfig) => new SSEService(config), inject: [SSE_CONFIG] },
  { provide: APP_INTERCEPTOR, useClass: SSEInterceptor },
];

/**
 * Provides `SSEService`. Import it once, in the root module.
 *
 * @example
 * @Module({ imports: [SSEModule.forRoot({ maxClientsPerGroup: 5 })], controllers: [PricesController] })
 * export class AppModule {}
 */
@Module({})
export class SSEModule extends ConfigurableModuleClass implements OnModuleInit, OnApplicationShutdown {
  constructor(private readonly modules: ModulesContainer) {
    super();
  }

  /** Throws `INVALID_CONFIG` when the application starts, if an option has a value that makes no sense. */
  static override forRoot(config: SSEModuleOptions = {}): DynamicModule {
    return withProviders(super.forRoot(config));
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
  static override forRootAsync(options: typeof ASYNC_OPTIONS_TYPE): DynamicModule {
    return withProviders(super.forRootAsync(options));
  }

  onModuleInit(): void {
    const hubs = [...this.modules.values()].filter((module) => module.metatype === SSEModule);
    if (hubs.length < 2) return startKeepingRequests(this);
    throw new SSEError(
      'INVALID_CONFIG',
      `SSEModule is configured ${hubs.length} times in this application, which would make hubs that do not know each ` +
        'other. Call SSEModule.forRoot() once, in the root module; it is global.',
    );
  }

  onApplicationShutdown(): void {
    stopKeepingRequests(this);
  }
}

function withProviders(module: DynamicModule): DynamicModule {
  return {
    ...module,
    providers: [...(module.providers ?? []), ...PROVIDERS],
    exports: [...(module.exports ?? []), SSEService, SSE_CONFIG],
  };
}
