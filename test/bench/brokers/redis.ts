import { Redis } from 'ioredis';

import { type Broker, givenUrl } from './broker.js';
import { persistent, startServer } from './own-server.js';

/** Redis without persistence, unless there is one already. */
export async function startRedis(prefix: string): Promise<Broker> {
  const given = givenUrl('redis');
  const server = given === undefined ? await startServer('redis-server', argumentsOf) : undefined;
  const url = given ?? `redis://127.0.0.1:${server!.port}`;
  const version = await persistent(() => run(url, async (redis) => versionIn(await redis.info('server'))));
  return {
    url,
    version,
    pid: server?.pid,
    close: async () => {
      if (server) return server.close();
      await run(url, (redis) => forget(redis, prefix));
    },
  };
}

function argumentsOf(port: number, folder: string): string[] {
  const place = ['--port', String(port), '--bind', '127.0.0.1', '--dir', folder];
  return [...place, '--save', '', '--appendonly', 'no'];
}

async function run<T>(url: string, act: (redis: Redis) => Promise<T>): Promise<T> {
  const redis = new Redis(url, { lazyConnect: true, retryStrategy: null });
  redis.on('error', () => {});
  try {
    await redis.connect();
    return await act(redis);
  } finally {
    redis.disconnect();
  }
}

function versionIn(info: string): string {
  return /^redis_version:(\S+)/m.exec(info)?.[1] ?? 'of an unknown version';
}

async function forget(redis: Redis, prefix: string): Promise<void> {
  const keys = await redis.keys(`*${prefix}*`);
  if (keys.length > 0) await redis.unlink(keys);
}
