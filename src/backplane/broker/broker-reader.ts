import type { Position } from '../../protocol/cursor.js';
import { BackplaneError } from '../backplane-error.js';
import type { LogListener } from '../backplane.js';
import { BackOff } from './back-off.js';
import { Progress } from './progress.js';
import { Reachability, type ReachabilityListener } from './reachability.js';
import type { HubReader } from './readers.js';

/** Milliseconds between looks at where the log stands: a broker that has lost it disconnects nobody. */
export const CHECK_INTERVAL = 1_000;

/** The log is not the one that was read so far. */
export class AnotherEpoch extends Error {}

/** Entries that this reader has handed out are not in the log. */
export class LostEntries extends Error {}

/** Reading fails until an operator allows something: waiting will not mend it. */
export class MissingRight extends BackplaneError {}

/** One broker's side of reading. It says what it reads to the `Progress` that it was made with. */
export interface LogSource<Connection> {
  /** Answers with a connection that works, or rejects within some seconds. */
  connect(): Promise<Connection>;
  /**
   * Checks whether the log is still the one of this `Progress`, and reads on from there, over this connection, until it
   * is stopped or something is the matter. Rejects with `AnotherEpoch` or `LostEntries` where the connection is not to
   * blame; it is then called again with the same one.
   */
  read(connection: Connection): Promise<void>;
  /** Ends this epoch of the log, because entries that were handed out in it are gone. */
  renew(connection: Connection, epoch: string): Promise<void>;
  /** Nothing is read over this connection any more: it has failed, or the reader is closed. */
  release(connection: Connection): void;
  /** Ends what is being read: the reader is closed. */
  stop(): void;
}

/**
 * Reads the log in a broker for one hub, whatever happens to the broker: opens a connection, reads until that fails, and
 * waits before it tries again. What is read goes on behind the last entry that the hub has, on whichever connection,
 * unless the log turns out to be another one, or to have lost entries: then its next epoch is read from the beginning.
 */
export class BrokerReader<Connection> implements HubReader {
  readonly #source: LogSource<Connection>;
  readonly #progress: Progress;
  readonly #reachability: Reachability;
  readonly #backOff = new BackOff();

  constructor(
    broker: string,
    hub: LogListener,
    private readonly listener: ReachabilityListener,
    makeSource: (progress: Progress) => LogSource<Connection>,
  ) {
    this.#reachability = new Reachability(broker, hub, listener);
    this.#progress = new Progress(hub, () => {
      this.#backOff.reset();
      this.#reachability.succeeded();
    });
    this.#source = makeSource(this.#progress);
  }

  get up(): boolean {
    return this.#reachability.up;
  }

  get lag(): number | undefined {
    return this.#progress.lag;
  }

  get position(): Position | undefined {
    return this.#progress.last;
  }

  async run(): Promise<void> {
    while (!this.#progress.isClosed) {
      let connection: Connection | undefined;
      try {
        connection = await this.#source.connect();
        await this.#readOver(connection);
      } catch (error) {
        if (error instanceof MissingRight && this.listener.refuse(error)) return;
        if (!this.#progress.isClosed) this.#reachability.failed(error);
      } finally {
        if (connection !== undefined) this.#source.release(connection);
      }
      if (!this.#progress.isClosed) await this.#backOff.wait();
    }
  }

  close(): void {
    this.#progress.close();
    this.#reachability.lost();
    this.#source.stop();
    this.#backOff.wake();
  }

  /** Reads one epoch after another, until the connection fails. */
  async #readOver(connection: Connection): Promise<void> {
    while (!this.#progress.isClosed) {
      try {
        await this.#source.read(connection);
      } catch (error) {
        if (error instanceof LostEntries) await this.#source.renew(connection, this.#progress.epoch!);
        else if (!(error instanceof AnotherEpoch)) throw error;
        this.#reachability.lost();
        this.#progress.endEpoch(error.message);
        await this.#backOff.wait();
      }
    }
  }
}
