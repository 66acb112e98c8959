/** How connections to one broker are opened and closed. */
export interface Connector<Connection> {
  /** Answers with a connection that works, or rejects within some seconds. */
  open(): Promise<Connection>;
  isAlive(connection: Connection): boolean;
  close(connection: Connection): void;
}

/**
 * One connection to a broker, shared by all who need it and opened when somebody does. One that has broken is never
 * mended: the next is another, and whoever has sent something on the old one knows that it may have to be sent again.
 */
export class SharedConnection<Connection> {
  #current: Connection | undefined;
  #opening: Promise<Connection> | undefined;
  /** Counts connections, to tell whether one that opens late is still wanted. */
  #generation = 0;

  constructor(
    private readonly connector: Connector<Connection>,
    private readonly onOpen: (connection: Connection) => void = () => {},
  ) {}

  /** The connection, if there is one that works. */
  get current(): Connection | undefined {
    return this.#current !== undefined && this.connector.isAlive(this.#current) ? this.#current : undefined;
  }

  /** Answers with a connection that works, or rejects within some seconds. */
  open(): Promise<Connection> {
    const { current } = this;
    if (current !== undefined) return Promise.resolve(current);
    this.#opening ??= this.#open();
    return this.#opening;
  }

  /** Closes the connection, also one that is just being opened. Whoever needs one afterwards gets another. */
  drop(): void {
    this.#generation++;
    const connection = this.#current;
    this.#current = undefined;
    this.#opening = undefined;
    if (connection !== undefined) this.connector.close(connection);
  }

  async #open(): Promise<Connection> {
    this.drop();
    const generation = this.#generation;
    try {
      const connection = await this.connector.open();
      if (generation !== this.#generation) {
        this.connector.close(connection);
        throw new Error('the connection is not needed any more');
      }
      this.#current = connection;
      this.onOpen(connection);
      return connection;
    } finally {
      if (generation === this.#generation) this.#opening = undefined;
    }
  }
}
