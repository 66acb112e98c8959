import { Agent } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';

import { describe, expect, it } from '@jest/globals';
import {
  type CallHandler,
  Controller,
  type ExecutionContext,
  Get,
  HttpException,
  Inject,
  Param,
  ParseIntPipe,
  Query,
  Res,
  Sse,
  UnauthorizedException,
} from '@nestjs/common';
import { Test } from '@nestjs/testing';
import {
  type ClientOptions,
  MemoryBackplane,
  type NodeResponseLike,
  type SSEConfig,
  SSEError,
  SSEModule,
  SSEService,
  topicPattern,
} from 'nestjs-sse-hub';
import { map, type Observable } from 'rxjs';

import { returnToBaseline, until } from '../support/baseline.js';
import { RecordedEventSource } from '../support/event-source.js';
import type { EventStream } from '../support/event-stream.js';
import { type AppOptions, type Platform, platforms, type RunningApp } from '../support/platforms.js';
import { RecordedLogger } from '../support/recorded-logger.js';
import { direct, nestSse, type Transport, transports, web } from '../support/stream-controllers.js';

const bench = returnToBaseline();

type Options = Omit<ClientOptions, 'topics'>;

interface Served extends RunningApp {
  readonly logger: RecordedLogger;
  /** Opens a stream and waits until it is open; the options are those of this connection alone. */
  readonly connect: (topics: string, options?: Options, lastEventId?: string) => Promise<EventStream>;
  /** The same, for a request that the test expects not to get a stream. */
  readonly request: (topics: string, options?: Options | (() => Options)) => Promise<EventStream>;
}

async function serve(platform: Platform, transport: Transport, app: AppOptions = {}): Promise<Served> {
  let options: () => Options = () => ({});
  const logger = new RecordedLogger();
  const running = await bench.start(platform, {
    controllers: [transport.controller(() => options())],
    ...app,
    prepare: (nest) => {
      nest.useLogger(logger);
      app.prepare?.(nest);
    },
  });
  const request: Served['request'] = (topics, wanted = {}) => {
    options = typeof wanted === 'function' ? wanted : () => wanted;
    return bench.open(`${running.url}/events/${topics}`);
  };
  return {
    ...running,
    logger,
    request,
    connect: async (topics, wanted = {}, lastEventId) => {
      options = () => wanted;
      const stream = await bench.open(
        `${running.url}/events/${topics}`,
        lastEventId === undefined ? {} : { lastEventId },
      );
      await stream.until(() => stream.ofType('sse.open').length === 1);
      return stream;
    },
  };
}

function names(stream: EventStream): string[] {
  return stream.events.map(({ event }) => event);
}

function codeOf(act: () => unknown): string | undefined {
  try {
    act();
  } catch (error) {
    if (error instanceof SSEError) return error.code;
    throw error;
  }
  return undefined;
}

/** The whole answer to a request that gets no stream. */
async function answerTo(stream: EventStream): Promise<{ status: number; body: unknown }> {
  await stream.untilEnd();
  return { status: stream.status, body: JSON.parse(stream.raw) as unknown };
}

class Poison {
  toJSON(): never {
    throw new Error('toJSON fails');
  }
}

