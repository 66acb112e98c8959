import type { Socket } from 'node:net';

import { Audience } from './audience.js';
import { closeServer, connectionsOf, type Contender, EVENT_NAME, listen, portOf, topicsOf } from './contender.js';

/** What remains of the yardstick when everything is made once and nothing is checked: the price of Node's own write. */
export const socketWrite: Contender = {
  label: 'socket.write loop, unchecked',
  role: 'floor',
  async start() {
    const audience = new Audience<Socket>();
    let lastId = 0;
    const server = await listen((request, response) => {
      response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' });
      response.flushHeaders();
      response.on('close', audience.add(request.socket, topicsOf(request.url!)));
    });
    return {
      port: portOf(server),
      publish: (topic, payload) => {
        const frame = `id: ${++lastId}\nevent: ${EVENT_NAME}\ndata: ${JSON.stringify(payload)}\n\n`;
        const chunk = Buffer.from(`${Buffer.byteLength(frame).toString(16)}\r\n${frame}\r\n`);
        for (const socket of audience.of(topic)) socket.write(chunk);
      },
      clients: () => audience.size,
      connections: () => connectionsOf(server),
      close: () => closeServer(server),
    };
  },
};
