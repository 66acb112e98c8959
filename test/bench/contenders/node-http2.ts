import { createServer, type Http2Server, type Http2Session, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';

import { Audience } from './audience.js';
import { type Contender, EVENT_NAME, topicsOf } from './contender.js';

/** The loop that anyone would write, over HTTP/2 without TLS. */
export const nodeHttp2: Contender = {
  label: 'node:http2, stream.write loop',
  role: 'yardstick',
  http2: true,
  async start() {
    const audience = new Audience<ServerHttp2Stream>();
    const sessions = new Set<Http2Session>();
    let lastId = 0;
    const server = createServer();
    server.on('session', (session) => {
      sessions.add(session);
      session.once('close', () => sessions.delete(session));
    });
    server.on('stream', (stream, headers) => {
      stream.respond({ ':status': 200, 'content-type': 'text/event-stream', 'cache-control': 'no-cache' });
      // Something has to come, or the stream is not known to be open.
      stream.write(':\n');
      stream.on('close', audience.add(stream, topicsOf(headers[':path']!)));
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    return {
      port: (server.address() as AddressInfo).port,
      publish: (topic, payload) => {
        const frame = `id: ${++lastId}\nevent: ${EVENT_NAME}\ndata: ${JSON.stringify(payload)}\n\n`;
        for (const stream of audience.of(topic)) stream.write(frame);
      },
      clients: () => audience.size,
      connections: () => sessions.size,
      close: () => closeServer(server, sessions),
    };
  },
};

async function closeServer(server: Http2Server, sessions: ReadonlySet<Http2Session>): Promise<void> {
  const closed = new Promise((resolve) => server.close(resolve));
  for (const session of sessions) session.destroy();
  await closed;
}
