import { describe, expect, it } from '@jest/globals';
import { getBytes, getLines, getMessages } from '@microsoft/fetch-event-source/lib/cjs/parse.js';
import {
  applyDecorators,
  BadRequestException,
  Body,
  Controller,
  ForbiddenException,
  Get,
  Header,
  Headers,
  HttpCode,
  Inject,
  Module,
  NotFoundException,
  Param,
  ParseIntPipe,
  Query,
  Redirect,
  Render,
  Req,
  Res,
  Sse,
  type Type,
  UseGuards,
  UseInterceptors,
  Version,
  VersioningType,
} from '@nestjs/common';
import { REQUEST } from '@nestjs/core';
import { Test } from '@nestjs/testing';
import {
  type ClientOptions,
  EventStream,
  type NodeResponseLike,
  SSEModule,
  SSEService,
  topicPattern,
} from 'nestjs-sse-hub';
import { BehaviorSubject, defer, EMPTY, map, of, retry, throwError, timer } from 'rxjs';

import { returnToBaseline, until } from '../support/baseline.js';
import { type AppOptions, type Platform, platforms, type RunningApp } from '../support/platforms.js';
import { RecordedLogger } from '../support/recorded-logger.js';
import { answerOf, answerTo } from '../support/served.js';

const bench = returnToBaseline();

interface Started extends RunningApp {
  readonly logger: RecordedLogger;
}

async function start(platform: Platform, controller: Type<unknown>, options: AppOptions = {}): Promise<Started> {
  const logger = new RecordedLogger();
  const running = await bench.start(platform, {
    controllers: [controller],
    ...options,
    prepare: (app) => {
      app.useLogger(logger);
      options.prepare?.(app);
    },
  });
  return { ...running, logger };
}

/** Goes on for ever. */
const topics = new BehaviorSubject('t');

/** What handlers return, by name. */
const RETURNED: Readonly<Record<string, () => unknown>> = {
  topic: () => 't',
  pattern: () => topicPattern('*'),
  list: () => ['u', topicPattern('t')],
  options: () => ({ topics: 't', group: 'g' }),
  promise: () => Promise.resolve('t'),
  observable: () => of({ topics: 't' }),
  deferred: () => defer(() => Promise.resolve(['t'])),
  'open-observable': () => topics,
  later: () => timer(5).pipe(map(() => 't')),
};