for (const platform of platforms) {
  for (const transport of transports) {
    describe(`${transport.name} on ${platform.name}`, () => {
      it('A1: an observer that throws is logged; the publisher, other observers and the clients notice nothing', async () => {
        const { sse, connect, logger } = await serve(platform, transport);
        const client = await connect('a');
        const seen: unknown[] = [];
        const observers = [
          sse.observe('a').subscribe(() => {
            throw new Error('observer fails');
          }),
          sse.observe(topicPattern('*')).subscribe(() => {
            throw new Error('observer of a pattern fails');
          }),
          sse.observe('a').subscribe(({ data }) => seen.push(data)),
          sse.connections.subscribe(() => {
            throw new Error('observer of connections fails');
          }),
        ];
        sse.broadcast('a', 'n', 1);
        await sse.publish('a', 'n', 2);
        expect(seen).toEqual([1, 2]);
        const other = await connect('a');
        sse.broadcast('a', 'n', 3);
        expect(await client.messagesUpTo(3)).toEqual([1, 2, 3]);
        expect(await other.messagesUpTo(1)).toEqual([3]);
        const errors = logger.ofHub('error');
        expect(errors.filter((text) => text.includes('observer fails'))).toHaveLength(3);
        expect(errors.filter((text) => text.includes('observer of a pattern fails'))).toHaveLength(3);
        expect(errors.filter((text) => text.includes('observer of connections fails'))).toHaveLength(1);
        for (const observer of observers) observer.unsubscribe();
      });

      it('A1: a filter that throws hides the event and ends that client, which comes back behind it', async () => {
        const { sse, connect, logger } = await serve(platform, transport);
        const filter: Options['filter'] = ({ data }) => {
          if (data === 2) throw new Error('filter fails');
          return true;
        };
        const failing = await connect('a', { filter });
        const healthy = await connect('a', { filter: () => true });
        const plain = await connect('a');
        for (const n of [1, 2, 3]) sse.broadcast('a', 'n', n);
        await failing.untilEnd();
        expect(names(failing)).toEqual(['sse.open', 'n', 'sse.reset']);
        expect(JSON.parse(failing.events.at(-1)!.data)).toEqual({ reason: 'filter', topics: ['a'] });
        expect(failing.response.complete).toBe(true);
        expect(await healthy.messagesUpTo(3)).toEqual([1, 2, 3]);
        expect(await plain.messagesUpTo(3)).toEqual([1, 2, 3]);

        const back = await connect('a', { filter }, failing.lastEventId);
        expect(await back.messagesUpTo(1)).toEqual([3]);
        expect(names(back)).toEqual(['sse.open', 'n']);
        expect(logger.ofHub('error')).toEqual([expect.stringContaining('filter fails')]);
        expect(sse.stats()).toMatchObject({ clients: 3, resets: { filter: 1 } });
      });

      it('A1: a filter of one topic that throws does the same', async () => {
        const { sse, connect } = await serve(platform, transport);
        const failing = await connect('a', { id: 'f' });
        const plain = await connect('a,b');
        sse.subscribe('f', 'b', {
          filter: () => {
            throw new Error('filter fails');
          },
        });
        sse.broadcast('a', 'n', 1);
        sse.broadcast('b', 'n', 2);
        await failing.untilEnd();
        expect(names(failing)).toEqual(['sse.open', 'n', 'sse.reset']);
        expect(await plain.messagesUpTo(2)).toEqual([1, 2]);
      });

      it('A1: data whose toJSON throws is INVALID_EVENT for whoever publishes it, and for nobody else', async () => {
        const { sse, connect } = await serve(platform, transport);
        const client = await connect('a', { id: 'c' });
        expect(codeOf(() => sse.broadcast('a', 'n', new Poison()))).toBe('INVALID_EVENT');
        expect(codeOf(() => sse.broadcastAll('n', new Poison()))).toBe('INVALID_EVENT');
        expect(codeOf(() => sse.sendEvent('c', { data: new Poison() }))).toBe('INVALID_EVENT');
        expect(codeOf(() => sse.sendTo('c', 'n', new Poison()))).toBe('INVALID_EVENT');
        await expect(sse.publish('a', 'n', new Poison())).rejects.toMatchObject({ code: 'INVALID_EVENT' });
        sse.broadcast('a', 'n', 1);
        expect(await client.messagesUpTo(1)).toEqual([1]);
        expect(sse.stats()).toMatchObject({ clients: 1, published: 1 });
      });

      it.each([
        ['rejects', () => Promise.reject(new Error('initial fails: secret'))],
        ['has data that has no JSON form', () => ({ data: new Poison() })],
        [
          'throws',
          () => {
            throw new Error('initial fails: secret');
          },
        ],
      ] as const)('A1: when `initial` %s, that stream ends, and the others go on', async (_, initial) => {
        const { sse, connect, request, logger } = await serve(platform, transport);
        const healthy = await connect('a', { initial: { data: 'welcome' } });
        const failing = await request('a', { initial });
        await failing.untilEnd();
        expect(failing.status).toBe(200);
        expect(names(failing)).toEqual(['sse.open']);
        expect(failing.raw).not.toMatch(/secret|toJSON|stack/);
        sse.broadcast('a', 'n', 1);
        expect(await healthy.messagesUpTo(2)).toEqual(['welcome', 1]);
        expect(logger.ofHub('error')).toEqual([expect.stringContaining('`initial`')]);
        expect(sse.stats().clients).toBe(1);
      });

      it('A1: a `deserialize` that throws ends the clients that filter, and leaves the others alone', async () => {
        const { sse, connect } = await serve(platform, transport, {
          config: {
            deserialize: () => {
              throw new Error('deserialize fails');
            },
          },
        });
        const failing = await connect('a', { filter: ({ data }) => data !== undefined });
        const plain = await connect('a');
        const observing = sse.observe('a').subscribe(({ data }) => data);
        sse.broadcast('a', 'n', { n: 1 });
        await failing.untilEnd();
        expect(names(failing)).toEqual(['sse.open', 'sse.reset']);
        expect(await plain.messagesUpTo(1)).toEqual([{ n: 1 }]);
        observing.unsubscribe();
      });

      it('A2: a guard that says 401 is the ordinary answer, and no slot is taken', async () => {
        const { sse, request } = await serve(platform, transport, {
          config: { maxClients: 1, onLimit: 'reject' },
          prepare: (app) =>
            app.useGlobalGuards({
              canActivate: () => {
                throw new UnauthorizedException('Sign in first.');
              },
            }),
        });
        for (let i = 0; i < 3; i++) {
          expect(await answerTo(await request('a'))).toEqual({
            status: 401,
            body: { statusCode: 401, error: 'Unauthorized', message: 'Sign in first.' },
          });
        }
        expect(sse.stats()).toMatchObject({ clients: 0, topics: 0, refused: 0 });
      });

      it('A2: a guard that says no is a 403, which a real EventSource does not repeat', async () => {
        const { sse, url } = await serve(platform, transport, {
          prepare: (app) => app.useGlobalGuards({ canActivate: () => false }),
        });
        const source = new RecordedEventSource(`${url}/events/a`);
        bench.onEnd(() => source.close());
        await source.untilStopped();
        expect(source.attempts.map(({ status }) => status)).toEqual([403]);
        expect(sse.stats().clients).toBe(0);
      });

      it('A2: a handler that throws before it connects is an ordinary 500 or what it says, and no slot is taken', async () => {
        const { sse, request } = await serve(platform, transport, { config: { maxClients: 1, onLimit: 'reject' } });
        const secret = await request('a', () => {
          throw new Error('secret');
        });
        expect(await answerTo(secret)).toEqual({
          status: 500,
          body: { statusCode: 500, message: 'Internal server error' },
        });
        const gone = await request('a', () => {
          throw new HttpException('Gone for good.', 410);
        });
        expect(await answerTo(gone)).toEqual({ status: 410, body: { statusCode: 410, message: 'Gone for good.' } });
        expect(sse.stats()).toMatchObject({ clients: 0, topics: 0, refused: 0 });
      });

      it.each<[string, number, Options]>([
        ['INVALID_EVENT', 400, { initial: { event: 'sse.open', data: 1 } }],
        ['INVALID_EVENT', 400, { initial: [{ data: 1 }, { data: undefined }] }],
        ['EVENT_TOO_LARGE', 413, { initial: { data: 'x'.repeat(101) } }],
      ])('A2: wrong options are %s (%i) before any byte, and take no slot', async (code, status, options) => {
        const { sse, request } = await serve(platform, transport, { config: { maxEventSize: 100 } });
        expect(await answerTo(await request('a', options))).toEqual({
          status,
          body: { statusCode: status, code, message: expect.any(String) as unknown },
        });
        expect(sse.stats()).toMatchObject({ clients: 0, topics: 0 });
      });

      it.each<[keyof Options, Options]>([
        ['id', { id: 'a\nb' }],
        ['since', { since: Number.NaN }],
        ['expiresAt', { expiresAt: new Date('never') }],
        ['heartbeatInterval', { heartbeatInterval: -1 }],
        ['onGap', { onGap: 'skip' as 'latest' }],
      ])('A2: a wrong `%s` is INVALID_CONFIG before any byte, and takes no slot', async (option, options) => {
        const { sse, request } = await serve(platform, transport);
        expect(await answerTo(await request('a', options))).toEqual({
          status: 500,
          body: { statusCode: 500, code: 'INVALID_CONFIG', message: expect.stringContaining(option) as unknown },
        });
        expect(sse.stats()).toMatchObject({ clients: 0, topics: 0 });
      });

      it('A4: with `enabled: false` connecting is DISABLED (503), and publishing does nothing', async () => {
        const { sse, request } = await serve(platform, transport, { config: { enabled: false } });
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

      it('A5: a stream ends when `expiresAt` passes, in an orderly way, and only that one', async () => {
        const { sse, connect } = await serve(platform, transport);
        const reasons: unknown[] = [];
        const watching = sse.connections.subscribe(({ type, reason }) => type === 'disconnect' && reasons.push(reason));
        const stays = await connect('a', { expiresAt: Date.now() + 60_000 });
        const expiresAt = Date.now() + 200;
        const expiring = await connect('a', { expiresAt: new Date(expiresAt) });
        sse.broadcast('a', 'n', 1);
        expect(await expiring.messagesUpTo(1)).toEqual([1]);
        expect(expiring.ended).toBe(false);
        await expiring.untilEnd();
        expect(Date.now()).toBeGreaterThanOrEqual(expiresAt);
        expect(Date.now() - expiresAt).toBeLessThan(2_000);
        expect(names(expiring)).toEqual(['sse.open', 'n']);
        expect(expiring.response.complete).toBe(true);
        expect(expiring.lastEventId).toMatch(/^1~/);
        expect(reasons).toEqual(['expired']);
        sse.broadcast('a', 'n', 2);
        expect(await stays.messagesUpTo(2)).toEqual([1, 2]);
        expect(expiring.data).toEqual([1]);
        watching.unsubscribe();
      });

      it('A5: a client that has expired already gets nothing that is published from then on', async () => {
        const { sse, request } = await serve(platform, transport);
        const late = await request('a', { expiresAt: Date.now() - 1 });
        sse.broadcast('a', 'n', 1);
        await late.untilEnd();
        expect(late.messages).toEqual([]);
      });

      it('A5: removeClient() lets out what this turn published before, and nothing after', async () => {
        const { sse, connect } = await serve(platform, transport);
        const removed = await connect('a', { id: 'r' });
        const ended = await connect('a', { id: 'e' });
        const stays = await connect('a');
        sse.broadcast('a', 'n', 1);
        sse.sendEvent('r', { event: 'n', data: 'mine' });
        expect(sse.removeClient('r')).toBe(true);
        expect(sse.removeClient('e', { reconnect: false })).toBe(true);
        sse.broadcast('a', 'n', 2);
        expect(sse.removeClient('r')).toBe(false);
        expect(sse.sendTo('r', 'n', 3)).toBe(false);
        expect(codeOf(() => sse.sendEvent('r', { data: 3 }))).toBe('CLIENT_NOT_FOUND');
        expect(await stays.messagesUpTo(2)).toEqual([1, 2]);
        await Promise.all([removed.untilEnd(), ended.untilEnd()]);
        expect(removed.data).toEqual([1, 'mine']);
        expect(names(removed)).toEqual(['sse.open', 'n', 'n']);
        expect(names(ended)).toEqual(['sse.open', 'n', 'sse.end']);
        expect(ended.lastEventId).toBe('1~end');
        expect(removed.response.complete).toBe(true);
        // What the removed one missed is there for it when it comes back.
        const back = await connect('a', {}, removed.lastEventId);
        expect(await back.messagesUpTo(1)).toEqual([2]);
      });

      it.each([true, false])(
        'A5: removeGroup() does the same for the whole group (reconnect: %s)',
        async (reconnect) => {
          const { sse, connect } = await serve(platform, transport);
          const members = [await connect('a', { group: 'g' }), await connect('b', { group: 'g' })];
          const stranger = await connect('a,b', { group: 'h' });
          sse.broadcast('a', 'n', 1);
          sse.broadcast('b', 'n', 1);
          sse.removeGroup('g', { reconnect });
          sse.broadcast('a', 'n', 2);
          sse.broadcast('b', 'n', 3);
          expect(sse.getClientsByGroup('g')).toEqual([]);
          for (const member of members) {
            await member.untilEnd();
            expect(names(member)).toEqual(reconnect ? ['sse.open', 'n'] : ['sse.open', 'n', 'sse.end']);
            expect(member.data).toEqual([1]);
          }
          expect(await stranger.messagesUpTo(4)).toEqual([1, 1, 2, 3]);
          const source = await connect('a', { group: 'g' });
          expect(source.ended).toBe(false);
        },
      );

      it('A5: a real EventSource that was removed comes back by itself, and with `reconnect: false` never', async () => {
        const { sse, url } = await serve(platform, transport, { config: { retryInterval: 20, retryJitter: 0 } });
        const source = new RecordedEventSource(`${url}/events/a`, ['n']);
        bench.onEnd(() => source.close());
        await source.untilCount('sse.open', 1);
        sse.broadcast('a', 'n', 1);
        sse.removeClient(sse.getClients()[0]!.id);
        sse.broadcast('a', 'n', 2);
        await source.untilCount('n', 2);
        sse.removeClient(sse.getClients()[0]!.id, { reconnect: false });
        await source.untilStopped();
        await delay(60);
        expect(source.data).toEqual([1, 2]);
        expect(source.attempts.map(({ status }) => status)).toEqual([200, 200, 204]);
        expect(source.count('sse.reset')).toBe(0);
      });

      it('A5: unsubscribe() lets no event of the topic leave afterwards', async () => {
        const { sse, connect } = await serve(platform, transport);
        const client = await connect('a,b', { id: 'c' });
        sse.broadcast('a', 'n', 1);
        expect(await client.messagesUpTo(1)).toEqual([1]);
        expect(sse.unsubscribe('c', 'a')).toBe(true);
        sse.broadcast('a', 'n', 2);
        sse.broadcast('b', 'n', 3);
        expect(await client.messagesUpTo(2)).toEqual([1, 3]);
        expect(sse.unsubscribe('c', 'a')).toBe(false);
      });

      it('A7: closeTopic() delivers what was published before, then ends those who follow nothing else', async () => {
        const { sse, connect } = await serve(platform, transport);
        const one = await connect('run');
        const two = await connect('run,other');
        const pattern = await connect('other', { id: 'p' });
        sse.subscribe('p', topicPattern('*'));
        sse.broadcast('run', 'n', 1);
        sse.closeTopic('run');
        sse.closeTopic('run');
        expect(codeOf(() => sse.broadcast('run', 'n', 2))).toBe('TOPIC_CLOSED');
        await expect(sse.publish('run', 'n', 2)).rejects.toMatchObject({ code: 'TOPIC_CLOSED', status: 409 });
        sse.broadcast('other', 'n', 3);

        await one.untilEnd();
        expect(names(one)).toEqual(['sse.open', 'n', 'sse.end']);
        expect(one.lastEventId).toBe('1~end');
        await two.messagesUpTo(2);
        expect(names(two)).toEqual(['sse.open', 'n', 'sse.closed', 'n']);
        expect(two.ofType('sse.closed')[0]!.data).toBe('{"topic":"run"}');
        expect(two.ofType('sse.closed')[0]!.lastEventId).toMatch(/^1~\w+~/);
        expect(await pattern.messagesUpTo(2)).toEqual([1, 3]);
        expect(names(pattern)).toEqual(['sse.open', 'n', 'sse.closed', 'n']);
        sse.closeTopic('other');
        await two.untilEnd();
        expect(names(two).slice(4)).toEqual(['sse.end']);
      });

      it('A7: whoever connects late to a closed topic gets what it has not seen, then the end', async () => {
        const { sse, connect, request } = await serve(platform, transport);
        const early = await connect('run');
        sse.broadcast('run', 'n', 1);
        await early.messagesUpTo(1);
        const { lastEventId } = early;
        sse.broadcast('run', 'n', 2);
        sse.closeTopic('run');
        await early.untilEnd();

        const all = await request('run', { since: 0 });
        await all.untilEnd();
        expect(all.data).toEqual([1, 2]);
        expect(names(all)).toEqual(['sse.open', 'n', 'n', 'sse.end']);
        const rest = await connect('run', {}, lastEventId);
        await rest.untilEnd();
        expect(rest.data).toEqual([2]);
        expect(names(rest)).toEqual(['sse.open', 'n', 'sse.end']);
        const nothing = await request('run');
        await nothing.untilEnd();
        expect(nothing.data).toEqual([]);
        expect(names(nothing).at(-1)).toBe('sse.end');
        const upToDate = await connect('run', {}, all.events[2]!.lastEventId);
        await upToDate.untilEnd();
        expect(names(upToDate)).toEqual(['sse.open', 'sse.end']);
        expect(sse.stats().clients).toBe(0);
      });

      it('A7: a late client of several closed topics gets what each of them had before its end', async () => {
        const { sse, connect, request } = await serve(platform, transport);
        const early = await connect('run,walk');
        sse.broadcast('run', 'n', 1);
        await early.messagesUpTo(1);
        const { lastEventId } = early;
        sse.broadcast('walk', 'n', 2);
        sse.closeTopic('run');
        sse.broadcast('walk', 'n', 3);
        sse.closeTopic('walk');
        await early.untilEnd();
        expect(early.data).toEqual([1, 2, 3]);
        expect(names(early)).toEqual(['sse.open', 'n', 'n', 'sse.closed', 'n', 'sse.end']);

        const all = await request('run,walk', { since: 0 });
        await all.untilEnd();
        expect(all.data).toEqual([1, 2, 3]);
        expect(names(all)).toEqual(['sse.open', 'n', 'n', 'sse.closed', 'n', 'sse.end']);
        const rest = await connect('run,walk', {}, lastEventId);
        await rest.untilEnd();
        expect(rest.data).toEqual([2, 3]);
        expect(rest.lastEventId).toBe('1~end');
      });

      it('A7: a late client of a closed topic and an open one learns that the first is finished, and stays', async () => {
        const { sse, connect } = await serve(platform, transport);
        sse.broadcast('run', 'n', 1);
        sse.closeTopic('run');
        const replaying = await connect('run,other', { since: 0 });
        const fresh = await connect('run,other');
        sse.broadcast('other', 'n', 2);
        expect(await replaying.messagesUpTo(2)).toEqual([1, 2]);
        expect(names(replaying)).toEqual(['sse.open', 'n', 'sse.closed', 'n']);
        expect(await fresh.messagesUpTo(1)).toEqual([2]);
        expect(names(fresh)).toEqual(['sse.open', 'sse.closed', 'n']);
      });

      it('A7: openTopic() starts a topic over; a new viewer sees the new life alone, one that resumes sees both', async () => {
        const { sse, connect, request } = await serve(platform, transport);
        const early = await connect('run');
        sse.broadcast('run', 'first', 1);
        await early.messagesUpTo(1);
        const { lastEventId } = early;
        sse.broadcast('run', 'first', 2);
        sse.closeTopic('run');
        await early.untilEnd();
        sse.openTopic('run');
        sse.openTopic('run');
        sse.broadcast('run', 'second', 3);

        const late = await connect('run', { since: 0 });
        expect(await late.messagesUpTo(1)).toEqual([3]);
        const resumed = await connect('run', {}, lastEventId);
        expect(await resumed.messagesUpTo(2)).toEqual([2, 3]);
        expect(names(resumed).filter((name) => name === 'sse.end')).toEqual([]);
        const live = await connect('run');
        sse.broadcast('run', 'second', 4);
        for (const [stream, data] of [
          [late, [3, 4]],
          [resumed, [2, 3, 4]],
          [live, [4]],
        ] as const) {
          expect(await stream.messagesUpTo(data.length)).toEqual(data);
        }
        sse.closeTopic('run');
        for (const stream of [late, resumed, live]) {
          await stream.untilEnd();
          expect(stream.lastEventId).toBe('1~end');
        }
        // The second life is finished too: it alone for whoever comes anew, the rest of both for whoever resumes.
        const afterwards = await request('run', { since: 0 });
        await afterwards.untilEnd();
        expect(names(afterwards)).toEqual(['sse.open', 'second', 'second', 'sse.end']);
        expect(afterwards.data).toEqual([3, 4]);
        const both = await connect('run', {}, lastEventId);
        await both.untilEnd();
        expect(both.data).toEqual([2, 3, 4]);
        expect(names(both).at(-1)).toBe('sse.end');
      });

      it('A7: publishFrom() closes the topic behind the last value, and a source that fails says nothing of why', async () => {
        const { sse, connect, request } = await serve(platform, transport);
        const viewer = await connect('answer:1');
        await sse.publishFrom(numbers(3), 'answer:1', 'token');
        await viewer.untilEnd();
        expect(names(viewer)).toEqual(['sse.open', 'token', 'token', 'token', 'sse.end']);

        const watcher = await connect('answer:2');
        await expect(sse.publishFrom(failing('secret'), 'answer:2', 'token')).rejects.toThrow('secret');
        await watcher.untilEnd();
        expect(names(watcher)).toEqual(['sse.open', 'token', 'failed', 'sse.end']);
        expect(watcher.raw).not.toContain('secret');
        const late = await request('answer:2', { since: 0 });
        await late.untilEnd();
        expect(names(late)).toEqual(['sse.open', 'token', 'failed', 'sse.end']);
      });
    });
  }

  describe(`on ${platform.name}`, () => {
    @Controller()
    class PipedController {
      constructor(@Inject(SSEService) private readonly sse: SSEService) {}

      @Get('direct/:id')
      direct(@Param('id', ParseIntPipe) id: number, @Res() response: NodeResponseLike): void {
        this.sse.createClient(response, { topics: `n:${id}` });
      }

      @Sse('stream/:id')
      stream(@Param('id', ParseIntPipe) id: number) {
        return this.sse.stream(`n:${id}`);
      }

      @Get('web/:id')
      web(@Param('id', ParseIntPipe) id: number): Response {
        return this.sse.addClient({ topics: `n:${id}` }).response;
      }
    }

    it.each(['direct', 'stream', 'web'])(
      'A2: a pipe that says 400 is the ordinary answer, and no slot is taken (%s)',
      async (route) => {
        const { url, sse } = await bench.start(platform, { controllers: [PipedController] });
        expect(await answerTo(await bench.open(`${url}/${route}/x`))).toMatchObject({
          status: 400,
          body: { statusCode: 400, error: 'Bad Request' },
        });
        expect(sse.stats()).toMatchObject({ clients: 0, topics: 0 });
        const stream = await bench.open(`${url}/${route}/1`);
        await stream.next();
        expect(sse.stats()).toMatchObject({ clients: 1, topics: 1 });
      },
    );

    it('A2: a handler that throws after addClient() gives the slot back at once', async () => {
      const { url, sse } = await bench.start(platform, {
        config: { maxClients: 1, onLimit: 'reject' },
        controllers: [web.controller()],
      });
      // On a connection that stays open: its end would give the slot back too.
      const agent = new Agent({ keepAlive: true });
      bench.onEnd(() => agent.destroy());
      for (let i = 0; i < 3; i++) {
        expect(await answerTo(await bench.open(`${url}/events/a?fail`, { agent }))).toEqual({
          status: 500,
          body: { statusCode: 500, message: 'Internal server error' },
        });
        expect(sse.stats()).toMatchObject({ clients: 0, topics: 0 });
      }
      const stream = await bench.open(`${url}/events/a`);
      expect((await stream.next()).event).toBe('sse.open');
    });

    it('A2: response headers that cannot be sent are an ordinary 500, and no slot is taken', async () => {
      const { sse, request } = await serve(platform, direct);
      const refused = await request('a', { headers: { 'x-note': 'a\nb' } });
      expect(await answerTo(refused)).toEqual({
        status: 500,
        body: { statusCode: 500, message: 'Internal server error' },
      });
      expect(sse.stats()).toMatchObject({ clients: 0, topics: 0 });
    });

    @Controller()
    class LateErrorController {
      constructor(@Inject(SSEService) private readonly sse: SSEService) {}

      @Get('direct')
      direct(@Res() response: NodeResponseLike, @Query('http') http?: string): void {
        this.sse.createClient(response, { topics: 'a' });
        throw http === undefined ? new Error('secret') : new HttpException('secret', 400);
      }

      @Get('later')
      async later(@Res() response: NodeResponseLike): Promise<void> {
        this.sse.createClient(response, { topics: 'a' });
        await delay(20);
        throw new Error('secret');
      }

      @Sse('stream')
      stream(): Observable<unknown> {
        return this.sse.stream('a').pipe(
          map((message) => {
            if (message.type === 'n') throw new Error('secret');
            return message;
          }),
        );
      }
    }

    it.each(['direct', 'direct?http', 'later', 'stream'])(
      'A3: an exception after the headers ends the stream, gives the slot back and leaks nothing (%s)',
      async (route) => {
        const { url, sse } = await bench.start(platform, { controllers: [LateErrorController] });
        const stream = await bench.open(`${url}/${route}`);
        if (route === 'stream') {
          await stream.next();
          sse.broadcast('a', 'n', 1);
        }
        await stream.untilEnd();
        expect(stream.status).toBe(200);
        expect(stream.response.complete).toBe(true);
        expect(stream.raw).not.toMatch(/secret|\.ts|\bat /);
        expect(stream.messages.filter(({ event }) => event !== 'error')).toEqual([]);
        await until('the slot is back', () => sse.stats().clients === 0);
        // Nothing is written into what comes next.
        sse.broadcast('a', 'n', 2);
        await delay(10);
        expect(stream.raw).not.toContain('data: 2');
      },
    );

    it('A3: `createClient()` on a response that has been answered throws, and takes no slot', async () => {
      @Controller()
      class AnsweredController {
        constructor(@Inject(SSEService) private readonly sse: SSEService) {}

        @Get('answered')
        answered(@Res() response: { readonly raw?: NodeResponseLike } & NodeResponseLike): void {
          const raw = (response.raw ?? response) as unknown as import('node:http').ServerResponse;
          raw.writeHead(200, { 'content-type': 'text/plain' });
          raw.write('half');
          this.sse.createClient(response, { topics: 'a' });
        }
      }
      const { url, sse } = await bench.start(platform, { controllers: [AnsweredController] });
      const answer = await bench.open(`${url}/answered`);
      await answer.untilEnd();
      expect(answer.raw).toBe('half');
      await until('no slot is taken', () => sse.stats().clients === 0);
      expect(sse.stats().topics).toBe(0);
    });

    const envelope = {
      intercept: (_context: ExecutionContext, next: CallHandler): Observable<unknown> =>
        next.handle().pipe(map((data: unknown) => ({ success: true, data }))),
    };

    it('A6: an interceptor that wraps every answer in an envelope is one clear log line with the remedy', async () => {
      const { url, sse, logger } = await serve(platform, nestSse, {
        prepare: (app) => app.useGlobalInterceptors(envelope),
      });
      const streams = [await bench.open(`${url}/events/a`), await bench.open(`${url}/events/a`)];
      for (let n = 0; n < 50; n++) sse.broadcast('a', 'n', n);
      for (const stream of streams) await stream.messagesUpTo(50);
      const warnings = logger.ofHub('warn');
      expect(warnings).toHaveLength(1);
      expect(warnings[0]).toContain('/events/a');
      expect(warnings[0]).toMatch(/interceptor.*envelope/);
      expect(warnings[0]).toMatch(/Leave @Sse\(\) handlers out of it|createClient\(\)/);
      expect(logger.ofHub('error')).toEqual([]);
      // What comes out is broken in the way that the interceptor breaks it, and gives nothing of ours away.
      expect(streams[0]!.data[1]).toMatchObject({ type: 'n', data: '0' });
    });

    it('A6: the same interceptor does nothing to createClient(), and nothing is logged', async () => {
      const { sse, connect, logger } = await serve(platform, direct, {
        prepare: (app) => app.useGlobalInterceptors(envelope),
      });
      const client = await connect('a');
      sse.broadcast('a', 'n', 1);
      expect(await client.messagesUpTo(1)).toEqual([1]);
      expect(logger.ofHub('warn')).toEqual([]);
    });

    it('A6: Nest takes the response of addClient() out of the envelope again, and nothing is logged', async () => {
      const { sse, connect, logger } = await serve(platform, web, {
        prepare: (app) => app.useGlobalInterceptors(envelope),
      });
      const client = await connect('a');
      sse.broadcast('a', 'n', 1);
      expect(await client.messagesUpTo(1)).toEqual([1]);
      expect(logger.ofHub('warn')).toEqual([]);
    });

    it('A6: a client of addClient() whose response never gets to Nest is given up, as nobody reads it', async () => {
      const { sse, request } = await serve(platform, web, {
        config: { slowTimeout: 200 },
        prepare: (app) =>
          app.useGlobalInterceptors({
            intercept: (_context: ExecutionContext, next: CallHandler) => next.handle().pipe(map(() => 'replaced')),
          }),
      });
      const answer = await request('a');
      await answer.untilEnd();
      expect(answer.raw).toBe('replaced');
      await until('its slot is back', () => sse.stats().clients === 0);
      expect(sse.stats().slow).toBeLessThanOrEqual(1);
    });

    it('A5: removeClient() in the turn in which a client connected ends it in an orderly way', async () => {
      @Controller()
      class HastyController {
        constructor(@Inject(SSEService) private readonly sse: SSEService) {}

        @Get('hasty')
        hasty(@Res() response: NodeResponseLike): void {
          const id = this.sse.createClient(response, { topics: 'a' });
          this.sse.broadcast('a', 'n', 1);
          this.sse.removeClient(id, { reconnect: false });
          this.sse.broadcast('a', 'n', 2);
        }
      }
      const { url, sse } = await bench.start(platform, { controllers: [HastyController] });
      const stream = await bench.open(`${url}/hasty`);
      await stream.untilEnd();
      expect(names(stream)).toEqual(['sse.open', 'n', 'sse.end']);
      expect(stream.data).toEqual([1]);
      expect(sse.stats().clients).toBe(0);
    });

    it('A5: unsubscribe() in the turn of a publication keeps it from a direct client', async () => {
      const { sse, connect } = await serve(platform, direct);
      const client = await connect('a,b', { id: 'c' });
      sse.broadcast('a', 'n', 1);
      sse.unsubscribe('c', 'a');
      sse.broadcast('b', 'n', 2);
      expect(await client.messagesUpTo(1)).toEqual([2]);
    });

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
    ['closedTopicAge', -1, /-1.*milliseconds/],
    ['onGap', 'skip', /"skip".*'earliest', 'latest'/],
    ['maxConnectionAge', Infinity, /Infinity.*milliseconds from 0 to 2147483647/],
    ['highWaterMark', 0, /0.*bytes from 1/],
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
    ];
    for (const config of edges) expect(() => new SSEService(config)).not.toThrow();
  });

  it('A4: two hubs in one application are INVALID_CONFIG at start-up', async () => {
    const module = await Test.createTestingModule({
      imports: [SSEModule.forRoot({ maxClients: 1 }), SSEModule.forRoot({ maxClients: 2 })],
    }).compile();
    const app = module.createNestApplication({ logger: false });
    await expect(app.init()).rejects.toMatchObject({
      code: 'INVALID_CONFIG',
      message: expect.stringContaining('2 times') as unknown,
    });
    await app.close();
  });
});

async function* numbers(count: number): AsyncGenerator<number> {
  for (let n = 0; n < count; n++) yield n;
}

async function* failing(message: string): AsyncGenerator<number> {
  yield 0;
  throw new Error(message);
}
