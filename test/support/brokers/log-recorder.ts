import type { EventEntry, LogEntry, LogListener, Position } from 'nestjs-sse-hub';

/** Writes down what a backplane hands over. */
export class LogRecorder implements LogListener {
  /** Every life of the log that has begun. */
  readonly epochs: string[] = [];
  /** Of the present one. */
  entries: LogEntry[] = [];
  readonly warnings: string[] = [];
  skippedCount = 0;

  get data(): string[] {
    return this.entries.flatMap(({ entry }) => (entry ? [(entry as EventEntry).data] : []));
  }

  begin(epoch: string, _from: Position): void {
    this.epochs.push(epoch);
    this.entries = [];
  }

  deliver(entries: readonly LogEntry[]): void {
    this.entries.push(...entries);
  }

  ready(): void {}

  skipped(count: number): void {
    this.skippedCount += count;
  }

  warn(message: string): void {
    this.warnings.push(message);
  }
}
