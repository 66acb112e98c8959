import type { LoggerService } from '@nestjs/common';

/** What the application logged, by level. To be used with `app.useLogger()`. */
export class RecordedLogger implements LoggerService {
  readonly lines: { readonly level: string; readonly text: string; readonly context: string }[] = [];

  log = this.#level('log');
  warn = this.#level('warn');
  error = this.#level('error');
  debug = this.#level('debug');
  verbose = this.#level('verbose');
  fatal = this.#level('fatal');

  /** What the hub logged at this level. */
  ofHub(level: string): string[] {
    return this.lines.filter((line) => line.level === level && line.context === 'SSEService').map(({ text }) => text);
  }

  #level(level: string): (message: unknown, ...rest: unknown[]) => void {
    return (message, ...rest) => {
      this.lines.push({
        level,
        text: String(message),
        context: typeof rest.at(-1) === 'string' ? (rest.at(-1) as string) : '',
      });
    };
  }
}
