import {
  type Backplane,
  type Entry,
  type LogEntry,
  type LogReader,
  MemoryBackplane,
  type Position,
} from 'nestjs-sse-hub';

/** A node's view of a shared memory log that can be made to read late. */
export class LaggingBackplane implements Backplane {
  readonly kind = 'memory';
  readonly status = 'up';
  #reader: LogReader | undefined;
  #late: LogEntry[] | undefined;
  #relay: LogReader | undefined;

  constructor(private readonly log: MemoryBackplane) {}

  start(reader: LogReader): Promise<void> {
    this.#reader = reader;
    this.#relay = {
      begin: (epoch, from) => reader.begin(epoch, from),
      ready: () => reader.ready(),
      deliver: (entries) => {
        if (this.#late) this.#late.push(...entries);
        else reader.deliver(entries);
      },
    };
    return this.log.start(this.#relay);
  }

  append(entry: Entry): Promise<Position> {
    return this.log.append(entry);
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

  /** Reads what has come meanwhile. */
  release(): void {
    const late = this.#late ?? [];
    this.#late = undefined;
    this.#reader?.deliver(late);
  }
}
