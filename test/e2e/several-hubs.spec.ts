import { describe, expect, it } from '@jest/globals';
import { Controller, Get, Inject, Injectable, Module, Param, Sse } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { EventStream, getSSEToken, InjectSSE, MemoryBackplane, SSEModule, SSEService } from 'nestjs-sse-hub';

import { returnToBaseline } from '../support/baseline.js';
import { platforms } from '../support/platforms.js';
import { RecordedLogger } from '../support/recorded-logger.js';

const bench = returnToBaseline();

@Controller()
class TwoHubsController {
  constructor(
    @Inject(SSEService) private readonly sse: SSEService,
    @InjectSSE('admin') private readonly admin: SSEService,
  ) {}

  @EventStream('public/:topic')
  publicEvents(@Param('topic') topic: string): string {
    return topic;
  }

  @EventStream('admin/:topic', { hub: 'admin' })
  adminEvents(@Param('topic') topic: string): string {
    return topic;
  }

  @Sse('admin-sse/:topic')
  adminStream(@Param('topic') topic: string) {
    return this.admin.stream(topic);
  }

  @Get('clients')
  clients(): number[] {
    return [this.sse.getClientCount(), this.admin.getClientCount()];
  }
}

for (const platform of platforms) {
  describe(`several hubs in one application on ${platform.name}`, () => {
    it('have logs, limits and clients of their own, each resumes in its own, and all end with the application', async () => {
      const admin = SSEModule.forRootAsync({ name: 'admin', useFactory: () => ({ maxClients: 2, onLimit: 'reject' }) });
      const logger = new RecordedLogger();
      const running = await bench.start(platform, {
        imports: [admin],
        controllers: [TwoHubsController],
        prepare: (made) => made.useLogger(logger),
      });
      const { app, sse, url } = running;
      const adminHub = app.get<SSEService>(getSSEToken('admin'));
      expect(getSSEToken()).toBe(SSEService);
      expect(adminHub).not.toBe(sse);
      const streams = await Promise.all(
        ['public/t', 'admin/t', 'admin-sse/t'].map((path) => bench.open(`${url}/${path}`)),
      );
      for (const stream of streams) await stream.next();
      expect(await (await fetch(`${url}/clients`)).json()).toEqual([1, 2]);
      expect((await fetch(`${url}/admin/t`)).status).toBe(503);
      sse.broadcast('t', 'n', 'for all');
      adminHub.broadcast('t', 'n', 'for admins');
      for (const [i, expected] of ['for all', 'for admins', 'for admins'].entries()) {
        expect(await streams[i]!.messagesUpTo(1)).toEqual([expected]);
      }
      const { lastEventId } = streams[1]!;
      streams[1]!.close();
      adminHub.broadcast('t', 'n', 'missed');
      const resumed = await bench.open(`${url}/admin/t`, { lastEventId });
      expect(await resumed.messagesUpTo(1)).toEqual(['missed']);
      const foreign = await bench.open(`${url}/public/t`, { lastEventId });
      expect((await foreign.next()).data).toContain('"reset"');
      await running.close();
      for (const stream of [streams[0]!, streams[2]!, resumed]) await stream.untilEnd();
      expect(logger.ofHub('error')).toEqual([]);
    });

    it('may all have names', async () => {
      @Controller()
      class OnlyController {
        @EventStream('events', { hub: 'only' })
        events(): string {
          return 't';
        }
      }

      @Injectable()
      class Elsewhere {
        constructor(@InjectSSE('only') readonly sse: SSEService) {}
      }

      @Module({ providers: [Elsewhere] })
      class ElsewhereModule {}

      const testing = await Test.createTestingModule({
        imports: [SSEModule.forRoot({ name: 'only' }), ElsewhereModule],
        controllers: [OnlyController],
      }).compile();
      const app = testing.createNestApplication(platform.adapter(), { logger: false });
      await app.listen(0, '127.0.0.1');
      try {
        const stream = await bench.open(`${await app.getUrl()}/events`);
        await stream.next();
        app.get(Elsewhere, { strict: false }).sse.broadcast('t', 'n', 1);
        expect(await stream.messagesUpTo(1)).toEqual([1]);
      } finally {
        await app.close();
      }
    });
  });
}

describe('several hubs that cannot be', () => {
  const compile = (...imports: ReturnType<typeof SSEModule.forRoot>[]) =>
    Test.createTestingModule({ imports }).compile();
  const invalid = (message: string) =>
    expect.objectContaining({ code: 'INVALID_CONFIG', message: expect.stringContaining(message) as unknown });

  it('two of the same name', async () => {
    const two = compile(
      SSEModule.forRoot({ name: 'a', maxClients: 1 }),
      SSEModule.forRoot({ name: 'a', maxClients: 2 }),
    );
    await expect(two).rejects.toEqual(invalid('configured twice in this application as "a"'));
  });

  it('one whose name is none', () => {
    for (const name of ['', 7 as never]) expect(() => SSEModule.forRoot({ name })).toThrow(invalid('option `name` is'));
  });

  it('one that a handler is for, and nobody has made', async () => {
    @Controller()
    class LostController {
      @EventStream('events', { hub: 'admn' })
      events(): string {
        return 't';
      }
    }
    const testing = await Test.createTestingModule({
      imports: [SSEModule.forRoot(), SSEModule.forRoot({ name: 'admin' })],
      controllers: [LostController],
    }).compile();
    const app = testing.createNestApplication(platforms[0]!.adapter(), { logger: false });
    const message =
      'LostController.events() is for the hub "admn", and there is none. There are: the one without a name, "admin".';
    await expect(app.init()).rejects.toEqual(invalid(message));
    await app.close();
  });

  it('are told apart in the log', async () => {
    const logger = new RecordedLogger();
    const testing = await Test.createTestingModule({
      imports: [SSEModule.forRoot({ name: 'admin', debug: true, backplane: new MemoryBackplane() })],
    })
      .setLogger(logger)
      .compile();
    const hub = testing.get<SSEService>(getSSEToken('admin'));
    hub.stream('t').subscribe().unsubscribe();
    expect(logger.lines.map(({ context }) => context)).toContain('SSEService admin');
    await testing.close();
  });
});
