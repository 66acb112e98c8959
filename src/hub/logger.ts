import { show } from '../protocol/event.js';

/** Where the hub writes; Nest's Logger fits. */
export interface SSELogger {
  log(message: string): void;
  warn(message: string): void;
  error(message: string): void;
}

/** The same, but one that throws, because its disk is full or its stream closed, stops nothing. There is nobody to tell. */
export function guarded(logger: SSELogger): SSELogger {
  const guard = (level: keyof SSELogger) => {
    return (message: string): void => {
      try {
        logger[level](message);
      } catch {
        // What is logged is not worth what it is about.
      }
    };
  };
  return { log: guard('log'), warn: guard('warn'), error: guard('error') };
}

/** An error as text, whatever was thrown. */
export function describe(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : show(error);
}
