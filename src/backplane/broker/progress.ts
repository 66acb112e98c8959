import type { Position } from '../../protocol/cursor.js';
import type { Entry } from '../../protocol/entry.js';
import type { LogEntry, LogListener } from '../backplane.js';
import { placeIn } from './batch.js';

/**
 * How far one hub has been told of the log, over however many connections: in which epoch, up to which entry, and whether
 * it has the retained window. All that a reader tells its hub goes through here, and once it is closed nothing does.
 */
export class Progress {
  #epoch: string | undefined;
  #last: Position | undefined;
  /** When the log's last entry was added, when that was last asked for. */
  #end: number | undefined;
  #isReady = false;
  #isClosed = false;

  constructor(
    private readonly hub: LogListener,
    private readonly onCaughtUp: () => void,
  ) {}

  /** The epoch that is being read; `undefined` until one is known, and again when it is over. */
  get epoch(): string | undefined {
    return this.#epoch;
  }

  /** The last entry that was read, whether or not it could be handed out; `undefined` until `begin` was reported. */
  get last(): Position | undefined {
    return this.#last;
  }

  /** Milliseconds behind the end of the log, as that was when it was last asked for. */
  get lag(): number | undefined {
    if (this.#end === undefined) return undefined;
    const read = this.#last?.ms ?? 0;
    // A log that was empty until now has nothing that one could be behind of.
    return read === 0 ? 0 : Math.max(0, this.#end - read);
  }

  /** The log ends with an entry of this time. */
  endsAt(ms: number): void {
    this.#end = ms;
  }

  /** The hub has the retained window. */
  get isReady(): boolean {
    return this.#isReady;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** An epoch is read from what it retains on. */
  startOver(epoch: string): void {
    this.#epoch = epoch;
    this.#last = undefined;
    this.#isReady = false;
  }

  /** The hub is told that what it knew is void: what comes from now on follows this place. */
  begin(from: Position): void {
    this.#last = from;
    if (!this.#isClosed) this.hub.begin(this.#epoch!, from);
  }

  /** Up to here there is nothing to hand out: what comes next follows this place. */
  skipTo(position: Position): void {
    this.#last = position;
  }

  /**
   * The entries of a batch that is read next, as they are handed to the hub. `last` is the place of the last one.
   * `previous` is another than what was read before where entries are missing.
   */
  advance(last: Position, entries: readonly (Entry | undefined)[], previous = this.#last!): LogEntry[] {
    const epoch = this.#epoch!;
    const logEntries: LogEntry[] = [];
    let before = previous;
    for (const [i, entry] of entries.entries()) {
      const position = placeIn(entries.length, last, i);
      logEntries.push({ epoch, position, previous: before, entry });
      before = position;
    }
    this.#last = last;
    return logEntries;
  }

  deliver(entries: readonly LogEntry[]): void {
    if (!this.#isClosed && entries.length > 0) this.hub.deliver(entries);
  }

  skipped(count: number): void {
    if (!this.#isClosed && count > 0) this.hub.skipped(count);
  }

  /** Everything has been read that was there when the end of the log was last asked for. */
  caughtUp(): void {
    if (this.#isClosed) return;
    if (!this.#isReady) {
      this.#isReady = true;
      this.hub.ready();
    }
    this.onCaughtUp();
  }

  /** The epoch is over, for a reason that operators are told if the hub has begun with it. */
  endEpoch(reason: string): void {
    if (this.#last && !this.#isClosed) this.hub.warn(`${reason} Clients are reset.`);
    this.#epoch = undefined;
    this.#last = undefined;
    this.#isReady = false;
  }

  close(): void {
    this.#isClosed = true;
  }
}
