import { type Backplane, MemoryBackplane } from 'nestjs-sse-hub';

/**
 * Where the log lives: in the Redis at `REDIS_URL`, in the NATS at `NATS_URL`, or in the memory of this process. Nodes
 * with the same broker and `BACKPLANE_PREFIX` share one log. The client library of a broker is loaded only with it.
 */
export async function chooseBackplane(env: NodeJS.ProcessEnv): Promise<Backplane> {
  const { REDIS_URL: redis, NATS_URL: nats, BACKPLANE_PREFIX: prefix = 'sample-app' } = env;
  if (redis && nats) {
    throw new Error('Both REDIS_URL and NATS_URL are set: set one of them, or none for a log in memory.');
  }
  if (redis) {
    const { RedisBackplane } = await import('nestjs-sse-hub/redis');
    return new RedisBackplane({ url: redis, prefix });
  }
  if (nats) {
    const { NatsBackplane } = await import('nestjs-sse-hub/nats');
    return new NatsBackplane({ servers: nats, prefix });
  }
  return new MemoryBackplane();
}
