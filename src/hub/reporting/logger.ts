import { show } from '../../protocol/event.js';

/** Where the hub writes; Nest's Logger fits. */
export interface SSELogger {
  log(message: string): void;
  warn(message: string): void;
  error(message: string, stack?: string): void;
}

/** The same, but one that throws, because its disk is full or its stream closed, stops nothing. There is nobody to tell. */
export function guarded(logger: SSELogger): SSELogger {
  const guard = (level: keyof SSELogger) => {
    return (...args: [message: string, stack?: string]): void => {
      try {
        logger[level](...args);
      } catch {
        // What is logged is not worth what it is about.
      }
    };
  };
  return { log: guard('log'), warn: guard('warn'), error: guard('error') };
}

/** Where an error comes from, for what the application's own code has thrown: its message alone does not say that. */
export function stackOf(error: unknown): string | undefined {
  return error instanceof Error ? error.stack : undefined;
}

/** An error as text, whatever was thrown. */
export function describe(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : show(error);
}
