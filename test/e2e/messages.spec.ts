import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Controller, Inject, Injectable, Logger, type OnModuleDestroy, Post } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import {
  type Backplane,
  BackplaneError,
  type Entry,
  MemoryBackplane,
  type SSEError,
  SSEModule,
  SSEService,
  topicPattern,
} from 'nestjs-sse-hub';
import { firstValueFrom, Subject } from 'rxjs';

import { closeAll, platforms, startApp } from '../support/platforms.js';

/** A call of a logger's method. */
interface Line {
  readonly level: string;
  readonly text: string;
  readonly rest: readonly unknown[];
}

let lines: Line[];

const level = (name: string) => {
  return (text: unknown, ...rest: unknown[]): void => void lines.push({ level: name, text: String(text), rest });
};
const logger = { log: level('log'), warn: level('warn'), error: level('error') };

beforeEach(() => {
  lines = [];
  Logger.overrideLogger(logger);
});

afterEach(async () => {
  await closeAll();
  Logger.overrideLogger(false);
});

/** A broker that takes nothing. */
class Refusing extends MemoryBackplane implements Backplane {
  readonly refused: Entry[] = [];

  override append(entry: Entry): Promise<never> {
    this.refused.push(entry);
    return Promise.reject(new BackplaneError('broker at 10.0.0.7 refuses it', 'no'));
  }
}

function events(sse: SSEService, topic: string): unknown[] {
  const seen: unknown[] = [];
  sse.observe(topic).subscribe(({ event, data }) => seen.push([event, data]));
  return seen;
}

describe('publishFrom()', () => {
  it('is stopped by whoever closes its topic: the source is let go of, and nothing is said of a failure', async () => {
    const sse = new SSEService();
    const seen = events(sse, 'answer');
    let released = false;
    async function* endless(): AsyncGenerator<number> {
      try {
        for (let n = 0; ; n++) yield await Promise.resolve(n);
      } finally {
        released = true;
      }
    }
    const published = sse.publishFrom(endless(), 'answer', 'token');
    const outcome = expect(published).rejects.toMatchObject({ code: 'TOPIC_CLOSED' });
    sse.observe('answer').subscribe(({ data }) => data === 2 && sse.closeTopic('answer'));
    await outcome;
    expect(released).toBe(true);
    expect(seen.map((one) => (one as unknown[])[0])).toEqual(['token', 'token', 'token']);
    expect(lines).toEqual([]);
  });

  it('says nothing of a source that fails because its topic was closed', async () => {
    const sse = new SSEService();
    const seen = events(sse, 'answer');
    const source = new Subject<number>();
    const published = sse.publishFrom(source, 'answer', 'token');
    source.next(1);
    sse.closeTopic('answer');
    source.error(new Error('aborted'));
    await expect(published).rejects.toMatchObject({ code: 'TOPIC_CLOSED' });
    expect(seen).toEqual([['token', 1]]);
    expect(lines).toEqual([]);
  });

  it('that a shutdown stops says so, and is told as failed', async () => {
    const sse = new SSEService({ drainTimeout: 50 });
    const seen = events(sse, 'answer:"7"');
    const source = new Subject<number>();
    const published = sse.publishFrom(source, 'answer:"7"', 'token');
    published.catch(() => {});
    await sse.shutdown();
    source.next(1);
    await expect(published).rejects.toMatchObject({ code: 'SHUTTING_DOWN' });
    expect(lines.map(({ level, text }) => [level, text])).toEqual([
      ['warn', 'The run on "answer:\\"7\\"" is cut short by the shutdown, and is told as failed.'],
    ]);
    expect(seen.map((one) => (one as unknown[])[0])).toEqual(['failed']);
  });

  it('says nothing at a shutdown when its topic is closed in `onModuleDestroy()`', async () => {
    @Injectable()
    class Answers implements OnModuleDestroy {
      readonly source = new Subject<number>();
      readonly published: Promise<void>;

      constructor(@Inject(SSEService) private readonly sse: SSEService) {
        this.published = sse.publishFrom(this.source, 'answer', 'token');
        this.published.catch(() => {});
      }

      onModuleDestroy(): void {
        this.sse.closeTopic('answer');
        this.source.error(new Error('aborted'));
      }
    }
    const testing = await Test.createTestingModule({ imports: [SSEModule.forRoot()], providers: [Answers] }).compile();
    const app = testing.createNestApplication(platforms[0]!.adapter(), { logger });
    await app.init();
    const answers = app.get(Answers);
    await app.close();
    await expect(answers.published).rejects.toMatchObject({ code: 'TOPIC_CLOSED' });
    expect(lines.filter(({ level }) => level !== 'log')).toEqual([]);
  });
});

