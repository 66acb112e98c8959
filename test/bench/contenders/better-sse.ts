import { type Channel, createChannel, createEventBuffer, createSession } from 'better-sse';

import { SimpleHistory } from './audience.js';
import {
  closeServer,
  connectionsOf,
  type Contender,
  EVENT_NAME,
  lastEventIdOf,
  listen,
  type Payload,
  portOf,
  topicsOf,
} from './contender.js';

export const betterSse: Contender = {
  label: 'better-sse',
  role: 'peer',
  async start({ history }) {
    const channels = new Map<string, Channel>();
    const kept = new SimpleHistory<Payload>(history);
    let clients = 0;
    let lastId = 0;
    const channelOf = (topic: string): Channel => {
      const channel = channels.get(topic) ?? createChannel();
      channels.set(topic, channel);
      return channel;
    };
    const server = await listen((request, response) => {
      void createSession(request, response).then(async (session) => {
        clients++;
        session.once('disconnected', () => clients--);
        const topics = topicsOf(request.url!);
        const lastEventId = lastEventIdOf(request);
        if (lastEventId) {
          const missed = createEventBuffer();
          for (const { event, id } of kept.after(lastEventId, topics)) missed.push(event, EVENT_NAME, id);
          await session.batch(missed);
        }
        for (const topic of topics) channelOf(topic).register(session);
      });
    });
    return {
      port: portOf(server),
      publish: (topic, payload) => {
        const eventId = String(++lastId);
        kept.add(eventId, topic, payload);
        channels.get(topic)?.broadcast(payload, EVENT_NAME, { eventId });
      },
      clients: () => clients,
      connections: () => connectionsOf(server),
      close: () => closeServer(server),
    };
  },
};
