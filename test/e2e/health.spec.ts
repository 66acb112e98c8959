import { afterEach, describe, expect, it } from '@jest/globals';
import { type BeforeApplicationShutdown, Controller, Get, Inject, Module, Res } from '@nestjs/common';
import { HealthCheck, HealthCheckService, HealthIndicatorService, TerminusModule } from '@nestjs/terminus';
import { type Backplane, MemoryBackplane, type NodeResponseLike, type SSEConfig, SSEService } from 'nestjs-sse-hub';
import { RedisBackplane } from 'nestjs-sse-hub/redis';
import { type ReadinessOptions, SSEHealthIndicator } from 'nestjs-sse-hub/terminus';

import { returnToBaseline, until } from '../support/baseline.js';
import { RedisServer } from '../support/brokers/redis-server.js';
import { isInstalled } from '../support/brokers/server-process.js';
import { type Platform, platforms } from '../support/platforms.js';

const bench = returnToBaseline();
const hasRedis = await isInstalled('redis-server');

let redis: RedisServer | undefined;
afterEach(async () => {
  await redis?.remove();
  redis = undefined;
});

/** A memory log that says of itself what it is told to. */
class SaidBackplane extends MemoryBackplane implements Backplane {
  lag: number | undefined;
}

/** An application with its health routes, and a route that streams. */
async function start(platform: Platform, config: SSEConfig, options?: ReadinessOptions) {
  @Controller()
  class HealthController {
    constructor(
      @Inject(HealthCheckService) private readonly health: HealthCheckService,
      @Inject(SSEHealthIndicator) private readonly indicator: SSEHealthIndicator,
      @Inject(SSEService) private readonly sse: SSEService,
    ) {}

    @Get('ready')
    @HealthCheck()
    ready() {
      return this.health.check([() => this.indicator.isReady('sse', options)]);
    }

    @Get('alive')
    @HealthCheck()
    alive() {
      return this.health.check([() => this.indicator.isAlive('hub')]);
    }

    @Get('events')
    events(@Res() response: NodeResponseLike): void {
      this.sse.createClient(response, { topics: 'a' });
    }
  }

  let busy = Promise.resolve();
  /** A module that takes its time when the application closes. */
  @Module({
    imports: [TerminusModule.forRoot({ logger: false })],
    controllers: [HealthController],
    providers: [SSEHealthIndicator],
  })
  class HealthModule implements BeforeApplicationShutdown {
    beforeApplicationShutdown(): Promise<void> {
      return busy;
    }
  }

  const running = await bench.start(platform, { config, imports: [HealthModule] });
  const ask = async (path: string) => {
    const response = await fetch(`${running.url}/${path}`, { headers: { connection: 'close' } });
    return { code: response.status, body: await response.json() };
  };
  /** Answers with what lets it go on. */
  const keepBusy = (): (() => void) => {
    let release = (): void => {};
    busy = new Promise((resolve) => (release = resolve));
    return release;
  };
  return { ...running, ask, keepBusy };
}

for (const platform of platforms) {
  describe(`health checks on ${platform.name}`, () => {
    it('are up, and say what they have looked at', async () => {
      const { ask } = await start(platform, {});
      const backplane = { kind: 'memory', status: 'up' };
      expect(await ask('ready')).toMatchObject({
        code: 200,
        body: { status: 'ok', details: { sse: { status: 'up', state: 'running', backplane } } },
      });
      expect(await ask('alive')).toMatchObject({
        code: 200,
        body: { status: 'ok', details: { hub: { status: 'up', state: 'running' } } },
      });
    });

    it('are not ready when this node is too far behind', async () => {
      const backplane = new SaidBackplane();
      const { ask } = await start(platform, { backplane }, { maxLag: 1_000 });
      backplane.lag = 1_000;
      expect((await ask('ready')).code).toBe(200);
      backplane.lag = 1_001;
      const { code, body } = await ask('ready');
      expect(code).toBe(503);
      const message = 'This node is 1001 ms behind the end of the log, and maxLag is 1000 ms.';
      expect(body).toMatchObject({ error: { sse: { status: 'down', message, backplane: { lag: 1_001 } } } });
      expect((await ask('alive')).code).toBe(200);
    });

    it('take an application for ready whose hub is switched off', async () => {
      const { ask } = await start(platform, { enabled: false });
      expect(await ask('ready')).toMatchObject({ code: 200, body: { details: { sse: { state: 'off' } } } });
    });

    it('are not ready, and alive, while the application shuts down', async () => {
      const { app, sse, ask, url, keepBusy } = await start(platform, {});
      const stream = await bench.connect(`${url}/events`);
      const release = keepBusy();
      const closed = app.close();
      await stream.until(() => stream.ended);
      const { code, body } = await ask('ready');
      expect(code).toBe(503);
      expect(body).toMatchObject({
        error: { sse: { status: 'down', message: 'The hub is shutting down.', state: 'shutting down' } },
      });
      // Also when nothing of it is left to be done.
      await sse.shutdown();
      expect((await ask('ready')).code).toBe(503);
      expect(await ask('alive')).toMatchObject({ code: 200, body: { details: { hub: { state: 'shutting down' } } } });
      release();
      await closed;
    });

    (hasRedis ? it : it.skip)('are not ready, and alive, while the broker is away', async () => {
      redis = await RedisServer.start();
      const config = (prefix: string) => ({ backplane: new RedisBackplane({ url: redis!.url, prefix }) });
      const strict = await start(platform, config('strict'));
      const lenient = await start(platform, config('lenient'), { needsLog: false });
      for (const { ask } of [strict, lenient]) expect((await ask('ready')).code).toBe(200);
      await redis.kill();
      await until('it is noticed', async () => (await strict.ask('ready')).code === 503);
      expect((await strict.ask('ready')).body).toMatchObject({
        error: {
          sse: {
            status: 'down',
            message: 'The log (redis) cannot be reached.',
            state: 'running',
            backplane: { kind: 'redis', status: 'down' },
          },
        },
      });
      await until('it is noticed', () => lenient.sse.stats().backplane.status === 'down');
      expect((await lenient.ask('ready')).code).toBe(200);
      for (const { ask } of [strict, lenient]) expect((await ask('alive')).code).toBe(200);
      await redis.start();
      await until('it is back', async () => (await strict.ask('ready')).code === 200);
    });
  });
}

describe('the health indicator', () => {
  it('refuses a lag that is no number of milliseconds, with its value', async () => {
    const sse = new SSEService<{ prices: { price: number } }>();
    // A hub with types of its own will do.
    const indicator = new SSEHealthIndicator(new HealthIndicatorService(), sse);
    expect(() => indicator.isReady('sse', { maxLag: NaN })).toThrow(
      'SSE option `maxLag` is NaN; it has to be a number of milliseconds, at least 0.',
    );
  });
});
