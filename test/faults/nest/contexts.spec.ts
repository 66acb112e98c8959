import { AsyncLocalStorage } from 'node:async_hooks';
import { setTimeout as delay } from 'node:timers/promises';

import { describe, expect, it } from '@jest/globals';
import {
  type CallHandler,
  Controller,
  type ExecutionContext,
  Get,
  type INestApplication,
  Inject,
  type NestInterceptor,
  Param,
  Res,
  Sse,
  UseInterceptors,
} from '@nestjs/common';
import { type NodeResponseLike, SSEService, topicPattern } from 'nestjs-sse-hub';
import { Observable, tap } from 'rxjs';

import { returnToBaseline, until } from '../../support/baseline.js';
import { collectGarbage } from '../../support/measures/memory.js';
import { platforms } from '../../support/platforms.js';
import { type Options, serve } from '../../support/served.js';
import { allTransports, direct, nestSse } from '../../support/stream-controllers.js';

const bench = returnToBaseline();

const storage = new AsyncLocalStorage<{ user: string }>();

function currentUser(): string {
  return storage.getStore()?.user ?? 'nobody';
}

function as<T>(user: string, act: () => T): T {
  return storage.run({ user }, act);
}

type Next = () => void;

/** Every request is its user's, as the address says. */
function withUsers(app: INestApplication): void {
  app.use((request: { url: string }, _: unknown, next: Next) => {
    as(new URL(request.url, 'http://localhost').searchParams.get('user') ?? 'visitor', next);
  });
}

for (const platform of platforms) {
  for (const transport of allTransports) {
    describe(`Whose context: ${transport.name} on ${platform.name}`, () => {
      it("N2: filters see their own client's user, live and in replay, whoever publishes or subscribes", async () => {
        const { sse, connect } = await serve(bench, platform, transport, { prepare: withUsers });
        const asked: string[] = [];
        const mine: Options = {
          filter: ({ metadata }) => {
            asked.push(currentUser());
            return metadata?.['owner'] === currentUser();
          },
        };
        const publish = (topic: string, user: string): Promise<string> =>
          as(user, () => sse.publish({ topic, data: user, metadata: { owner: user } }));
        const alice = await connect('a?user=alice', { ...mine, id: 'alice' });
        const bob = await connect('a?user=bob', mine);
        as('mallory', () => sse.subscribe('alice', 'b', mine));
        for (const topic of ['a', 'b']) for (const user of ['mallory', 'bob', 'alice']) await publish(topic, user);
        expect(await alice.messagesUpTo(2)).toEqual(['alice', 'alice']);
        expect(await bob.messagesUpTo(1)).toEqual(['bob']);
        bob.close();
        for (const user of ['mallory', 'alice', 'bob']) await publish('a', user);
        const back = await connect('a?user=bob', mine, bob.lastEventId);
        expect(await back.messagesUpTo(1)).toEqual(['bob']);
        expect(new Set(asked)).toEqual(new Set(['alice', 'bob']));
      });

      it('N2: observers of connections see the user whose connection it is, whatever ends it', async () => {
        const { sse, connect } = await serve(bench, platform, transport, {
          prepare: withUsers,
          config: { maxClientsPerGroup: 1 },
        });
        const seen: string[] = [];
        const watching = as('admin', () =>
          sse.connections.subscribe(({ type, client: { id } }) => seen.push(`${type} ${id}: ${currentUser()}`)),
        );
        const left = await connect('a?user=left', { id: 'left' });
        await connect('a?user=removed', { id: 'removed' });
        await connect('a?user=evicted', { id: 'evicted', group: 'g' });
        await connect('a?user=other', { id: 'other', group: 'g' });
        await connect('a?user=same', { id: 'same', group: 'h' });
        await connect('a?user=again', { id: 'same', group: 'h' });
        await connect('b?user=finished', { id: 'finished' });
        as('mallory', () => sse.removeClient('removed'));
        as('mallory', () => sse.closeTopic('b'));
        left.close();
        await connect('a?user=expired', { id: 'expired', expiresAt: Date.now() + 100 });
        await connect('a?user=later', { id: 'later', expiresAt: Date.now() + 110 });
        await until('all have gone', () => seen.length === 16);
        watching.unsubscribe();
        expect(seen.toSorted()).toEqual(
          [
            ...['left', 'removed', 'evicted', 'finished', 'expired', 'later'].flatMap((id) => [
              `connect ${id}: ${id}`,
              `disconnect ${id}: ${id}`,
            ]),
            'connect other: other',
            'connect same: same',
            'disconnect same: same',
            'connect same: again',
          ].toSorted(),
        );
      });

      it('N2: `initial` sees its own user, also where it has to wait for its turn', async () => {
        const { sse, connect } = await serve(bench, platform, transport, { prepare: withUsers });
        const initial: Options['initial'] = async () => {
          await delay(1);
          return { data: currentUser() };
        };
        const clients = await Promise.all(
          ['alice', 'bob'].map((user) => connect(`a?user=${user}`, { initial, filter: () => true })),
        );
        as('mallory', () => sse.broadcast('a', 'n', 'live'));
        expect(await clients[0]!.messagesUpTo(2)).toEqual(['alice', 'live']);
        expect(await clients[1]!.messagesUpTo(2)).toEqual(['bob', 'live']);
      });
    });
  }

  it(`N2: with a store that an interceptor enters on ${platform.name}, filters and \`initial\` see their own user`, async () => {
    class UserInterceptor implements NestInterceptor {
      intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
        const { user } = context.switchToHttp().getRequest<{ query: { user: string } }>().query;
        return new Observable((subscriber) => as(user, () => next.handle().subscribe(subscriber)));
      }
    }
    const options = (): Options => ({
      filter: ({ metadata }) => metadata?.['owner'] === currentUser(),
      initial: () => ({ data: currentUser() }),
    });
    @Controller()
    @UseInterceptors(UserInterceptor)
    class Streams {
      constructor(@Inject(SSEService) private readonly sse: SSEService) {}

      @Get('direct/:topic')
      direct(@Param('topic') topic: string, @Res() response: NodeResponseLike): void {
        this.sse.createClient(response, { topics: topic, ...options() });
      }

      @Sse('stream/:topic')
      stream(@Param('topic') topic: string) {
        return this.sse.stream(topic, options());
      }

      @Get('publish/:topic')
      publish(@Param('topic') topic: string): string {
        this.sse.broadcast({ topic, data: currentUser(), metadata: { owner: currentUser() } });
        return 'published';
      }
    }
    const { url } = await bench.start(platform, { controllers: [Streams] });
    for (const kind of ['direct', 'stream']) {
      const client = await bench.connect(`${url}/${kind}/${kind}?user=bob`);
      for (const user of ['mallory', 'bob', 'alice']) await fetch(`${url}/publish/${kind}?user=${user}`);
      expect(await client.messagesUpTo(2)).toEqual(['bob', 'bob']);
      const replayed = await bench.connect(`${url}/${kind}/${kind}?user=alice`, { lastEventId: client.lastEventId });
      expect(await replayed.messagesUpTo(1)).toEqual(['alice']);
    }
  });
}