describe('what cannot be published', () => {
  it('is logged with the call that failed and why', async () => {
    const calls: [(sse: SSEService) => void, string][] = [
      [(sse) => sse.broadcast('orders', 'created', 1), 'broadcast() to "orders"'],
      [(sse) => sse.broadcastAll('maintenance', 1), 'broadcastAll()'],
      [(sse) => sse.closeTopic('orders'), 'closeTopic("orders")'],
      [(sse) => sse.openTopic('orders'), 'openTopic("orders")'],
      [(sse) => sse.removeGroup('user:42'), 'removeGroup("user:42")'],
      [(sse) => sse.subscribeGroup('user:42', 'room:7'), 'subscribeGroup("user:42", "room:7")'],
      [(sse) => sse.unsubscribeGroup('user:42', 'room:7'), 'unsubscribeGroup("user:42", "room:7")'],
    ];
    for (const [call, name] of calls) {
      lines = [];
      // Each has its own hub, because what repeats within some seconds is summed up.
      const sse = new SSEService({ backplane: new Refusing() });
      call(sse);
      await new Promise((resolve) => setImmediate(resolve));
      expect(lines.map(({ text }) => text)).toEqual([`${name} failed: BackplaneError: broker at 10.0.0.7 refuses it`]);
      await sse.shutdown();
    }
  });

  it('says so once, and names the broker to the publisher only', async () => {
    @Controller('orders')
    class OrdersController {
      constructor(@Inject(SSEService) private readonly sse: SSEService) {}

      @Post()
      create(): Promise<string> {
        return this.sse.publish('orders', 'created', 1);
      }
    }
    const backplane = new Refusing();
    const { sse, url } = await startApp(platforms[0]!, { config: { backplane }, controllers: [OrdersController] });
    await expect(sse.publish('orders', 'created', 1)).rejects.toMatchObject({
      message: 'The log has not confirmed the event. broker at 10.0.0.7 refuses it',
    });
    const answer = await fetch(`${url}/orders`, { method: 'POST' });
    expect(await answer.json()).toEqual({
      statusCode: 503,
      code: 'BACKPLANE_UNAVAILABLE',
      message: 'The log has not confirmed the event.',
    });
  });
});

describe("a failure of the application's own code", () => {
  it('is logged with its stack, which says where it comes from', async () => {
    const sse = new SSEService();
    function failingObserver(): never {
      throw new TypeError('of an observer');
    }
    function failingFilter(): never {
      throw new TypeError('of a filter');
    }
    function failingInitial(): never {
      throw new TypeError('of initial');
    }
    sse.observe('a').subscribe(failingObserver);
    sse.stream('a', { filter: failingFilter }).subscribe();
    sse.stream('a', { initial: failingInitial }).subscribe();
    sse.broadcast('a', 'n', 1);
    await new Promise((resolve) => setImmediate(resolve));
    const stacks = lines.map(({ rest }) => String(rest[0]).split('\n').slice(0, 2).join());
    expect(stacks.toSorted()).toEqual([
      expect.stringMatching(/^TypeError: of a filter,.*failingFilter/),
      expect.stringMatching(/^TypeError: of an observer,.*failingObserver/),
      expect.stringMatching(/^TypeError: of initial,.*failingInitial/),
    ]);
  });
});

