import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';

/** What a server says when it answers to an append; and when it hands a message of a stream to somebody who reads it. */
export const ACKNOWLEDGEMENT = /^MSG \S+ \d+ +\d+\r\n\{"stream":/;
export const DELIVERY = /^H?MSG \S+ \d+ \$JS\.ACK\./;
/** What somebody says who appends. */
export const APPEND = /^HPUB .*\r\nNATS\/1\.0\r\nNats-Msg-Id:/;

/** Stands between nodes and NATS, knows the protocol, and holds back or loses single messages, in either direction. */
export class NatsProxy {
  readonly #listener: net.Server;
  readonly #sockets = new Set<net.Socket>();
  #held: RegExp | undefined;
  #lost: RegExp | undefined;
  /** How many messages were lost. */
  losses = 0;
  #waiting: (() => void)[] = [];

  private constructor(private readonly target: number) {
    this.#listener = net.createServer((client) => this.#connect(client));
  }

  static async start(target: number): Promise<NatsProxy> {
    const proxy = new NatsProxy(target);
    proxy.#listener.listen(0, '127.0.0.1');
    await once(proxy.#listener, 'listening');
    return proxy;
  }

  get url(): string {
    return `nats://127.0.0.1:${(this.#listener.address() as AddressInfo).port}`;
  }

  /** Messages like this wait until `release()`. */
  hold(message: RegExp): void {
    this.#held = message;
  }

  release(): void {
    this.#held = undefined;
    for (const send of this.#waiting.splice(0)) send();
  }

  /** Messages like this don't arrive, until another kind is named. */
  lose(message: RegExp | undefined): void {
    this.#lost = message;
  }

  /** Cuts every connection that is open; what waits on it does not arrive. */
  cut(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  async close(): Promise<void> {
    this.cut();
    this.#listener.close();
    await once(this.#listener, 'close');
  }

  #connect(client: net.Socket): void {
    const server = net.connect(this.target, '127.0.0.1');
    for (const [from, to] of [
      [client, server],
      [server, client],
    ] as const) {
      const messages = new Messages();
      this.#sockets.add(from);
      from.on('data', (bytes: Buffer) => {
        for (const message of messages.in(bytes)) this.#pass(message, to);
      });
      from.on('error', () => {});
      from.on('close', () => {
        to.destroy();
        this.#sockets.delete(from);
      });
    }
  }

  #pass(message: Buffer, to: net.Socket): void {
    const text = message.toString('latin1', 0, 1_000);
    if (this.#lost?.test(text)) {
      this.losses++;
      return;
    }
    if (this.#held?.test(text)) this.#waiting.push(() => to.write(message));
    else to.write(message);
  }
}

/** Divides what comes over a connection into messages: a line, with its payload. */
class Messages {
  #rest = Buffer.alloc(0);

  *in(bytes: Buffer): Generator<Buffer> {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    for (;;) {
      const end = this.#rest.indexOf('\r\n');
      if (end < 0) return;
      const payload = /^H?(?:MSG|PUB) .* (\d+)$/.exec(this.#rest.toString('latin1', 0, end))?.[1];
      const length = end + 2 + (payload === undefined ? 0 : Number(payload) + 2);
      if (this.#rest.length < length) return;
      yield this.#rest.subarray(0, length);
      this.#rest = this.#rest.subarray(length);
    }
  }
}
