import http from 'node:http';
import type { AddressInfo } from 'node:net';

import { type ClientOptions, type SSEConfig, SSEService } from 'nestjs-sse-hub';

import { recordHub } from './measures/figures.js';

export interface PlainServer {
  readonly sse: SSEService;
  readonly server: http.Server;
  readonly url: string;
  close(): Promise<void>;
}

const running = new Set<PlainServer>();

/** A hub on `node:http`, without a framework: `GET /events/<topics, separated by commas>`. */
export async function startPlain(
  config: SSEConfig = {},
  options: () => ClientOptions = () => ({}),
): Promise<PlainServer> {
  const sse = new SSEService(config);
  const server = http.createServer((request, response) => {
    const topics = new URL(request.url ?? '/', 'http://localhost').pathname.split('/')[2]?.split(',');
    sse.createClient(response, { ...(topics && { topics }), ...options() });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const started: PlainServer = {
    sse,
    server,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    close: async () => {
      running.delete(started);
      await sse.shutdown();
      recordHub(sse);
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
  running.add(started);
  return started;
}

export async function closeAllPlain(): Promise<void> {
  await Promise.all([...running].map((started) => started.close()));
}
