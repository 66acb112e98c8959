import { randomBytes, randomUUID } from 'node:crypto';
import { type FileHandle, link, open, unlink, writeFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import {
  type Backplane,
  BackplaneError,
  type Cursor,
  type Entry,
  type LogEntry,
  type LogListener,
  type Patience,
  type Position,
} from 'nestjs-sse-hub';

/** Milliseconds between two looks at the file. */
const INTERVAL = 20;
/** Milliseconds that `publish` waits. */
const PUBLISH_TIMEOUT = 5_000;
const MAX_PENDING = 10_000;

/** A line of the file. The first one has the epoch, the others an entry each. */
interface Line {
  readonly epoch?: string;
  /** Names the append, so that its publisher knows it again. */
  readonly uid?: string;
  readonly ms?: number;
  readonly entry?: Entry;
}

interface Append {
  readonly stored: (cursor: Cursor) => void;
  readonly failed: (error: BackplaneError) => void;
}

/** The log in a file, for the processes of one machine. The place of an entry is where its line begins. */
export class FileBackplane implements Backplane {
  readonly kind = 'file';
  readonly #followers = new Map<LogListener, Follower>();
  /** What has not been read back yet, by `uid`. */
  readonly #pending = new Map<string, Append>();
  #file: Promise<FileHandle> | undefined;
  #writing = Promise.resolve();

  constructor(readonly path: string) {}

  get status(): 'up' | 'down' {
    const followers = [...this.#followers.values()];
    return followers.length > 0 && followers.every(({ ready }) => ready) ? 'up' : 'down';
  }

  async start(hub: LogListener): Promise<void> {
    if (this.#followers.has(hub)) return;
    const follower = new Follower(hub, (uid, cursor) => this.#settle(uid, ({ stored }) => stored(cursor)));
    this.#followers.set(hub, follower);
    await follower.follow(await this.#open());
  }

  append(entry: Entry, patience: Patience): Promise<Cursor> {
    if (this.#pending.size >= MAX_PENDING) {
      return Promise.reject(new BackplaneError(`${MAX_PENDING} entries wait for the file already`, 'no'));
    }
    return new Promise((resolve, reject) => {
      const uid = randomUUID();
      const fail = (error: BackplaneError): void => this.#settle(uid, ({ failed }) => failed(error));
      this.#pending.set(uid, { stored: resolve, failed: reject });
      if (patience === 'timeout') {
        const late = new BackplaneError('The file did not have it in time', 'unknown');
        setTimeout(fail, PUBLISH_TIMEOUT, late).unref();
      }
      // One after the other: that is the order in which they were appended.
      this.#writing = this.#writing.then(() => this.#write({ uid, ms: Date.now(), entry })).catch(fail);
    });
  }

  async end(): Promise<Position> {
    const [follower] = this.#followers.values();
    const { size } = await (await this.#open()).stat();
    while (follower && !follower.over && follower.readTo < size) await delay(INTERVAL);
    if (!follower || follower.over) throw new BackplaneError('Nobody reads the file', 'no');
    return follower.last;
  }

  async close(hub: LogListener): Promise<void> {
    const follower = this.#followers.get(hub);
    if (follower && this.#followers.size === 1) {
      // What is on its way is read back first, where that does not fail or take long.
      const readBack = this.#writing.then(() => this.end()).catch(() => {});
      await Promise.race([readBack, aSecond()]);
    }
    await follower?.stop();
    if (!this.#followers.delete(hub) || this.#followers.size > 0) return;
    for (const uid of [...this.#pending.keys()]) {
      this.#settle(uid, ({ failed }) => failed(new BackplaneError('The file was closed', 'unknown')));
    }
    const file = await this.#file;
    this.#file = undefined;
    await file?.close();
  }

  #settle(uid: string, act: (append: Append) => void): void {
    const append = this.#pending.get(uid);
    this.#pending.delete(uid);
    if (append) act(append);
  }

  /** Appends in one write, which other processes cannot get into. Begins a line of its own, whatever is before it. */
  async #write(line: Line): Promise<void> {
    const bytes = Buffer.from(`\n${JSON.stringify(line)}\n`);
    const file = await this.#open();
    const { bytesWritten } = await file.write(bytes).catch((cause: unknown) => {
      throw new BackplaneError('The file cannot be written', 'unknown', { cause });
    });
    // Nobody can read half a line.
    if (bytesWritten < bytes.length) throw new BackplaneError('The disk is full', 'no');
  }

  #open(): Promise<FileHandle> {
    return (this.#file ??= this.#create().then(() => open(this.path, 'a+')));
  }

  /** The file appears with its epoch in it, or is there already: nobody ever sees it empty. */
  async #create(): Promise<void> {
    const draft = `${this.path}.${randomUUID()}`;
    const first: Line = { epoch: randomBytes(8).toString('hex') };
    await writeFile(draft, `${JSON.stringify(first)}\n`);
    try {
      await link(draft, this.path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    } finally {
      await unlink(draft);
    }
  }
}

/** Reads the file for one hub: first what is there, then what is added, in one way. */
class Follower {
  ready = false;
  over = false;
  last: Position = { ms: 0, seq: 0 };
  #epoch = '';
  /** Bytes that have been read. */
  readTo = 0;
  /** The beginning of a line whose end has not been read yet. */
  #rest: Buffer = Buffer.alloc(0);
  #following: Promise<void> | undefined;

  constructor(
    private readonly hub: LogListener,
    private readonly onRead: (uid: string, cursor: Cursor) => void,
  ) {}

  /** Settles when the hub has what the file had. */
  async follow(file: FileHandle): Promise<void> {
    await this.#readOn(file);
    if (this.over) return;
    this.ready = true;
    this.hub.ready();
    this.#following = this.#goOn(file);
  }

  async stop(): Promise<void> {
    this.over = true;
    await this.#following;
  }

  async #goOn(file: FileHandle): Promise<void> {
    while (!this.over) {
      try {
        await this.#readOn(file);
        this.ready = true;
      } catch (error) {
        if (this.ready) this.hub.warn(`The log cannot be read, which is tried again: ${String(error)}`);
        this.ready = false;
      }
      await delay(INTERVAL, undefined, { ref: false });
    }
  }

  async #readOn(file: FileHandle): Promise<void> {
    while (!this.over) {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(65_536), 0, 65_536, this.readTo);
      if (bytesRead === 0 || this.over) return;
      this.readTo += bytesRead;
      this.#take(Buffer.concat([this.#rest, buffer.subarray(0, bytesRead)]));
    }
  }

  #take(bytes: Buffer): void {
    const entries: LogEntry[] = [];
    const start = this.readTo - bytes.length;
    let at = 0;
    for (let end = bytes.indexOf('\n'); end >= 0; end = bytes.indexOf('\n', at)) {
      if (end > at) this.#takeLine(bytes.toString('utf8', at, end), start + at, entries);
      at = end + 1;
    }
    this.#rest = bytes.subarray(at);
    if (entries.length > 0) this.hub.deliver(entries);
  }

  #takeLine(text: string, seq: number, entries: LogEntry[]): void {
    const { epoch, uid, ms, entry } = parse(text);
    if (seq === 0) {
      this.#epoch = epoch ?? '';
      this.hub.begin(this.#epoch, this.last);
    } else if (uid === undefined || ms === undefined || entry === undefined) {
      // Half a line, or what somebody else has written: it has no place in the log.
      this.hub.skipped(1);
    } else {
      const previous = this.last;
      // Clocks of processes differ, and step back. Positions only grow.
      this.last = { ms: Math.max(ms, previous.ms), seq };
      entries.push({ epoch: this.#epoch, position: this.last, previous, entry });
      this.onRead(uid, { epoch: this.#epoch, position: this.last });
    }
  }
}

function aSecond(): Promise<void> {
  return delay(1_000, undefined, { ref: false });
}

function parse(text: string): Line {
  try {
    return (JSON.parse(text) ?? {}) as Line;
  } catch {
    return {};
  }
}
