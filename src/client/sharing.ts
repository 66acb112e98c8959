import type { Batch, Line, Listener } from './line.js';
import { type Channel, page } from './page.js';

/** What the tab that has the connection tells the others: what came, or what became of the connection. */
type Told =
  | (Batch & { readonly from: string })
  | { readonly from: string; readonly opened: true }
  | { readonly from: string; readonly failed: [message: string, code: number | undefined, wait: number] };

/** A tab asks where the one with the connection is. */
const WHERE = 0;

/**
 * Whether what is at the first cursor is had by whoever is at the second. Only cursors of one life of the log can be compared, and
 * not one whose `initial` events are due: `1~<epoch>~<ms>-<sequence>` (docs/reference/wire-format.md).
 */
export function isAtOrBefore(a: string, b: string): boolean {
  const [first, second] = [a, b].map((cursor) => /^1~(.+)~(\w+)-(\w+)$/.exec(cursor));
  if (!first || !second || first[1] !== second[1]) return false;
  const [ms, seq] = [2, 3].map((i) => Number.parseInt(first[i]!, 36) - Number.parseInt(second[i]!, 36));
  return ms! < 0 || (ms === 0 && seq! <= 0);
}

/**
 * One line for all tabs. The tab that holds the lock has it and tells what comes; the others hear, each with a cursor of its own.
 * What a tab is told says behind which cursor it comes: a tab that is not there has a gap, and gets what is in it over a line of
 * its own, until that has brought it to where the others are. So it is when a tab comes late, and when the tab with
 * the line goes: nothing is lost between two of them, and what was had already is passed over.
 */
export class Sharing implements Listener {
  readonly #name: string;
  readonly #line: Line;
  readonly #listener: Listener;
  #channel: Channel | undefined;
  #waiting: AbortController | undefined;
  /** Gives the lock back, while it is held. */
  #release: (() => void) | undefined;
  #asked = false;
  /** While the line is open. */
  #origin = '';
  /** What has come and was not told yet, behind this cursor. */
  #from = '';
  #untold: Batch['events'] = [];

  constructor(name: string, line: Line, listener: Listener) {
    this.#name = name;
    this.#line = line;
    this.#listener = listener;
  }

  start(): void {
    if (this.#channel) return;
    const channel = (this.#channel = new (page().BroadcastChannel!)(this.#name));
    channel.addEventListener('message', ({ data }) => this.#hear(data as Told | typeof WHERE));
    this.#line.start();
    void this.#lead();
  }

  stop(): void {
    this.#channel?.close();
    this.#channel = undefined;
    this.#line.stop();
    this.#leave();
  }

  opened(): void {
    this.#listener.opened();
    this.#tell({ from: this.#from, opened: true });
  }

  received(batch: Batch): void {
    const { events, to, origin } = batch;
    this.#origin = origin;
    if (this.#release) {
      // An id of the application's is no place to be compared: its cursor follows, and the two are told together.
      this.#untold = [...this.#untold, ...events];
      if (to.startsWith('1~') || !this.#from.startsWith('1~')) {
        this.#tell({ from: this.#from, events: this.#untold, to, origin });
        this.#from = to;
        this.#untold = [];
      }
    }
    this.#listener.received(batch);
    this.#ask();
  }

  failed(message: string, code?: number, wait?: number): void {
    this.#untold = [];
    this.#origin = '';
    this.#from = this.#line.lastEventId;
    if (wait === undefined) this.stop();
    else this.#tell({ from: this.#from, failed: [message, code, wait] });
    this.#listener.failed(message, code, wait);
  }

  /** The tab that should have told something has been put to sleep, or hangs: this one takes its place. */
  unheard(): void {
    this.#leave();
    this.#line.start();
    void this.#lead({ steal: true });
  }

  async #lead(options?: { steal: true }): Promise<void> {
    const waiting = (this.#waiting = new AbortController());
    const { signal } = waiting;
    const isOver = (): boolean => this.#waiting !== waiting;
    try {
      await page().navigator!.locks!.request(this.#name, options ?? { signal }, async () => {
        if (isOver()) return;
        await new Promise<void>((resolve) => {
          this.#release = resolve;
          this.#from = this.#line.lastEventId;
          this.#untold = [];
          this.#line.start();
          this.#answer();
        });
      });
    } catch {
      // No more wanted, or not allowed here, which leaves this tab alone with its line. Or another tab has taken it.
      if (isOver() || !this.#release) return;
      this.#release = undefined;
      void this.#lead();
    }
  }

  #leave(): void {
    const [waiting, release] = [this.#waiting, this.#release];
    this.#waiting = this.#release = undefined;
    waiting?.abort();
    release?.();
  }

  #tell(told: Told): void {
    if (this.#release) this.#channel?.postMessage(told);
  }

  #answer(): void {
    this.#tell({ from: this.#from, events: [], to: this.#from, origin: this.#origin });
  }

  #ask(): void {
    if (this.#release || this.#asked || !this.#line.active) return;
    this.#asked = true;
    this.#channel?.postMessage(WHERE);
  }

  #hear(told: Told | typeof WHERE): void {
    if (told === WHERE) return this.#answer();
    this.#asked = false;
    if (this.#release) return;
    const line = this.#line;
    const at = line.lastEventId;
    const isThere = isAtOrBefore(told.from, at);
    if (line.active) {
      // What is between where they are and where this is, is had: it goes on with them, once their line is open.
      if (!('to' in told) || !told.origin || (!isThere && !isAtOrBefore(told.to, at))) return;
      line.stop();
    } else if (!isThere && told.from !== at) {
      line.start();
      return;
    }
    line.hear('failed' in told ? told.failed[2] : 0);
    if ('failed' in told) this.#listener.failed(...told.failed);
    else {
      if ('opened' in told || told.origin) this.#listener.opened();
      if ('to' in told) this.#pass(told, at);
    }
  }

  /** Passes on what is behind this cursor. */
  #pass({ from, events, to, origin }: Batch & { from: string }, at: string): void {
    const had = from === at ? 0 : events.findLastIndex(([, , id]) => isAtOrBefore(id, at)) + 1;
    this.#listener.received({ events: events.slice(had), to: isAtOrBefore(to, at) ? at : to, origin });
  }
}
