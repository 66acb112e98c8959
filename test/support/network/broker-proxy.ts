import { once } from 'node:events';
import net from 'node:net';

/** One connection through the proxy, and all that the client has said on it, to tell what it is used for. */
interface Link {
  readonly client: net.Socket;
  readonly server: net.Socket;
  said: string;
  /** Bytes that came from the broker since the client said something. */
  answered: number;
  /** What is left to go through before it is cut. */
  cut?: { up: number; down: number };
}

/** How much of a batch gets through before its connection is cut: bytes, a part of it, or all but so many. */
export interface Boundary {
  readonly up?: number;
  /** All of the batch gets through, and so many bytes of the answer. */
  readonly down?: number;
}

/** Stands between nodes and a broker: leads elsewhere, holds answers back, loses them. */
export class BrokerProxy {
  readonly #server: net.Server;
  readonly #links = new Set<Link>();
  /** Answers to those who said this are held back. */
  #held: RegExp | undefined;
  /** Those who say this get no answer, and lose their connection when it is due. */
  #lost: RegExp | undefined;
  /** How often that happened. */
  losses = 0;
  /** The next one who says this loses its connection there. */
  #cutAt: { readonly said: RegExp; readonly boundary: Boundary } | undefined;
  /** How often that happened. */
  cuts = 0;
  /** Bytes from the broker: all, and the most that came without a word of the client in between. */
  answered = 0;
  largestAnswer = 0;

  private constructor(private target: number) {
    this.#server = net.createServer((client) => this.#connect(client));
  }

  static async start(target: number): Promise<BrokerProxy> {
    const proxy = new BrokerProxy(target);
    proxy.#server.listen(0, '127.0.0.1');
    await once(proxy.#server, 'listening');
    return proxy;
  }

  get port(): number {
    return (this.#server.address() as net.AddressInfo).port;
  }

  /** Everybody finds another broker from now on. */
  leadTo(target: number): void {
    this.target = target;
    this.cut();
  }

  /** Answers with how many connections went through it. */
  cut(): number {
    const links = [...this.#links];
    for (const { client, server } of links) {
      client.destroy();
      server.destroy();
    }
    return links.length;
  }

  /** From now on nothing is heard on the connections that are open, as when a machine between has gone. */
  stall(): void {
    for (const { client, server } of this.#links) {
      client.pause();
      server.pause();
    }
  }

  /** The next answer to somebody who says this is lost, after the broker has sent it. */
  loseAnswer(said: RegExp): void {
    this.#lost = said;
  }

  /** The next connection on which this is said is cut in the midst of it, or of the answer. */
  cutBatch(said: RegExp, boundary: Boundary): void {
    this.#cutAt = { said, boundary };
  }

  /** Nothing more arrives on connections on which this was said, until `release()`. */
  hold(said: RegExp): void {
    this.#held = said;
    for (const link of this.#links) this.#regulate(link);
  }

  /** Whether somebody waits for an answer that is held back. */
  get holds(): boolean {
    return [...this.#links].some(({ server }) => server.isPaused());
  }

  release(): void {
    this.#held = undefined;
    for (const link of this.#links) this.#regulate(link);
  }

  async close(): Promise<void> {
    this.cut();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #connect(client: net.Socket): void {
    const server = net.connect(this.target, '127.0.0.1');
    const link: Link = { client, server, said: '', answered: 0 };
    this.#links.add(link);
    client.on('data', (bytes: Buffer) => {
      link.said = (link.said + bytes.toString('latin1')).slice(-10_000);
      link.answered = 0;
      this.#arm(link, bytes);
      if (link.cut) return this.#cutUp(link, bytes);
      server.write(bytes);
      this.#regulate(link);
    });
    server.on('data', (bytes: Buffer) => {
      if (this.#lost?.test(link.said)) {
        this.#lost = undefined;
        this.losses++;
        client.destroy();
        return;
      }
      link.said = '';
      if (link.cut && bytes.length >= link.cut.down) {
        this.cuts++;
        client.write(bytes.subarray(0, link.cut.down), () => client.destroy());
        return;
      }
      link.answered += bytes.length;
      this.answered += bytes.length;
      this.largestAnswer = Math.max(this.largestAnswer, link.answered);
      client.write(bytes);
    });
    for (const socket of [client, server]) {
      socket.on('error', () => {});
      socket.on('close', () => {
        client.destroy();
        server.destroy();
        this.#links.delete(link);
      });
    }
  }

  #arm(link: Link, bytes: Buffer): void {
    if (!this.#cutAt?.said.test(link.said)) return;
    const { up, down = 0 } = this.#cutAt.boundary;
    this.#cutAt = undefined;
    if (up === undefined) link.cut = { up: Infinity, down };
    else if (up < 0) link.cut = { up: bytes.length + up, down: 0 };
    else link.cut = { up: up < 1 ? Math.floor(bytes.length * up) : up, down: 0 };
  }

  #cutUp({ client, server, cut }: Link, bytes: Buffer): void {
    if (bytes.length <= cut!.up) {
      cut!.up -= bytes.length;
      server.write(bytes);
      return;
    }
    this.cuts++;
    server.write(bytes.subarray(0, cut!.up), () => server.destroy());
    client.destroy();
  }

  #regulate({ server, said }: Link): void {
    if (this.#held?.test(said)) server.pause();
    else server.resume();
  }
}
