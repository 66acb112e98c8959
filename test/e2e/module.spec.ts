import { AsyncResource } from 'node:async_hooks';

import { afterEach, describe, expect, it, jest } from '@jest/globals';
import { Controller, Get, Inject, Injectable, Logger, Module, Sse } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { LastEventId, SSE_CONFIG, type SSEConfig, type SSEConfigFactory, SSEModule, SSEService } from 'nestjs-sse-hub';

import { currentRequest } from '../../src/sse.middleware.js';
import { closeAll, platforms, startApp } from '../support/platforms.js';
import { open } from '../support/readers/event-stream.js';
import { direct } from '../support/stream-controllers.js';

afterEach(closeAll);

@Injectable()
class ConfigFactory implements SSEConfigFactory {
  createSSEConfig(): SSEConfig {
    return { maxClients: 7 };
  }
}

@Module({ providers: [ConfigFactory], exports: [ConfigFactory] })
class FactoryModule {}

describe('SSEModule', () => {
  const ways = {
    'forRoot()': SSEModule.forRoot({ maxClients: 7 }),
    'forRootAsync({ useFactory })': SSEModule.forRootAsync({
      imports: [FactoryModule],
      inject: [ConfigFactory],
      useFactory: (factory: ConfigFactory) => factory.createSSEConfig(),
    }),
    'forRootAsync({ useClass })': SSEModule.forRootAsync({ useClass: ConfigFactory }),
    'forRootAsync({ useExisting })': SSEModule.forRootAsync({ imports: [FactoryModule], useExisting: ConfigFactory }),
  };

  for (const [way, module] of Object.entries(ways)) {
    it(`${way} provides the service and the configuration, for all modules`, async () => {
      @Injectable()
      class Elsewhere {
        constructor(
          @Inject(SSEService) readonly sse: SSEService,
          @Inject(SSE_CONFIG) readonly config: SSEConfig,
        ) {}
      }

      @Module({ providers: [Elsewhere] })
      class ElsewhereModule {}

      const testing = await Test.createTestingModule({ imports: [module, ElsewhereModule] }).compile();
      await testing.init();
      const { sse, config } = testing.get(Elsewhere, { strict: false });
      expect(sse).toBeInstanceOf(SSEService);
      expect(config).toEqual({ maxClients: 7 });
      await testing.close();
    });
  }

  it('keeps requests at hand until the last application is closed, and costs nothing then', async () => {
    let stillKept = (): boolean => false;

    @Controller()
    class AController {
      @Get('request')
      request(): boolean {
        stillKept = AsyncResource.bind(() => currentRequest() !== undefined);
        return stillKept();
      }
    }

    const [first, second] = [
      await startApp(platforms[0]!, { controllers: [AController] }),
      await startApp(platforms[0]!),
    ];
    expect(await (await fetch(`${first.url}/request`)).text()).toBe('true');
    await second.close();
    expect(stillKept()).toBe(true);
    await first.close();
    expect(stillKept()).toBe(false);
    const [third] = [await startApp(platforms[0]!, { controllers: [AController] })];
    expect(await (await fetch(`${third.url}/request`)).text()).toBe('true');
  });

  it('works without any configuration', async () => {
    const testing = await Test.createTestingModule({ imports: [SSEModule.forRoot()] }).compile();
    expect(testing.get(SSEService).getClientCount()).toBe(0);
    await testing.close();
  });

  @Injectable()
  class Elsewhere {
    constructor(@Inject(SSEService) readonly sse: SSEService) {}
  }

  @Module({ providers: [Elsewhere] })
  class PlainModule {}

  @Module({ imports: [SSEModule], providers: [Elsewhere] })
  class ImportingModule {}

  it('isGlobal: false keeps the service to modules that import it', async () => {
    const hub = SSEModule.forRoot({ isGlobal: false });
    const compile = Test.createTestingModule({ imports: [hub, PlainModule] }).compile();
    await expect(compile).rejects.toThrow(/resolve dependencies/);
  });

  for (const isGlobal of [true, false]) {
    it(`isGlobal: ${isGlobal}: a module with imports: [SSEModule] gets the one service`, async () => {
      const imports = [ImportingModule, SSEModule.forRoot({ isGlobal })];
      const testing = await Test.createTestingModule({ imports, providers: [Elsewhere] }).compile();
      const app = await testing.createNestApplication().init();
      const services = [testing.get(Elsewhere), app.select(ImportingModule).get(Elsewhere)].map(({ sse }) => sse);
      expect(services).toEqual([app.get(SSEService), app.get(SSEService)]);
      expect(services[0]).toBe(services[1]);
      await app.close();
    });
  }

  it('says that forRoot() is missing where SSEModule is imported without it', async () => {
    const compile = Test.createTestingModule({ imports: [ImportingModule] }).compile();
    await expect(compile).rejects.toMatchObject({
      code: 'INVALID_CONFIG',
      message: expect.stringMatching(/forRoot\(\) was not called.*imports: \[SSEModule\.forRoot\(\)\]/) as unknown,
    });
  });

  it('logs once that a stream was subscribed to where no request is known, in applications that serve HTTP', async () => {
    const errors: string[] = [];
    const log = jest.spyOn(Logger.prototype, 'error').mockImplementation((line: unknown) => {
      errors.push(String(line));
    });
    try {
      const outside = new SSEService({ drainTimeout: 10 });
      outside.stream('t').subscribe();
      outside.addClient({ topics: 't' });
      const context = await Test.createTestingModule({ imports: [SSEModule.forRoot()] }).compile();
      await context.init();
      context.get(SSEService).stream('t').subscribe();
      expect(errors).toEqual([]);

      const { sse } = await startApp(platforms[0]!, { config: { drainTimeout: 10 } });
      sse.addClient({ request: new Request('http://localhost/') });
      expect(errors).toEqual([]);
      for (let i = 0; i < 2; i++) sse.stream('t').subscribe();
      sse.addClient();
      expect(errors).toHaveLength(1);
      expect(errors[0]).toMatch(/stream\(\) was subscribed to where no request is known.*observe\(\).*\{ request \}/);
      await Promise.all([outside.shutdown(), context.close()]);
    } finally {
      log.mockRestore();
    }
  });

  it('refuses two hubs in one application at bootstrap', async () => {
    const testing = Test.createTestingModule({
      imports: [SSEModule.forRoot({ maxClients: 1 }), SSEModule.forRoot({ maxClients: 2 })],
    });
    await expect(testing.compile()).rejects.toMatchObject({ code: 'INVALID_CONFIG' });
  });

  for (const platform of platforms) {
    it(`@LastEventId() gives handlers the header, or the query, on ${platform.name}`, async () => {
      @Controller()
      class IdController {
        constructor(@Inject(SSEService) private readonly sse: SSEService) {}

        @Get('id')
        id(@LastEventId() lastEventId: string): string {
          return `<${lastEventId}>`;
        }

        @Sse('events')
        events(@LastEventId() lastEventId: string) {
          return this.sse.stream('t', { initial: { event: 'seen', data: lastEventId } });
        }
      }
      const { url } = await startApp(platform, { controllers: [IdController] });
      const get = async (query: string, headers?: Record<string, string>): Promise<string> =>
        (await fetch(`${url}/id${query}`, { headers: headers ?? {} })).text();
      expect(await get('')).toBe('<>');
      expect(await get('?lastEventId=abc')).toBe('<abc>');
      expect(await get('?lastEventId=abc', { 'Last-Event-ID': 'xyz' })).toBe('<xyz>');
      const stream = await open(`${url}/events`, { lastEventId: 'from-the-header' });
      expect(await stream.nextMessage()).toMatchObject({ event: 'seen', data: 'from-the-header' });
      stream.close();
    });

    it(`debug: true logs connects, subscriptions, resets and disconnects under one context on ${platform.name}`, async () => {
      const lines: string[] = [];
      const log = jest.spyOn(Logger.prototype, 'log').mockImplementation(function (
        this: { context?: string },
        line: unknown,
      ) {
        if (this.context === 'SSEService') lines.push(String(line));
      });
      try {
        const { url, sse } = await startApp(platform, { config: { debug: true }, controllers: [direct.controller()] });
        const stream = await open(`${url}/events/t`, { lastEventId: '17' });
        const { data } = await stream.next();
        const { clientId } = JSON.parse(data) as { clientId: string };
        sse.subscribe(clientId, 'u');
        sse.removeClient(clientId);
        await stream.untilEnd();
        const has = (text: string): boolean => lines.some((line) => line.includes(clientId) && line.includes(text));
        expect(
          ['connect', 'reset: foreign', 'follows t, u', 'disconnect', 'removed'].filter((text) => !has(text)),
        ).toEqual([]);
      } finally {
        log.mockRestore();
      }
    });
  }
});
