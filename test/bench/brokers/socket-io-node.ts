import { createAdapter } from '@socket.io/redis-streams-adapter';
import { Redis } from 'ioredis';
import { Server, type ServerOptions } from 'socket.io';

import { EVENT_NAME, listen, portOf } from '../contenders/contender.js';
import type { NodeOptions } from './messages.js';
import type { BrokerNode } from './node.js';

/** Longer than any run: the clients here don't answer pings. */
const PING_INTERVAL = 60 * 60_000;

/** Over WebSocket only, without state recovery; its other options are as they are by default. */
export async function startSocketIo({ broker, prefix }: NodeOptions): Promise<BrokerNode> {
  const options: Partial<ServerOptions> = {
    transports: ['websocket'],
    serveClient: false,
    pingInterval: PING_INTERVAL,
  };
  if (broker) options.adapter = createAdapter(new Redis(broker.url), { streamName: prefix, channelPrefix: prefix });
  const server = await listen((_request, response) => void response.writeHead(404).end());
  const io = new Server(server, options);
  io.on('connection', (socket) => socket.join(String(socket.handshake.query['topics']).split(',')));

  const { adapter } = io.of('/');
  const broadcast = adapter.broadcast.bind(adapter) as (...args: Parameters<typeof adapter.broadcast>) => unknown;
  let sent: unknown;
  // `emit` keeps to itself when the stream has the event, and what is published has to be bounded.
  adapter.broadcast = (...args) => {
    sent = broadcast(...args);
  };
  return {
    port: portOf(server),
    publish: async (topic, payload) => {
      io.to(topic).emit(EVENT_NAME, payload);
      await sent;
    },
    clients: () => io.of('/').sockets.size,
  };
}