describe('an error', () => {
  it('says what is no source, before viewers are told that it failed', async () => {
    const sse = new SSEService();
    const seen = events(sse, 'answer');
    const refused = async (source: unknown): Promise<unknown> => {
      const outcome = sse.publishFrom(source as Subject<number>, 'answer', 'token');
      return outcome.catch(({ code, message }: SSEError) => [code, message]);
    };
    const reason = 'is neither an AsyncIterable nor an Observable.';
    expect(await refused(undefined)).toEqual(['INVALID_EVENT', `source: undefined ${reason}`]);
    const promise = Promise.resolve(new Subject());
    expect(await refused(promise)).toEqual(['INVALID_EVENT', `source: [object Promise] ${reason} Await the promise.`]);
    expect(seen).toEqual([]);
    await sse.publishFrom([1, 2] as never, 'answer', 'token');
    expect(seen).toHaveLength(2);
  });

  it('names an option that there is not, before a stream is opened that ignores it', async () => {
    const sse = new SSEService();
    const refusal = (method: string, name: string, shown: string): unknown =>
      expect.objectContaining({
        code: 'INVALID_CONFIG',
        message: expect.stringContaining(
          `${method}() has no option \`${name}\` (${shown}). The options are: id, `,
        ) as unknown,
      });
    expect(() => sse.addClient({ topic: 'a' } as never)).toThrow(refusal('addClient', 'topic', '"a"'));
    const response = new ServerResponse(new IncomingMessage(new Socket()));
    const typo = { topics: 'a', expiresIn: 60 } as never;
    expect(() => sse.createClient(response, typo)).toThrow(refusal('createClient', 'expiresIn', '60'));
    expect(response.headersSent).toBe(false);
    // Nest writes these, and the topics are the first argument.
    for (const name of ['headers', 'topics']) {
      const stream = firstValueFrom(sse.stream('a', { [name]: 'x' }));
      await expect(stream).rejects.toEqual(refusal('stream', name, '"x"'));
    }
    expect(sse.getClientCount()).toBe(0);
    sse.stream('a', { ['topics' as never]: undefined }).subscribe();
    expect(sse.getClientCount()).toBe(1);
  });

  it.each<[string, unknown, string]>([
    ['without @Res()', undefined, 'undefined'],
    ['with @Req()', new IncomingMessage(new Socket()), 'an object that is no response'],
    ['with a Fastify request', { raw: {}, headers: {} }, 'an object that is no response'],
  ])('says that createClient() takes the response: %s', (_, response, shown) => {
    const sse = new SSEService();
    expect(() => sse.createClient(response as never)).toThrow(
      expect.objectContaining({
        code: 'INVALID_ROUTE',
        message: expect.stringMatching(new RegExp(`^createClient\\(\\) was given ${shown}\\. .*@Res\\(\\)`)) as unknown,
      }),
    );
  });

  it('shows the value, whatever it is, and what to do instead', () => {
    const sse = new SSEService({ maxTopicsPerClient: 1 });
    const messageOf = (call: () => unknown): string => {
      try {
        call();
      } catch (error) {
        return (error as Error).message;
      }
      return 'none';
    };
    const config = (value: object): string => messageOf(() => new SSEService(value));
    expect(config({ maxClients: [] })).toContain('`maxClients` is []; it has to be a whole number of clients');
    expect(config({ compression: { threshold: -1 } })).toContain('`compression` is { threshold }; it has to be');
    expect(config({ redis: { password: 'secret' } })).toContain('no SSE option `redis` ({ password })');
    expect(config({ retryInterval: 2 ** 31 })).toContain('a whole number of milliseconds from 0 to 1073741823.');
    expect(messageOf(() => sse.broadcast({ event: 'e', data: 1 } as never))).toBe(
      'topic: there is none. broadcastAll() is for everybody.',
    );
    expect(messageOf(() => sse.broadcast(topicPattern('orders:*') as never, 'e', 1))).toBe(
      'topic: topicPattern("orders:*") stands for many, and this takes one.',
    );
    expect(messageOf(() => sse.removeClient('c', { reconnect: 'false' as never }))).toBe(
      'SSE option `reconnect` is "false"; it has to be true or false.',
    );
    expect(messageOf(() => sse.broadcast('t', 'sse.mine', 1))).toBe(
      `event: "sse.mine" begins with "sse.", as the hub's own events do.`,
    );
    expect(messageOf(() => sse.broadcast('t', 'e', 1, '1~mine'))).toBe('id: "1~mine" begins with "1~", as cursors do.');
    expect(messageOf(() => sse.sendEvent(1n as never, { data: 1 }))).toBe(
      'No client with the id 1 is connected to this node.',
    );
    sse.stream('a', { id: 'one' }).subscribe();
    expect(messageOf(() => sse.subscribe('one', 'b'))).toBe(
      '2 topics on one connection; maxTopicsPerClient is 1. Follow many with one topicPattern().',
    );
  });
});
