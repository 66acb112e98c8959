import { describe, expect, it } from '@jest/globals';
import { Controller, Get, Inject, Param } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import {
  type Cursor,
  type Entry,
  type Filter,
  MemoryBackplane,
  type SSEConfig,
  SSEModule,
  SSEService,
  TopicPattern,
} from 'nestjs-sse-hub';

import { returnToBaseline } from '../../support/baseline.js';
import { platforms } from '../../support/platforms.js';
import { answerTo, serve } from '../../support/served.js';
import { transports } from '../../support/stream-controllers.js';

const bench = returnToBaseline();

for (const platform of platforms) {
  for (const transport of transports) {
    describe(`${transport.name} on ${platform.name}`, () => {
      it('A4: with `enabled: false` connecting is DISABLED (503), and publishing does nothing', async () => {
        const { sse, request } = await serve(bench, platform, transport, { config: { enabled: false } });
        expect(await answerTo(await request('a'))).toEqual({
          status: 503,
          body: { statusCode: 503, code: 'DISABLED', message: expect.stringContaining('enabled: false') as unknown },
        });
        const seen: unknown[] = [];
        const observing = sse.observe('a').subscribe((event) => seen.push(event));
        sse.broadcast('a', 'n', 1);
        sse.broadcast({ topic: 'a', data: 1 });
        sse.broadcastAll('n', 1);
        expect(await sse.publish('a', 'n', 1)).toBe('');
        sse.closeTopic('a');
        sse.openTopic('a');
        sse.removeGroup('g');
        await sse.publishFrom(numbers(2), 'a', 'n');
        expect(sse.sendTo('c', 'n', 1)).toBe(false);
        expect(sse.subscribe('c', 'a')).toBe(false);
        expect(sse.removeClient('c')).toBe(false);
        expect(seen).toEqual([]);
        expect(sse.stats()).toMatchObject({ clients: 0, published: 0, refused: 0, history: { events: 0, bytes: 0 } });
        observing.unsubscribe();
      });
    });
  }

  describe(`on ${platform.name}`, () => {
    it('A4: errors of the hub that a handler lets through are answered with their status, code and message', async () => {
      const faults: Record<string, (sse: SSEService) => unknown> = {
        INVALID_TOPIC: (sse) => sse.broadcast('a*', 'n', 1),
        INVALID_EVENT: (sse) => sse.publish('a', 'sse.x', 1),
        EVENT_TOO_LARGE: (sse) => sse.broadcast('a', 'n', 'x'.repeat(11)),
        TOPIC_CLOSED: (sse) => sse.publish('closed', 'n', 1),
        CLIENT_NOT_FOUND: (sse) => sse.sendEvent('nobody', { data: 1 }),
      };
      @Controller()
      class FaultController {
        constructor(@Inject(SSEService) private readonly sse: SSEService) {}

        @Get('fault/:code')
        fault(@Param('code') code: string): unknown {
          return faults[code]!(this.sse);
        }
      }
      const { url, sse } = await bench.start(platform, {
        config: { maxEventSize: 10 },
        controllers: [FaultController],
      });
      sse.closeTopic('closed');
      const statuses = {
        INVALID_TOPIC: 400,
        INVALID_EVENT: 400,
        EVENT_TOO_LARGE: 413,
        TOPIC_CLOSED: 409,
        CLIENT_NOT_FOUND: 404,
      };
      for (const [code, status] of Object.entries(statuses)) {
        expect(await answerTo(await bench.open(`${url}/fault/${code}`))).toEqual({
          status,
          body: { statusCode: status, code, message: expect.stringMatching(/\.$/) as unknown },
        });
      }
    });
  });
}