for (const platform of platforms) {
  describe(`@EventStream() on ${platform.name}`, () => {
    it.each(Object.keys(RETURNED))('follows what its handler returns (%s), and resumes', async (form) => {
      @Controller()
      class FormsController {
        @EventStream('events')
        events(): unknown {
          return RETURNED[form]!();
        }
      }
      const { url, sse } = await start(platform, FormsController);
      const first = await bench.connect(`${url}/events`);
      expect(first.response.headers['content-type']).toBe('text/event-stream');
      expect(topics.observed).toBe(false);
      sse.broadcast('t', 'n', 1);
      await first.messagesUpTo(1);
      first.close();
      await until('it has left', () => sse.getClientCount() === 0);
      sse.broadcast('t', 'n', 2);
      const again = await bench.connect(`${url}/events`, { lastEventId: first.lastEventId });
      expect(again.events[0]?.data).toContain('"resumed":"full"');
      expect(await again.messagesUpTo(1)).toEqual([2]);
    });

    it.each([
      ['undefined', () => undefined],
      ['null', () => Promise.resolve(null)],
      ['EMPTY', () => EMPTY],
    ])('answers %s with 204, which is in no cache', async (_name, returned) => {
      @Controller()
      class NothingController {
        @EventStream('events')
        events(): unknown {
          return returned();
        }
      }
      const { url, sse } = await start(platform, NothingController);
      const answer = await fetch(`${url}/events`);
      expect([answer.status, answer.headers.get('cache-control')]).toEqual([204, 'no-store']);
      expect(sse.stats()).toMatchObject({ clients: 0, refused: 0 });
    });

    it.each<[string, (sse: SSEService, response: NodeResponseLike) => unknown, string, RegExp]>([
      [
        'a number',
        () => 42,
        'INVALID_ROUTE',
        /Controller\.events\(\) returns 42\. .*\{ topics: 'orders', group \}.*204/,
      ],
      ['an instance', () => new Date(0), 'INVALID_ROUTE', /events\(\) returns .*1970/],
      ['an empty list', () => [], 'INVALID_ROUTE', /events\(\) returns an empty list\./],
      ['no topics', () => ({ onGap: 'latest' }), 'INVALID_ROUTE', /returns options without topics/],
      ['a list of Observables', () => [of('t')], 'INVALID_TOPIC', /topic/],
      ['a message', () => of({ data: 1 }), 'INVALID_CONFIG', /events\(\) returns has no option `data` \(1\)/],
      ['a wrong option', () => ({ topic: 't' }), 'INVALID_CONFIG', /has no option `topic` \("t"\).*topics, filter/],
      ['a wrong value', () => ({ topics: 't', onGap: 'x' }), 'INVALID_CONFIG', /`onGap` is "x"/],
      ['stream()', (sse) => sse.stream('t'), 'INVALID_ROUTE', /returns stream\(\).*return \{ topics \}/],
      ['addClient()', (sse) => sse.addClient(), 'INVALID_ROUTE', /addClient\(\) was called in .*return \{ topics \}/],
      [
        'what createClient() answers',
        (sse, response) => sse.createClient(response, { topics: 't' }),
        'INVALID_ROUTE',
        /createClient\(\) was called in \w+\.events\(\), and @EventStream\(\).*return \{ topics \}/,
      ],
    ])('refuses %s before a byte is written', async (_name, returned, code, message) => {
      @Controller()
      class WrongController {
        constructor(@Inject(SSEService) private readonly sse: SSEService) {}

        @EventStream('events')
        async events(@Res() response: NodeResponseLike): Promise<unknown> {
          await Promise.resolve();
          return returned(this.sse, response);
        }
      }
      const { url, sse, logger } = await start(platform, WrongController);
      const answer = await answerTo(await bench.open(`${url}/events`));
      expect(answer).toEqual(answerOf(code === 'INVALID_TOPIC' ? 400 : 500, code, message));
      expect(sse.getClientCount()).toBe(0);
      // An EventSource shows nobody the answer.
      if (code !== 'INVALID_TOPIC') expect(logger.ofHub('error')).toEqual([expect.stringMatching(message)]);
    });

    it('leaves alone what its handler has answered itself', async () => {
      @Controller()
      class OwnAnswerController {
        @EventStream('events')
        events(@Res() response: { status(code: number): { send(text: string): void } }) {
          response.status(418).send('a teapot');
        }
      }
      const { url, logger } = await start(platform, OwnAnswerController);
      const answer = await fetch(`${url}/events`);
      expect([answer.status, await answer.text()]).toEqual([418, 'a teapot']);
      expect(logger.ofHub('error')).toEqual([]);
    });

    it('answers in the ordinary way what guards, pipes and the handler throw', async () => {
      @Controller()
      class GuardedController {
        @UseGuards({ canActivate: () => false })
        @EventStream('guarded')
        guarded() {
          return 't';
        }

        @EventStream('piped/:id')
        piped(@Param('id', ParseIntPipe) id: number) {
          return `t:${id}`;
        }

        @EventStream('missing')
        missing(): string {
          throw new NotFoundException('There is none.');
        }

        @EventStream('rejected')
        async rejected(): Promise<string> {
          await Promise.resolve();
          throw new ForbiddenException();
        }

        @EventStream('broken')
        broken() {
          return throwError(() => new Error('secret'));
        }
      }
      const { url, sse } = await start(platform, GuardedController);
      const answers = ['guarded', 'piped/x', 'missing', 'rejected', 'broken'].map(async (path) =>
        answerTo(await bench.open(`${url}/${path}`)),
      );
      expect((await Promise.all(answers)).map(({ status }) => status)).toEqual([403, 400, 404, 403, 500]);
      expect(sse.stats()).toMatchObject({ clients: 0, topics: 0 });
      expect((await bench.connect(`${url}/piped/7`)).status).toBe(200);
    });

    it('has its options for all clients, and what the handler returns wins', async () => {
      @Controller()
      class DefaultsController {
        @EventStream('events', {
          retryInterval: 123,
          controlEvents: false,
          headers: { 'X-Feed': 'orders' },
          since: 0,
          filter: ({ data }) => data !== 'hidden',
          initial: { data: 'first' },
        })
        events(@Query('retry') retry?: string): ClientOptions {
          return { topics: 't', ...(retry !== undefined && { retryInterval: Number(retry), onGap: undefined }) };
        }
      }
      const { url, sse } = await start(platform, DefaultsController, { config: { retryJitter: 0 } });
      sse.broadcast('t', 'n', 'hidden');
      sse.broadcast('t', 'n', 'shown');
      const [one, other] = [await bench.open(`${url}/events`), await bench.open(`${url}/events?retry=456`)];
      for (const stream of [one, other]) {
        expect(await stream.messagesUpTo(2)).toEqual(['first', 'shown']);
        expect(stream.response.headers['x-feed']).toBe('orders');
        expect(stream.raw).not.toContain('sse.open');
      }
      expect([one.retries, other.retries]).toEqual([[123], [456]]);
    });

    it('takes POST, with its body, and is 200', async () => {
      @Controller()
      class PostController {
        @EventStream('ask', { method: 'POST' })
        ask(@Body('topic') topic: unknown) {
          if (typeof topic !== 'string') throw new BadRequestException();
          return topic;
        }
      }
      const { url, sse } = await start(platform, PostController);
      const stream = await bench.connect(`${url}/ask`, { method: 'POST', body: { topic: 't' } });
      expect(stream.status).toBe(200);
      sse.broadcast('t', 'n', 1);
      expect(await stream.messagesUpTo(1)).toEqual([1]);
      expect((await fetch(`${url}/ask`, { method: 'POST' })).status).toBe(400);
      // As fetch-event-source does, with its own parser: in Node there is no document for the rest of it.
      const read: string[] = [];
      const leave = new AbortController();
      const headers = { 'content-type': 'application/json', 'last-event-id': stream.events[0]!.lastEventId };
      const init = { method: 'POST', body: '{"topic":"t"}', headers, signal: leave.signal };
      const { body } = await fetch(`${url}/ask`, init);
      const messages = getMessages(
        () => {},
        () => {},
        ({ event, data }) => read.push(`${event} ${data}`),
      );
      const reading = getBytes(body!, getLines(messages)).catch(() => {});
      await until('it has read what it had missed', () => read.includes('n 1'));
      leave.abort();
      await reading;
      expect((await fetch(`${url}/ask`)).status).toBe(404);
    });

    it('answers HEAD with the headers, and holds no slot', async () => {
      @Controller()
      class HeadController {
        @EventStream('events')
        events() {
          return 't';
        }
      }
      const { url, sse } = await start(platform, HeadController);
      const answer = await fetch(`${url}/events`, { method: 'HEAD' });
      expect([answer.status, answer.headers.get('content-type')]).toEqual([200, 'text/event-stream']);
      expect(sse.getClientCount()).toBe(0);
    });

    it('gives its handler exactly the arguments that it asks for', async () => {
      const seen: unknown[][] = [];
      @Controller()
      class ArgumentsController {
        @EventStream('none')
        none(...args: unknown[]) {
          seen.push(args);
          return 't';
        }

        @EventStream('defaults')
        defaults(@Query('a') a = 'a', b = 'b', ...rest: unknown[]) {
          seen.push([a, b, ...rest]);
          return 't';
        }

        @EventStream('last/:id')
        last(_first: undefined, @Req() request: { url: string }, @Param('id') id: string, ...rest: unknown[]) {
          seen.push([request.url, id, ...rest]);
          return 't';
        }
      }
      const { url } = await start(platform, ArgumentsController);
      for (const path of ['none', 'defaults', 'last/7']) await bench.connect(`${url}/${path}`);
      expect(seen).toEqual([[], ['a', 'b'], ['/last/7', '7']]);
    });

    it.each([false, true])('leaves its handler a @Res(), passthrough: %s', async (passthrough) => {
      @Controller()
      class ResponseController {
        @EventStream('events')
        events(@Res({ passthrough }) response: { header(name: string, value: string): void }) {
          response.header('X-Handler', 'yes');
          return 't';
        }
      }
      const { url, sse } = await start(platform, ResponseController);
      const stream = await bench.connect(`${url}/events`);
      expect(stream.response.headers['x-handler']).toBe('yes');
      sse.broadcast('t', 'n', 1);
      expect(await stream.messagesUpTo(1)).toEqual([1]);
    });

    it('goes with @Header(), @HttpCode(), a prefix, versions, several paths and applyDecorators()', async () => {
      const guarded: string[] = [];
      const UserStream = (path: string): MethodDecorator & ClassDecorator =>
        applyDecorators(
          EventStream(path),
          UseGuards({ canActivate: () => guarded.push(path) > 0 }),
          Header('X-Composed', 'yes'),
        );

      @Controller({ path: 'feeds', version: '1' })
      class VersionedController {
        @Header('X-Static', 'yes')
        @HttpCode(202)
        @EventStream(['a', 'b'])
        both() {
          return 't';
        }

        @UserStream('mine')
        mine() {
          return 't';
        }

        @EventStream()
        root() {
          return 't';
        }

        @Version('2')
        @EventStream('a')
        second(@Headers('host') host: string) {
          return { topics: 't', headers: { 'X-Second': host } };
        }
      }
      const byUri = await start(platform, VersionedController, {
        prepare: (app) => app.setGlobalPrefix('api').enableVersioning({ type: VersioningType.URI }),
      });
      const [a, b, mine, root, second] = await Promise.all(
        ['v1/feeds/a', 'v1/feeds/b', 'v1/feeds/mine', 'v1/feeds', 'v2/feeds/a'].map((path) =>
          bench.connect(`${byUri.url}/api/${path}`),
        ),
      );
      expect([a!, b!, mine!, root!, second!].map(({ status }) => status)).toEqual([200, 200, 200, 200, 200]);
      expect([a, b].map((stream) => stream?.response.headers['x-static'])).toEqual(['yes', 'yes']);
      expect([guarded, mine?.response.headers['x-composed']]).toEqual([['mine'], 'yes']);
      expect(second?.response.headers['x-second']).toMatch(/^127/);

      const byHeader = await start(platform, VersionedController, {
        prepare: (app) => app.enableVersioning({ type: VersioningType.HEADER, header: 'X-Version' }),
      });
      const asked = await bench.connect(`${byHeader.url}/feeds/a`, { headers: { 'x-version': '2' } });
      expect(asked.response.headers['x-second']).toMatch(/^127/);
    });

    it('is inherited, and may be overridden', async () => {
      abstract class Feeds {
        abstract readonly topic: string;

        @EventStream('own')
        own(@Query('more') more?: string): ClientOptions {
          return { topics: more === undefined ? this.topic : [this.topic, more] };
        }

        @EventStream('again')
        again(@Query('more') more?: string): ClientOptions {
          return { topics: more === undefined ? this.topic : [this.topic, more] };
        }

        @EventStream('plain')
        plain(): unknown {
          return this.topic;
        }
      }

      @Controller('first')
      class FirstController extends Feeds {
        topic = 'one';
      }

      @Controller('second')
      class SecondController extends Feeds {
        topic = 'two';

        @EventStream('again')
        override again(@Query('more') more?: string): ClientOptions {
          return { ...super.again(more), headers: { 'X-Again': 'yes' } };
        }

        @Get('plain')
        override plain() {
          return { topic: this.topic };
        }
      }
      const { url, sse } = await start(platform, FirstController, {
        controllers: [FirstController, SecondController],
      });
      const streams = await Promise.all(
        ['first/own', 'first/again', 'first/plain', 'second/own', 'second/again?more=one'].map((path) =>
          bench.connect(`${url}/${path}`),
        ),
      );
      expect(streams[4]?.response.headers['x-again']).toBe('yes');
      sse.broadcast('one', 'n', 1);
      sse.broadcast('two', 'n', 2);
      await Promise.all(streams.map((stream) => stream.messagesUpTo(1)));
      await streams[4]!.messagesUpTo(2);
      expect(streams.map(({ data }) => data)).toEqual([[1], [1], [1], [2], [1, 2]]);
      expect(await (await fetch(`${url}/second/plain`)).json()).toEqual({ topic: 'two' });
    });

    it('is there in controllers that are made for each request', async () => {
      @Controller()
      class ScopedController {
        constructor(@Inject(REQUEST) private readonly request: { readonly query: { readonly topic: string } }) {}

        @UseInterceptors({ intercept: (_context, next) => next.handle().pipe(map((data) => ({ data }))) })
        @EventStream('events')
        events() {
          return this.request.query.topic;
        }
      }
      const { url, sse } = await start(platform, ScopedController);
      const streams = await Promise.all(['a', 'b'].map((topic) => bench.connect(`${url}/events?topic=${topic}`)));
      sse.broadcast('a', 'n', 1);
      sse.broadcast('b', 'n', 2);
      expect(await Promise.all(streams.map((stream) => stream.messagesUpTo(1)))).toEqual([[1], [2]]);
    });

    it('is next to its handler, on whichever side of it an interceptor stands', async () => {
      const seen: unknown[] = [];
      const envelope = {
        intercept: (_context: unknown, next: { handle(): ReturnType<typeof of> }) =>
          next.handle().pipe(
            map((data: unknown) => {
              seen.push(data);
              return { data };
            }),
          ),
      };
      @UseInterceptors(envelope)
      @Controller()
      class EnvelopedController {
        @UseInterceptors(envelope)
        @EventStream('above')
        above() {
          return 't';
        }

        @EventStream('below')
        @UseInterceptors(envelope)
        below() {
          return 't';
        }
      }
      const { url, sse } = await start(platform, EnvelopedController, {
        prepare: (app) => app.useGlobalInterceptors(envelope),
      });
      const streams = [await bench.connect(`${url}/above`), await bench.connect(`${url}/below`)];
      sse.broadcast('t', 'n', 1);
      for (const stream of streams) expect(await stream.messagesUpTo(1)).toEqual([1]);
      expect(seen.map((value) => JSON.stringify(value))).toEqual([
        ...[undefined, '{}', '{"data":{}}'],
        ...[undefined, '{}', '{"data":{}}'],
      ]);
    });

    it('asks a handler again for an interceptor that retries, until its stream is open', async () => {
      let asked = 0;
      @Controller()
      class RetriedController {
        @UseInterceptors({
          intercept: (_context, next) =>
            next.handle().pipe(
              map(() => {
                throw new Error('behind the stream');
              }),
              retry(5),
            ),
        })
        @EventStream('events')
        events() {
          asked++;
          if (asked < 3) throw new Error('not yet');
          return 't';
        }
      }
      const { url, sse, logger } = await start(platform, RetriedController);
      const stream = await bench.connect(`${url}/events`);
      sse.broadcast('t', 'n', 1);
      expect(await stream.messagesUpTo(1)).toEqual([1]);
      expect([asked, sse.getClientCount()]).toEqual([3, 1]);
      expect(logger.ofHub('warn')).toEqual([
        expect.stringMatching(
          /RetriedController\.events\(\): an interceptor failed with Error: behind the stream after/,
        ),
      ]);
    });
  });
}

