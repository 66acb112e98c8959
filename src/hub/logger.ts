/** Where the hub writes; Nest's Logger fits. */
export interface SSELogger {
  log(message: string): void;
  warn(message: string): void;
  error(message: string): void;
}
