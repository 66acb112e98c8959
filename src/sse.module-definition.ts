import { ConfigurableModuleBuilder } from '@nestjs/common';

import type { SSEConfig } from './sse.config.js';

/** `SSEConfig`, and whether other modules get `SSEService` without importing `SSEModule`: `true` unless said otherwise. */
export type SSEModuleOptions = SSEConfig & { isGlobal?: boolean };

/** For `forRootAsync({ useClass | useExisting })`. */
export interface SSEConfigFactory {
  createSSEConfig(): SSEConfig | Promise<SSEConfig>;
}

/** Injects the configuration as it was given. */
export const SSE_CONFIG = Symbol('SSE_CONFIG');

/** The one hub of the application. Every module can resolve it: which of them get `SSEService` is for `SSEModule` to say. */
export const HUB = Symbol('SSEHub');

export const { ConfigurableModuleClass, ASYNC_OPTIONS_TYPE } = new ConfigurableModuleBuilder<SSEConfig>({
  optionsInjectionToken: SSE_CONFIG,
})
  .setClassMethodName('forRoot')
  .setFactoryMethodName('createSSEConfig')
  .setExtras({ isGlobal: true }, (definition) => definition)
  .build();