describe('@EventStream()', () => {
  const events = (): string => 't';

  function define(...decorators: MethodDecorator[]): Type<unknown> {
    class OrdersController {
      events(): string {
        return events();
      }
    }
    const descriptor = Object.getOwnPropertyDescriptor(OrdersController.prototype, 'events')!;
    for (const decorate of decorators.toReversed()) decorate(OrdersController.prototype, 'events', descriptor);
    Controller()(OrdersController);
    return OrdersController;
  }

  const given = (options: object): MethodDecorator => EventStream('events', options);

  it.each<[string, () => MethodDecorator, RegExp]>([
    [
      'an unknown option',
      () => given({ retry: 3 }),
      /OrdersController\.events\(\) has no option `retry` \(3\).*filter, since/,
    ],
    ['an option of one request', () => given({ topics: 't' }), /no option `topics`/],
    ['a wrong value', () => given({ heartbeatInterval: -1 }), /`heartbeatInterval` is -1/],
    ['a wrong end', () => given({ plannedEnd: 'stop' }), /`plannedEnd` is "stop".*'end' or 'cut'/],
    ['a wrong filter', () => given({ filter: 'x' }), /`filter` is "x"/],
    ['seconds', () => given({ since: 1_700_000_000 }), /`since`.*× 1,000/],
    ['a wrong method', () => given({ method: 'post' }), /`method` is "post".*in capitals.*OrdersController\.events/],
    [
      'options for a path',
      () => EventStream({ method: 'POST' } as unknown as string),
      /path of @EventStream\(\) of Orders/,
    ],
    ['no path', () => EventStream([]), /path of @EventStream\(\) of Orders/],
  ])('refuses %s where the class is defined', (_name, decorator, message) => {
    expect(() => define(decorator())).toThrow(
      expect.objectContaining({ code: 'INVALID_CONFIG', message: expect.stringMatching(message) as unknown }),
    );
  });

  it.each<[string, () => MethodDecorator]>([
    ['@Get()', () => Get('events')],
    ['@Sse()', () => Sse('events')],
    ['another one', () => EventStream('events')],
  ])('refuses to stand above %s', (_name, other) => {
    expect(() => define(EventStream('events'), other())).toThrow(
      /OrdersController\.events\(\).*another decorator.*Leave/,
    );
  });

  it.each<[string, () => MethodDecorator, RegExp]>([
    ['@Get()', () => Get('events'), /@Get\(\)/],
    ['@Sse()', () => Sse('events'), /@Sse\(\)/],
    ['@Render()', () => Render('page'), /@Render\(\)/],
    ['@Redirect()', () => Redirect('/elsewhere'), /@Redirect\(\)/],
  ])('refuses to stand below %s when the application starts', async (_name, other, message) => {
    const controllers = [define(other(), EventStream('events'))];
    const testing = await Test.createTestingModule({ imports: [SSEModule.forRoot()], controllers }).compile();
    const app = testing.createNestApplication(platforms[0]!.adapter(), { logger: false });
    const starting = app.init();
    await expect(starting).rejects.toMatchObject({ code: 'INVALID_ROUTE' });
    await expect(starting).rejects.toThrow(message);
    await testing.close();
  });

  it('says what is missing in an application without SSEModule', async () => {
    const compile = Test.createTestingModule({ controllers: [define(EventStream('events'))] }).compile();
    await expect(compile).rejects.toMatchObject({
      code: 'INVALID_CONFIG',
      message: expect.stringMatching(/handler of @EventStream\(\).*imports: \[SSEModule\.forRoot\(\)\]/) as unknown,
    });
  });

  it('leaves its handler a method that can be called in a unit test', () => {
    @Controller()
    class PlainController {
      @EventStream('events')
      events(@Query('topic') topic: string) {
        return { topics: topic };
      }
    }
    expect(new PlainController().events('t')).toEqual({ topics: 't' });
  });

  for (const platform of platforms) {
    it(`finds the hub with isGlobal: false on ${platform.name}`, async () => {
      @Module({ imports: [SSEModule], controllers: [define(EventStream('events'))] })
      class FeatureModule {}

      const { url, sse } = await bench.start(platform, { config: { isGlobal: false }, imports: [FeatureModule] });
      const stream = await bench.connect(`${url}/events`);
      sse.broadcast('t', 'n', 1);
      expect(await stream.messagesUpTo(1)).toEqual([1]);
    });
  }
});
