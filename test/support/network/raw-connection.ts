import net from 'node:net';

import type { Bench } from '../baseline.js';
import { PATIENCE } from '../patience.js';

/** A connection on which a test says itself what is written, and reads when it wants to. */
export class RawConnection {
  text = '';
  closed = false;

  private constructor(readonly socket: net.Socket) {
    socket.setEncoding('latin1');
    socket.on('data', (data: string) => (this.text += data));
    socket.on('close', () => (this.closed = true));
    socket.on('error', () => {});
  }

  static open(url: string): Promise<RawConnection> {
    const { hostname, port } = new URL(url);
    return new Promise((resolve, reject) => {
      const socket = net.connect(Number(port), hostname, () => resolve(new RawConnection(socket)));
      socket.once('error', reject);
    });
  }

  /** One that writes this at once, and is closed when the test is over. */
  static async openOn(bench: Bench, url: string, request: string): Promise<RawConnection> {
    const connection = await RawConnection.open(url);
    bench.onEnd(() => connection.close());
    connection.socket.write(request);
    return connection;
  }

  get(path: string, { version = '1.1', method = 'GET', headers = '' } = {}): void {
    this.socket.write(`${method} ${path} HTTP/${version}\r\nHost: localhost\r\n${headers}\r\n`);
  }

  async until(condition: () => boolean): Promise<void> {
    const deadline = performance.now() + PATIENCE;
    while (!condition()) {
      if (performance.now() > deadline)
        throw new Error(`Not within ${PATIENCE} ms. Came so far: ${JSON.stringify(this.text.slice(-500))}`);
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }

  close(): void {
    this.socket.destroy();
  }
}
