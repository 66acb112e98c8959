import { once } from 'node:events';
import net, { type AddressInfo } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';

import { integer, seededRandom } from '../seed.js';

/** A way to a server on which every answer arrives in pieces of random sizes, often of a single byte. */
export class ChoppingProxy {
  readonly #server: net.Server;
  readonly #sockets = new Set<net.Socket>();
  readonly url: string;

  private constructor(server: net.Server, url: string) {
    this.#server = server;
    this.url = url;
  }

  static async start(target: string): Promise<ChoppingProxy> {
    const { port, hostname } = new URL(target);
    const server = net.createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    const proxy = new ChoppingProxy(server, `http://127.0.0.1:${(server.address() as AddressInfo).port}`);
    server.on('connection', (client) => proxy.#join(client, net.connect(Number(port), hostname)));
    return proxy;
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
    await once(this.#server, 'close');
  }

  #join(client: net.Socket, server: net.Socket): void {
    for (const [socket, other] of [
      [client, server],
      [server, client],
    ] as const) {
      this.#sockets.add(socket);
      socket.setNoDelay(true);
      socket.on('error', () => {});
      socket.once('close', () => {
        this.#sockets.delete(socket);
        other.destroySoon();
      });
    }
    client.pipe(server);
    chop(server, client).catch(() => client.destroy());
  }
}

let connections = 0;

async function chop(from: net.Socket, to: net.Socket): Promise<void> {
  const random = seededRandom(++connections);
  for await (const bytes of from as AsyncIterable<Buffer>) {
    for (let at = 0; at < bytes.length;) {
      const end = at + (random() < 0.2 ? integer(random, 1, 3) : Math.ceil(2 ** (11 * random())));
      if (!to.write(bytes.subarray(at, end))) await once(to, 'drain');
      at = end;
      // The pieces would be joined in one turn.
      if (random() < 0.3) await turn();
    }
  }
}