describe('SSEModule', () => {
  const wrong: [string, unknown, RegExp][] = [
    ['enabled', 'yes', /"yes".*true or false/],
    ['debug', 1, /1.*true or false/],
    ['heartbeatInterval', -1, /-1.*milliseconds from 0/],
    ['heartbeatInterval', Number.NaN, /NaN.*milliseconds/],
    ['retryInterval', 2 ** 31, /2147483648.*milliseconds/],
    ['retryInterval', '3000', /"3000".*milliseconds/],
    ['retryJitter', 1.5, /1\.5.*from 0 to 1/],
    ['maxEventSize', 0, /0.*bytes from 1/],
    ['compression', 'gzip', /"gzip".*true/],
    ['maxClients', 0, /0.*clients from 1/],
    ['maxClients', 1.5, /1\.5.*whole number/],
    ['maxClients', -Infinity, /-Infinity.*clients/],
    ['maxClientsPerGroup', null, /null.*clients/],
    ['onLimit', 'evict-oldest', /"evict-oldest".*'retry', 'reject'/],
    ['onGroupLimit', 'drop', /"drop".*'evict-oldest', 'retry', 'reject'/],
    ['maxTopicsPerClient', 0, /0.*topics from 1/],
    ['maxHistorySize', -1, /-1.*events from 0/],
    ['maxHistoryAge', '20m', /"20m".*milliseconds/],
    ['maxHistoryBytes', Number.NaN, /NaN.*bytes/],
    ['history', { topics: 'a' }, /list of/],
    ['history', [{ topics: 'a*' }], /history\[0\]\.topics.*"a\*".*topicPattern/],
    ['history', [{ topics: 'a' }, { topics: 'b', maxSize: -1 }], /history\[1\]\.maxSize.*-1.*events/],
    ['history', [{ topics: 'a', maxAge: 'x' }], /history\[0\]\.maxAge.*"x".*milliseconds/],
    ['history', [null], /history\[0\].*null/],
    ['history', [{}], /history\[0\]\.topics.*undefined/],
    ['history', [{ topics: 'a', maxsize: 5 }], /history\[0\]\.maxsize/],
    ['onGap', 'skip', /"skip".*'earliest', 'latest'/],
    ['maxConnectionAge', Infinity, /Infinity.*milliseconds from 0 to 2147483647/],
    ['highWaterMark', 0, /0.*bytes from 1/],
    ['flushInterval', -1, /-1.*milliseconds from 0 to 60000/],
    ['flushInterval', 60_001, /60001.*milliseconds from 0 to 60000/],
    ['flushInterval', 0.5, /0\.5.*whole number/],
    ['flush', { topics: 'a', interval: 0 }, /list of/],
    ['flush', [{ topics: 'a*', interval: 0 }], /flush\[0\]\.topics.*"a\*".*topicPattern/],
    [
      'flush',
      [
        { topics: 'a', interval: 0 },
        { topics: 'b', interval: '1s' },
      ],
      /flush\[1\]\.interval.*"1s"/,
    ],
    ['flush', [{ topics: 'a' }], /flush\[0\]\.interval.*undefined.*milliseconds/],
    ['flush', [{ topics: 'a', interval: 0, every: 5 }], /flush\[0\]\.every.*topics, interval/],
    ['flush', ['a'], /flush\[0\].*"a".*an object/],
    ['slowTimeout', 0, /0.*milliseconds from 1/],
    ['drainTimeout', -1, /-1.*milliseconds/],
    ['topicDelimiter', '', /"".*not empty/],
    ['serialize', 'json', /"json".*a function/],
    ['deserialize', {}, /a function/],
    ['controlEvents', 0, /0.*true or false/],
    ['backplane', { url: 'redis://localhost' }, /new MemoryBackplane\(\)/],
    ['maxClient', 5, /5.*maxClients/],
  ];

  it.each(wrong)(
    'A4: the option `%s` with the value %p is INVALID_CONFIG at start-up',
    async (option, value, message) => {
      const config = { [option]: value } as SSEConfig;
      const expected = {
        code: 'INVALID_CONFIG',
        status: 500,
        message: expect.stringMatching(message) as unknown,
      };
      expect(() => new SSEService(config)).toThrow(expect.objectContaining(expected));
      expect(() => new SSEService(config)).toThrow(option);
      const compiling = (module: ReturnType<typeof SSEModule.forRoot>): Promise<unknown> =>
        Test.createTestingModule({ imports: [module] }).compile();
      await expect(compiling(SSEModule.forRoot(config))).rejects.toMatchObject(expected);
      await expect(compiling(SSEModule.forRootAsync({ useFactory: () => config }))).rejects.toMatchObject(expected);
    },
  );

  it('A4: `undefined` stands for the default, and every value at the edge of what is allowed is taken', () => {
    const edges: SSEConfig[] = [
      Object.fromEntries(wrong.filter(([name]) => name !== 'maxClient').map(([name]) => [name, undefined])),
      {
        heartbeatInterval: 0,
        retryInterval: 0,
        retryJitter: 0,
        maxHistorySize: 0,
        maxHistoryAge: 0,
        maxHistoryBytes: 65_536,
      },
      {
        maxClients: Infinity,
        maxClientsPerGroup: Infinity,
        maxHistoryAge: Infinity,
        maxConnectionAge: 0,
        drainTimeout: 0,
      },
      { history: [], retryJitter: 1, backplane: new MemoryBackplane() },
      { flushInterval: 0, flush: [{ topics: 'a', interval: 60_000 }] },
      { flushInterval: 60_000, flush: [] },
    ];
    for (const config of edges) expect(() => new SSEService(config)).not.toThrow();
  });

  it.each([
    ['group', 42, '42; it has to be a string'],
    ['filter', 'all', '"all"; it has to be a function'],
    ['lastEventId', 5, '5; it has to be a string'],
    ['since', null, 'null; it has to be a Date, or milliseconds since 1970'],
    ['notBefore', '', '""; it has to be a Date, or milliseconds since 1970'],
    ['expiresAt', true, 'true; it has to be a Date, or milliseconds since 1970'],
    [
      'expiresAt',
      1_790_000_000,
      '1790000000; it has to be a Date, or milliseconds since 1970, and this looks like seconds',
    ],
    ['since', 1_790_000_000, 'this looks like seconds: × 1,000'],
    ['notBefore', new Date(1_790_000_000), 'this looks like seconds: × 1,000'],
    ['expiresAt', new Date('never'), 'it has to be a Date, or milliseconds since 1970'],
  ])("A4: a client's option `%s` with the value %p is INVALID_CONFIG, and takes no slot", (option, value, message) => {
    const sse = new SSEService();
    const refused = expect.objectContaining({
      code: 'INVALID_CONFIG',
      message: expect.stringContaining(message) as unknown,
    });
    expect(() => sse.addClient({ topics: 'a', [option]: value })).toThrow(refused);
    expect(sse.stats().clients).toBe(0);
  });

  it('A4: an event that the whole log could not hold is EVENT_TOO_LARGE, and drives out nothing', async () => {
    const sse = new SSEService({ maxHistoryBytes: 100_000 });
    sse.broadcast('a', 'n', 'small');
    const tooLarge = expect.objectContaining({
      code: 'EVENT_TOO_LARGE',
      message: expect.stringMatching(
        /takes 120\d{3} bytes in the log, which may have 100000 \(maxHistoryBytes\)/,
      ) as unknown,
    });
    expect(() => sse.broadcast('b', 'n', 'x'.repeat(60_000))).toThrow(tooLarge);
    expect(() => sse.broadcastAll('n', 'x'.repeat(60_000))).toThrow(tooLarge);
    await expect(sse.publish('b', 'n', 'x'.repeat(60_000))).rejects.toEqual(tooLarge);
    expect(sse.stats().history.events).toBe(1);
    await sse.shutdown();
  });

  it('A4: options are checked where a class has them as getters, too, and read once', () => {
    const answers = [5, -1];
    class Options implements SSEConfig {
      get maxClients(): number {
        return answers.shift()!;
      }
    }
    bench.watch(new SSEService(new Options()));
    expect(answers).toEqual([-1]);
    expect(() => new SSEService(new Options())).toThrow(
      expect.objectContaining({ code: 'INVALID_CONFIG', message: expect.stringContaining('`maxClients` is -1') }),
    );
  });

  it('A4: what a client was connected with is what was checked', () => {
    const sse = bench.watch(new SSEService({ maxTopicsPerClient: 2 }));
    const answers: unknown[] = ['latest', 'sometimes', 'sometimes'];
    const reading = sse
      .stream('a', Object.defineProperty({ id: 'c' }, 'onGap', { get: () => answers.shift() }))
      .subscribe();
    expect(answers).toEqual(['sometimes', 'sometimes']);
    const pattern = { pattern: 'b:*' };
    const shifting = Object.setPrototypeOf(pattern, TopicPattern.prototype) as TopicPattern;
    expect(sse.subscribe('c', shifting)).toBe(true);
    pattern.pattern = 'c:*';
    expect([...sse.getClient('c')!.topics]).toEqual(['a', 'b:*']);
    expect(sse.getClientCount('c:1')).toBe(0);
    reading.unsubscribe();
  });

  it('A4: a filter of one topic that cannot be called is INVALID_CONFIG at once', () => {
    const sse = bench.watch(new SSEService());
    const reading = sse.stream('a', { id: 'c' }).subscribe();
    expect(() => sse.subscribe('c', 'b', { filter: true as unknown as Filter })).toThrow(
      expect.objectContaining({ code: 'INVALID_CONFIG', message: expect.stringContaining('`filter` is true') }),
    );
    expect(sse.getClientCount('b')).toBe(0);
    reading.unsubscribe();
  });

  it('A4: a group that is not a string is INVALID_CONFIG, and nothing is appended', () => {
    const appended: unknown[] = [];
    const backplane = new (class extends MemoryBackplane {
      override append(entry: Entry): Promise<Cursor> {
        appended.push(entry);
        return super.append(entry);
      }
    })();
    const sse = new SSEService({ backplane });
    const groups = [
      [undefined, 'undefined'],
      [null, 'null'],
      [42, '42'],
      [['g'], '[g]'],
    ] as unknown as [string, string][];
    for (const [group, shown] of groups) {
      const refused = expect.objectContaining({
        code: 'INVALID_CONFIG',
        message: `SSE option \`group\` is ${shown}; it has to be a string.`,
      });
      expect(() => sse.removeGroup(group)).toThrow(refused);
      expect(() => sse.subscribeGroup(group, 'a')).toThrow(refused);
      expect(() => sse.unsubscribeGroup(group, 'a')).toThrow(refused);
    }
    for (const reconnect of [null, 0, 'false'] as unknown as boolean[]) {
      expect(() => sse.removeGroup('g', { reconnect })).toThrow(/`reconnect` is .* it has to be true or false/);
    }
    expect(appended).toEqual([]);
  });

  it('A4: two hubs in one application are INVALID_CONFIG at start-up', async () => {
    const module = Test.createTestingModule({
      imports: [SSEModule.forRoot({ maxClients: 1 }), SSEModule.forRoot({ maxClients: 2 })],
    });
    await expect(module.compile()).rejects.toMatchObject({
      code: 'INVALID_CONFIG',
      message: expect.stringContaining('twice') as unknown,
    });
  });
});

async function* numbers(count: number): AsyncGenerator<number> {
  for (let n = 0; n < count; n++) yield n;
}
