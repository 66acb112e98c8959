import type { ServerResponse } from 'node:http';

import { Audience, SimpleHistory } from './audience.js';
import {
  closeServer,
  connectionsOf,
  type Contender,
  EVENT_NAME,
  lastEventIdOf,
  listen,
  portOf,
  topicsOf,
} from './contender.js';

/** The loop that anyone would write. */
export const nodeHttp: Contender = {
  label: 'node:http, res.write loop',
  role: 'yardstick',
  async start({ history }) {
    const audience = new Audience<ServerResponse>();
    const kept = new SimpleHistory<string>(history);
    let lastId = 0;
    const server = await listen((request, response) => {
      const topics = topicsOf(request.url!);
      response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-cache' });
      response.flushHeaders();
      const lastEventId = lastEventIdOf(request);
      if (lastEventId) for (const { event } of kept.after(lastEventId, topics)) response.write(event);
      response.on('close', audience.add(response, topics));
    });
    return {
      port: portOf(server),
      publish: (topic, payload) => {
        const id = String(++lastId);
        const frame = `id: ${id}\nevent: ${EVENT_NAME}\ndata: ${JSON.stringify(payload)}\n\n`;
        kept.add(id, topic, frame);
        for (const response of audience.of(topic)) response.write(frame);
      },
      clients: () => audience.size,
      connections: () => connectionsOf(server),
      close: () => closeServer(server),
    };
  },
};
