import { once } from 'node:events';
import http from 'node:http';
import type { AddressInfo } from 'node:net';

import { seededRandom } from '../seed.js';

export interface ReplayServer {
  readonly url: string;
  close(): Promise<void>;
}

/**
 * Serves an event stream that has been recorded, cut at random places. Each piece is an HTTP chunk of its own, so that
 * readers get it separately even when the network joins them. The connection stays open afterwards.
 */
export async function startReplay(bytes: Uint8Array): Promise<ReplayServer> {
  let connections = 0;
  const server = http.createServer((_, response) => {
    response.writeHead(200, { 'Content-Type': 'text/event-stream' });
    sendInPieces(response, bytes, seededRandom(++connections)).catch(() => response.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
}

async function sendInPieces(response: http.ServerResponse, bytes: Uint8Array, random: () => number): Promise<void> {
  for (let at = 0; at < bytes.length;) {
    // From 1 byte to 8 KiB, small pieces as likely as large ones.
    const end = at + Math.ceil(2 ** (13 * random()));
    if (!response.write(bytes.subarray(at, end))) await once(response, 'drain');
    at = end;
  }
}
