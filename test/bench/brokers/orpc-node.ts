import { IORedisPublisher } from '@orpc/experimental-publisher/ioredis';
import { Redis } from 'ioredis';

import type { Payload } from '../contenders/contender.js';
import { type NodeOptions, OBSERVED } from './messages.js';
import type { BrokerNode } from './node.js';

/** Long enough for any run. Without it, nothing is stored and nobody can resume. */
const RETENTION = 600;

/** The publisher of oRPC over Redis, with what it takes to resume. Its streams are for code on the node; it has no clients. */
export async function startOrpc({ broker, prefix, observes }: NodeOptions): Promise<BrokerNode> {
  const publisher = new IORedisPublisher<Record<string, Payload>>({
    commander: new Redis(broker!.url),
    listener: new Redis(broker!.url),
    prefix,
    resumeRetentionSeconds: RETENTION,
  });
  if (observes) await publisher.subscribe(OBSERVED, () => {});
  return { port: 0, publish: (topic, payload) => publisher.publish(topic, payload), clients: () => 0 };
}
