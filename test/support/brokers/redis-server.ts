import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import { Redis } from 'ioredis';

import { freePort } from '../processes/free-port.js';
import { ServerProcess } from './server-process.js';
import { findServer, type SharedBroker } from './shared-server.js';

export interface RedisServerOptions {
  /** Written to disk after every command, and read when it starts again. Default: `true`. */
  readonly persistent?: boolean;
  /** More of what `redis-server` takes on its command line. */
  readonly args?: readonly string[];
}

/** Redis on a free port. */
export class RedisServer extends ServerProcess {
  private constructor(
    port: number,
    folder: string,
    private readonly options: RedisServerOptions,
  ) {
    super(port, folder);
  }

  static async start(options: RedisServerOptions = {}): Promise<RedisServer> {
    const folder = await mkdtemp(join(tmpdir(), 'nestjs-sse-hub-redis-'));
    const server = new RedisServer(await freePort(), folder, options);
    await server.start();
    return server;
  }

  override get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  override async start(): Promise<void> {
    const { persistent = true, args = [] } = this.options;
    const storing = persistent ? ['--appendonly', 'yes', '--appendfsync', 'always'] : ['--appendonly', 'no'];
    const place = ['--port', String(this.port), '--bind', '127.0.0.1', '--dir', this.folder];
    await this.launch('redis-server', [...place, '--save', '', ...storing, ...args]);
  }

  /** Does something as an operator would. */
  async run<T>(act: (redis: Redis) => Promise<T>): Promise<T> {
    const redis = new Redis(this.url, { lazyConnect: true, retryStrategy: null });
    redis.on('error', () => {});
    await redis.connect();
    try {
      return await act(redis);
    } finally {
      redis.disconnect();
    }
  }

  protected override async answers(): Promise<boolean> {
    return (await this.run((redis) => redis.ping())) === 'PONG';
  }
}

/** A sentinel on a free port that knows one server, as `sse`. */
export class RedisSentinel extends ServerProcess {
  private constructor(
    port: number,
    folder: string,
    private readonly watched: number,
  ) {
    super(port, folder);
  }

  static async start(watched: number): Promise<RedisSentinel> {
    const folder = await mkdtemp(join(tmpdir(), 'nestjs-sse-hub-sentinel-'));
    const sentinel = new RedisSentinel(await freePort(), folder, watched);
    await sentinel.start();
    return sentinel;
  }

  override get url(): string {
    return `redis://127.0.0.1:${this.port}`;
  }

  override async start(): Promise<void> {
    const file = join(this.folder, 'sentinel.conf');
    const settings = [`port ${this.port}`, 'bind 127.0.0.1', `sentinel monitor sse 127.0.0.1 ${this.watched} 1`];
    await writeFile(file, settings.join('\n'));
    await this.launch('redis-server', [file, '--sentinel']);
  }

  protected override async answers(): Promise<boolean> {
    const redis = new Redis(this.url, { lazyConnect: true, retryStrategy: null, enableReadyCheck: false });
    redis.on('error', () => {});
    await redis.connect();
    try {
      return (await redis.ping()) === 'PONG';
    } finally {
      redis.disconnect();
    }
  }
}

export async function findRedis(): Promise<SharedBroker | undefined> {
  const server = await findServer({
    broker: 'Redis',
    variable: 'REDIS_URL',
    command: 'redis-server',
    version: '6.2',
    start: () => RedisServer.start({ persistent: false }),
  });
  if (!server) return undefined;
  const redis = new Redis(server.url, { lazyConnect: true });
  return {
    url: server.url,
    async forget(prefix) {
      const keys = await redis.keys(`{${prefix}}:*`);
      if (keys.length > 0) await redis.unlink(keys);
    },
    async stop() {
      redis.disconnect();
      await server.stop();
    },
  };
}
