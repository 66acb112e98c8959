import { randomInt } from 'node:crypto';
import { once } from 'node:events';
import net from 'node:net';

/**
 * Below those that systems give to outgoing connections (from 32,768 on), with what a Redis of a cluster takes beside its
 * own: that port and 10,000. A server that is away for a while has to find its port again.
 */
const [FIRST_PORT, LAST_PORT] = [15_000, 22_700];

/** A port that nobody listens on, and that nobody gets by chance. */
export async function freePort(): Promise<number> {
  for (;;) {
    const port = randomInt(FIRST_PORT, LAST_PORT);
    const server = net.createServer().listen(port, '127.0.0.1');
    try {
      await once(server, 'listening');
    } catch {
      continue;
    }
    server.close();
    await once(server, 'close');
    return port;
  }
}