describe('Whose context', () => {
  it('N2: observers of topics run in none, whoever publishes, subscribes or was the first to use the hub', async () => {
    const sse = bench.watch(as('first', () => new SSEService()));
    const seen: string[] = [];
    const observers = as('admin', () => [
      sse.observe('a').subscribe(() => seen.push(currentUser())),
      sse.observe(topicPattern('*')).subscribe(() => seen.push(currentUser())),
    ]);
    as('alice', () => sse.broadcast('a', 'n', 1));
    await as('bob', () => sse.publish('a', 'n', 1));
    expect(seen).toEqual(['nobody', 'nobody', 'nobody', 'nobody']);
    for (const observer of observers) observer.unsubscribe();
  });

  it('N2: `deserialize` runs in none, because all get what it makes', () => {
    const deserialize = (): string => currentUser();
    const sse = bench.watch(new SSEService({ deserialize }));
    const seen: unknown[] = [];
    const filter: Options['filter'] = ({ data }) => seen.push(data) > 0;
    const reading = as('alice', () => sse.stream('a', { filter }).subscribe());
    as('bob', () => sse.broadcast('a', 'n', {}));
    expect(seen).toEqual(['nobody']);
    reading.unsubscribe();
  });

  it('N2: operators and interceptors around stream() see the user who has subscribed', () => {
    const sse = bench.watch(new SSEService());
    const seen: string[] = [];
    const stream = as('first', () =>
      sse.stream('a').pipe(tap({ next: () => seen.push(currentUser()), complete: () => seen.push(currentUser()) })),
    );
    as('bob', () => stream.subscribe());
    as('mallory', () => sse.broadcast('a', 'n', 1));
    as('mallory', () => sse.closeTopic('a'));
    expect(new Set(seen)).toEqual(new Set(['bob']));
    expect(seen.length).toBeGreaterThan(3);
  });

  it.each([direct, nestSse])('N2: no store of a request is kept when its stream is over', async (transport) => {
    const stores: WeakRef<object>[] = [];
    const { sse, connect } = await serve(bench, platforms[0]!, transport, {
      config: { heartbeatInterval: 30_000 },
      prepare: (app) => {
        app.use((_request: unknown, _response: unknown, next: Next) => {
          const store = { user: 'gone' };
          stores.push(new WeakRef(store));
          storage.run(store, next);
        });
      },
    });
    const client = await connect('a', { filter: () => true });
    await sse.publish('a', 'n', 1);
    client.close();
    await until('it has left', () => sse.getClientCount() === 0);
    await until('its store is gone', () => {
      collectGarbage();
      return stores[0]!.deref() === undefined;
    });
  });
});
