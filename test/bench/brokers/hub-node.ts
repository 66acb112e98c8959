import { type Backplane, MemoryBackplane, SSEService } from 'nestjs-sse-hub';
import { NatsBackplane } from 'nestjs-sse-hub/nats';
import { RedisBackplane } from 'nestjs-sse-hub/redis';

import { EVENT_NAME, listen, portOf, topicsOf } from '../contenders/contender.js';
import { type NodeOptions, OBSERVED } from './messages.js';
import type { BrokerNode } from './node.js';

function backplaneOf({ broker, prefix }: NodeOptions): Backplane {
  if (!broker) return new MemoryBackplane();
  if (broker.kind === 'redis') return new RedisBackplane({ url: broker.url, prefix });
  return new NatsBackplane({ servers: broker.url, prefix });
}

/** On `node:http`, because socket.io is there too; everything else is as it is by default. */
export async function startHub(options: NodeOptions): Promise<BrokerNode> {
  const sse = await new SSEService({ backplane: backplaneOf(options) }).start();
  if (options.observes) sse.observe(OBSERVED).subscribe();
  const server = await listen((request, response) => {
    sse.createClient(response, { topics: topicsOf(request.url!) });
  });
  return {
    port: portOf(server),
    publish: (topic, payload) => sse.publish(topic, EVENT_NAME, payload),
    clients: () => sse.getClientCount(),
  };
}
