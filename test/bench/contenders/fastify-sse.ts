import fastifySseModule, { type SSEMessage } from '@fastify/sse';
import { fastify, type FastifyPluginAsync, type FastifyReply } from 'fastify';

import { Audience, SimpleHistory } from './audience.js';
import { closeServer, connectionsOf, type Contender, EVENT_NAME, portOf, topicsOf } from './contender.js';

// Its types describe `default`, which at run time is the plugin without its wrapper, good for nothing at the root.
const plugin = fastifySseModule as unknown as FastifyPluginAsync;

export const fastifySse: Contender = {
  label: '@fastify/sse',
  role: 'peer',
  async start({ history }) {
    const audience = new Audience<FastifyReply['sse']>();
    const kept = new SimpleHistory<SSEMessage>(history);
    let lastId = 0;
    const app = fastify();
    await app.register(plugin);
    app.get('/events/:topics', { sse: 'only' }, async (request, { sse, raw }) => {
      const topics = topicsOf(request.url);
      sse.keepAlive();
      sse.sendHeaders();
      // It only hands them to the response, which keeps them until the first event.
      raw.flushHeaders();
      await sse.replay(async (lastEventId) => {
        for (const { event } of kept.after(lastEventId, topics)) await sse.send(event);
      });
      sse.onClose(audience.add(sse, topics));
    });
    await app.listen({ port: 0, host: '127.0.0.1', backlog: 4_096 });
    return {
      port: portOf(app.server),
      publish: (topic, payload) => {
        const message = { id: String(++lastId), event: EVENT_NAME, data: payload };
        kept.add(message.id, topic, message);
        for (const sse of audience.of(topic)) sse.send(message).catch(() => {});
      },
      clients: () => audience.size,
      connections: () => connectionsOf(app.server),
      close: () => closeServer(app.server),
    };
  },
};
