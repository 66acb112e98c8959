import { ConfigurableModuleBuilder, type Provider } from '@nestjs/common';

import type { SSEConfig } from './sse.config.js';
import { SSEService } from './sse.service.js';

/** What there is to say of a hub beside its configuration. */
interface HubOptions {
  /**
   * Whether other modules get the service without importing `SSEModule`.
   *
   * @defaultValue `true`
   */
  isGlobal?: boolean | undefined;
  /**
   * Makes it one of several hubs in the application, each with its own log, limits and shutdown. It is injected with
   * `@InjectSSE(name)`.
   *
   * @defaultValue none: the hub that `SSEService` injects
   */
  name?: string | undefined;
}

/** `SSEConfig`, and what there is to say of the hub beside it. */
export type SSEModuleOptions = SSEConfig & HubOptions;

/** For `forRootAsync({ useClass | useExisting })`. */
export interface SSEConfigFactory {
  createSSEConfig(): SSEConfig | Promise<SSEConfig>;
}

/** Injects the configuration as it was given. */
export const SSE_CONFIG = Symbol('SSE_CONFIG');

/** The hub of a module, and its name, within that module. */
export const OWN_HUB = Symbol('SSEHub');
export const OWN_NAME = Symbol('SSEHubName');

/** Every module can resolve a hub by this: which of them get the service is for `SSEModule` to say. */
export function hubToken(name: string | undefined): string {
  return `SSEHub:${name ?? ''}`;
}

export const { ConfigurableModuleClass, ASYNC_OPTIONS_TYPE } = new ConfigurableModuleBuilder<SSEConfig>({
  optionsInjectionToken: SSE_CONFIG,
})
  .setClassMethodName('forRoot')
  .setFactoryMethodName('createSSEConfig')
  .setExtras<HubOptions>({ isGlobal: true, name: undefined }, (definition, { name }) => {
    const hub = hubToken(name);
    const make = (config: SSEConfig): SSEService => new SSEService(config, { name });
    const own: Provider[] = [
      { provide: hub, useFactory: make, inject: [SSE_CONFIG] },
      { provide: OWN_HUB, useExisting: hub },
      { provide: OWN_NAME, useValue: name ?? '' },
    ];
    const shared = name === undefined ? [hub, SSE_CONFIG] : [hub];
    return { ...definition, providers: [...(definition.providers ?? []), ...own], exports: shared };
  })
  .build();
