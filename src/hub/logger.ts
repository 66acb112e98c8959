import { show } from '../protocol/event.js';

/** Where the hub writes; Nest's Logger fits. */
export interface SSELogger {
  log(message: string): void;
  warn(message: string): void;
  error(message: string): void;
}

/** An error as text, whatever was thrown. */
export function describe(error: unknown): string {
  return error instanceof Error ? `${error.name}: ${error.message}` : show(error);
}
