import type { LogListener } from '../../src/backplane/backplane.js';
import { ORIGIN, type Position } from '../../src/protocol/cursor.js';
import type { Entry } from '../../src/protocol/entry.js';
import { TestLog } from './test-hub.js';

/** A log whose window is delivered by the test. */
export class WindowLog extends TestLog {
  reader: LogListener | undefined;
  #previous: Position = ORIGIN;

  override start(reader: LogListener): Promise<void> {
    this.reader = reader;
    return Promise.resolve();
  }

  begin(epoch: string): void {
    this.#previous = ORIGIN;
    this.reader!.begin(epoch, ORIGIN);
  }

  bring(epoch: string, ms: number, entry: Entry): void {
    const position = { ms, seq: this.#previous.seq + 1 };
    this.reader!.deliver([{ epoch, position, previous: this.#previous, entry }]);
    this.#previous = position;
  }
}
