import { once } from 'node:events';
import net, { type AddressInfo, type Socket } from 'node:net';
import { setTimeout as delay, setImmediate as turn } from 'node:timers/promises';

/** One direction of the network between clients and the server, and what is wrong with it. */
export class Line {
  /** Milliseconds that every piece takes longer. */
  delay = 0;
  /** Every byte is a write of its own. */
  splitting = false;
  /** How fast it is. */
  bytesPerSecond = Infinity;
  #healed: Promise<void> | undefined;
  #heal: (() => void) | undefined;

  /** From now on nothing gets through, and neither side is told, not even that the other one has left. */
  blackhole(): void {
    this.#healed ??= new Promise((resolve) => (this.#heal = resolve));
  }

  /** As good as new. */
  heal(): void {
    this.delay = 0;
    this.splitting = false;
    this.bytesPerSecond = Infinity;
    this.#heal?.();
    this.#healed = undefined;
  }

  /** Carries what comes from one side to the other: bytes, the end, and a reset. */
  async carry(from: Socket, to: Socket): Promise<void> {
    try {
      // Not destroyed at its end, for the other direction may go on.
      for await (const chunk of from.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
        await this.#send(chunk, to);
      }
      await this.#healed;
      to.end();
    } catch {
      await this.#healed;
      to.resetAndDestroy();
    }
  }

  async #send(chunk: Buffer, to: Socket): Promise<void> {
    for (let at = 0; at < chunk.length;) {
      const piece = chunk.subarray(at, at + this.#pieceSize);
      at += piece.length;
      if (this.delay > 0) await delay(this.delay);
      if (this.bytesPerSecond < Infinity) await delay((1_000 * piece.length) / this.bytesPerSecond);
      await this.#healed;
      if (!to.write(piece)) await once(to, 'drain');
      if (this.splitting) await turn();
    }
  }

  get #pieceSize(): number {
    if (this.splitting) return 1;
    // Ten pieces a second.
    return this.bytesPerSecond < Infinity ? Math.ceil(this.bytesPerSecond / 10) : Infinity;
  }
}

interface Connection {
  readonly client: Socket;
  readonly server: Socket;
}

/**
 * A network between clients and a server that can be made to misbehave: delay, split, slow down, blackhole each
 * direction, half-close or cut all connections.
 */
export class Proxy {
  readonly toServer = new Line();
  readonly toClient = new Line();
  readonly #connections = new Set<Connection>();

  private constructor(
    private readonly listener: net.Server,
    target: URL,
  ) {
    listener.on('connection', (client) => this.#connect(client, target));
  }

  static async start(target: string): Promise<Proxy> {
    const listener = net.createServer({ allowHalfOpen: true, noDelay: true });
    const proxy = new Proxy(listener, new URL(target));
    listener.listen(0, '127.0.0.1');
    await once(listener, 'listening');
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.listener.address() as AddressInfo).port}`;
  }

  /** Connections that go through it. */
  get size(): number {
    return this.#connections.size;
  }

  /** Resets every connection, to both sides. */
  cut(): void {
    for (const { client, server } of this.#connections) {
      client.resetAndDestroy();
      server.resetAndDestroy();
    }
  }

  /** The server is told that nothing more will come, as by a client that goes on listening. */
  halfClose(): void {
    for (const { server } of this.#connections) server.end();
  }

  /** Both directions. */
  blackhole(): void {
    this.toServer.blackhole();
    this.toClient.blackhole();
  }

  heal(): void {
    this.toServer.heal();
    this.toClient.heal();
  }

  close(): void {
    this.cut();
    this.heal();
    this.listener.close();
  }

  #connect(client: Socket, { hostname, port }: URL): void {
    const server = net.connect({ host: hostname, port: Number(port), allowHalfOpen: true, noDelay: true });
    const connection = { client, server };
    this.#connections.add(connection);
    const forget = (): void => {
      if (client.destroyed && server.destroyed) this.#connections.delete(connection);
    };
    for (const socket of [client, server]) {
      socket.on('error', () => {});
      socket.on('close', forget);
    }
    void this.toServer.carry(client, server);
    void this.toClient.carry(server, client);
  }
}
