import {
  type Backplane,
  BackplaneError,
  type Cursor,
  type Entry,
  type LogEntry,
  type LogListener,
  MemoryBackplane,
  type Patience,
  type Position,
} from 'nestjs-sse-hub';

/** A node's view of a shared log in memory that can be made to read late. */
export class LaggingBackplane implements Backplane {
  readonly kind = 'memory';
  readonly status = 'up';
  #reader: LogListener | undefined;
  #late: LogEntry[] | undefined;
  #relay: LogListener | undefined;

  constructor(private readonly log: Backplane) {}

  start(reader: LogListener): Promise<void> {
    this.#reader = reader;
    this.#relay = {
      begin: (...life) => reader.begin(...life),
      ready: () => reader.ready(),
      skipped: (count) => reader.skipped(count),
      warn: (message) => reader.warn(message),
      deliver: (entries) => {
        if (this.#late) this.#late.push(...entries);
        else reader.deliver(entries);
      },
    };
    return this.log.start(this.#relay);
  }

  append(entry: Entry, patience: Patience): Promise<Cursor> {
    return this.log.append(entry, patience);
  }

  end(): Promise<Position> {
    return this.log.end();
  }

  close(): Promise<void> {
    return this.#relay ? this.log.close(this.#relay) : Promise.resolve();
  }

  /** From now on nothing is read. */
  hold(): void {
    this.#late ??= [];
  }

  /** Reads so many of what has come meanwhile, and no more for now. */
  readSome(count: number): void {
    this.#reader?.deliver(this.#late?.splice(0, count) ?? []);
  }

  /** Reads what has come meanwhile. */
  release(): void {
    const late = this.#late ?? [];
    this.#late = undefined;
    this.#reader?.deliver(late);
  }
}

/** A memory log whose broker is away at first: nothing is known of it, and nothing can be appended, until it arrives. */
export class LateBackplane implements Backplane {
  readonly kind = 'late';
  status: 'up' | 'down' = 'down';
  readonly #readers: LogListener[] = [];

  constructor(private readonly log: MemoryBackplane) {}

  start(reader: LogListener): Promise<void> {
    this.#readers.push(reader);
    return Promise.resolve();
  }

  async arrive(): Promise<void> {
    this.status = 'up';
    for (const reader of this.#readers) await this.log.start(reader);
  }

  append(entry: Entry): Promise<Cursor> {
    if (this.status === 'up') return this.log.append(entry);
    return Promise.reject(new BackplaneError('The broker is away.', 'no'));
  }

  end(): Promise<Position> {
    return this.log.end();
  }

  async close(reader: LogListener): Promise<void> {
    await this.log.close(reader);
  }
}
