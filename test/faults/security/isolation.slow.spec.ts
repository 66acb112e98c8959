import { setTimeout as delay } from 'node:timers/promises';

import { describe, expect, it } from '@jest/globals';
import { Controller, Get, Inject, Param } from '@nestjs/common';
import { type ClientOptions, SSEService, topicPattern } from 'nestjs-sse-hub';

import { returnToBaseline, until } from '../../support/baseline.js';
import { fillUp } from '../../support/network/stuck.js';
import { type Platform, platforms } from '../../support/platforms.js';
import type { EventStream } from '../../support/readers/event-stream.js';
import { seededRandom } from '../../support/seed.js';
import { type Transport, transports } from '../../support/stream-controllers.js';

const bench = returnToBaseline();

type Options = Omit<ClientOptions, 'topics'>;

async function serve(platform: Platform, transport: Transport, config = {}) {
  let options: Options = {};
  const { url, sse } = await bench.start(platform, { config, controllers: [transport.controller(() => options)] });
  return {
    sse,
    connect: async (topics: string, wanted: Options = {}, lastEventId = ''): Promise<EventStream> => {
      options = wanted;
      const stream = await bench.open(`${url}/events/${topics}`, lastEventId === '' ? {} : { lastEventId });
      await stream.until(() => stream.ofType('sse.open').length === 1);
      return stream;
    },
  };
}

/** Everything that somebody who once followed the secret topic, or guesses, may come back with. */
async function cursorsOfSecrets(sse: SSEService): Promise<string[]> {
  const random = seededRandom();
  const cursors: string[] = [];
  for (let n = 0; n < 30; n++) {
    const topic = random() < 0.5 ? 'mine' : 'secret:board';
    const id = random() < 0.3 ? `${topic}-${n}` : undefined;
    cursors.push(await sse.publish(topic, 'n', { topic, n }, id));
    if (id !== undefined) cursors.push(id);
  }
  cursors.push(await sse.publish('mine', 'n', { topic: 'mine', n: 30 }));
  const [version, epoch, position] = cursors.at(-1)!.split('~');
  const forged = ['0-0', '1-0', 'zzzzzzzz-0', `${position}-1`].map((place) => `${version}~${epoch}~${place}`);
  return [...cursors, ...forged, `1~another~${position}`, '0', '-1', '*', 'secret:board', '1~', '~~'];
}

for (const platform of platforms) {
  for (const transport of transports) {
    describe(`${transport.name} on ${platform.name}`, () => {
      it('a client never gets an event of a topic that it does not follow now, whatever its cursor says', async () => {
        const { sse, connect } = await serve(platform, transport);
        const once = await connect('mine,secret:board');
        const cursors = await cursorsOfSecrets(sse);
        await once.messagesUpTo(31);
        once.close();
        for (const lastEventId of [...cursors, once.lastEventId, '']) {
          const stream = await connect('mine', {}, lastEventId);
          sse.broadcast('secret:board', 'n', { topic: 'secret:board', n: 'live' });
          const last = await sse.publish('mine', 'n', { topic: 'mine', n: 'live' });
          await stream.until(() => stream.lastEventId === last);
          expect(stream.raw).not.toContain('secret');
          expect(stream.data).toHaveLength(stream.raw.split('"topic":"mine"').length - 1);
          stream.close();
        }
      });

      it('a topic whose name begins or ends like a followed one, or matches its pattern in part, is another topic', async () => {
        const { sse, connect } = await serve(platform, transport);
        const plain = await connect('user:1');
        const pattern = await connect('user:1', { id: 'p' });
        sse.subscribe('p', topicPattern('user:1:*'));
        const others = [
          'user:10',
          'user:11:inbox',
          'user',
          'user:1:inbox:old',
          'xuser:1',
          'USER:1',
          'user:1 ',
          'user:',
        ];
        for (const topic of others) sse.broadcast(topic, 'n', 'secret');
        sse.broadcast('user:1:inbox', 'n', 'inbox');
        sse.broadcast('user:1', 'n', 'own');
        expect(await plain.messagesUpTo(1)).toEqual(['own']);
        expect(await pattern.messagesUpTo(2)).toEqual(['inbox', 'own']);
      });

      it('a resume over topics that were given up brings nothing of them, and sse.reset names none of them', async () => {
        const { sse, connect } = await serve(platform, transport, { maxHistorySize: 2 });
        const before = await connect('mine,secret:board');
        const { lastEventId } = before;
        before.close();
        for (let n = 0; n < 5; n++) {
          sse.broadcast('secret:board', 'n', { topic: 'secret:board', n });
          sse.broadcast('mine', 'n', { topic: 'mine', n });
        }
        const after = await connect('mine', {}, lastEventId);
        await after.messagesUpTo(2);
        expect(after.ofType('sse.reset').map(({ data }) => data)).toEqual(['{"reason":"trimmed","topics":["mine"]}']);
        expect(after.raw).not.toContain('secret');
        sse.closeTopic('secret:board');
        sse.broadcast('mine', 'n', 'last');
        await after.messagesUpTo(3);
        expect(after.ofType('sse.closed')).toEqual([]);
      });

      it('metadata, the topic and the time of an event stay on the server', async () => {
        const { sse, connect } = await serve(platform, transport);
        const stream = await connect('private:7');
        sse.broadcast({
          topic: 'private:7',
          data: 1,
          metadata: { tenant: 'acme' },
          timestamp: '2001-02-03T04:05:06.000Z',
        });
        await stream.messagesUpTo(1);
        expect(stream.raw).not.toMatch(/acme|tenant|private:7|2001/);
      });

      /** A client that is behind, with much of topic `a` before it in the log. */
      const behind = async (options: Options = {}) => {
        const { sse, connect } = await serve(platform, transport, { maxHistorySize: Infinity, slowTimeout: 60_000 });
        const stream = await connect('a,b', { id: 'c', ...options });
        stream.response.pause();
        await fillUp(sse, 'a');
        const { delivered } = sse.stats();
        expect(delivered).toBeLessThan(128);
        return { sse, stream, delivered };
      };

      it('unsubscribe() has taken effect when it returns, for a client that is behind too', async () => {
        const { sse, stream, delivered } = await behind();
        expect(sse.unsubscribe('c', 'a')).toBe(true);
        sse.broadcast('a', 'n', 'too late');
        sse.broadcast('b', 'n', 'b');
        stream.response.resume();
        await stream.until(() => stream.ofType('n').length > 0);
        expect(stream.ofType('bulk')).toHaveLength(delivered);
        expect(stream.ofType('n').map(({ data }) => data)).toEqual(['b']);
      });

      it.each([
        ['removeClient()', (sse: SSEService): unknown => sse.removeClient('c')],
        ['removeClient() for good', (sse: SSEService): unknown => sse.removeClient('c', { reconnect: false })],
        ['removeGroup()', (sse: SSEService): unknown => sse.removeGroup('g')],
      ])('%s has taken effect when it returns, for a client that is behind too', async (_, remove) => {
        const { sse, stream, delivered } = await behind({ group: 'g' });
        remove(sse);
        expect(sse.getClient('c')).toBeUndefined();
        expect(sse.getClientsByGroup('g')).toEqual([]);
        expect(sse.getClientCount('a')).toBe(0);
        sse.broadcast('a', 'n', 'too late');
        sse.broadcastAll('n', 'too late');
        expect(sse.sendTo('c', 'n', 'too late')).toBe(false);
        stream.response.resume();
        await stream.untilEnd();
        expect(stream.ofType('bulk')).toHaveLength(delivered);
        expect(stream.raw).not.toContain('too late');
      });

      it('expiresAt: nothing that is published afterwards leaves, to a client that is behind neither', async () => {
        const { sse, stream, delivered } = await behind({ expiresAt: Date.now() + 1_500 });
        await until('it has expired', () => sse.getClient('c') === undefined);
        sse.broadcast('b', 'n', 'too late');
        stream.response.resume();
        await stream.untilEnd();
        expect(stream.ofType('bulk')).toHaveLength(delivered);
        expect(stream.raw).not.toContain('too late');
      });
    });
  }

  describe(`errors on ${platform.name}`, () => {
    const failing = {
      toJSON: () => {
        throw new Error('connect ECONNREFUSED db.internal:5432');
      },
    };
    class Secret {
      password = 'hunter2';
      readonly self = this;
    }
    const faults: Record<string, (sse: SSEService) => unknown> = {
      toJSON: (sse) => sse.broadcast('a', 'n', failing),
      circular: (sse) => sse.broadcast('a', 'n', new Secret()),
      metadata: (sse) => sse.broadcast({ topic: 'a', data: 1, metadata: { secret: new Secret() } }),
      function: (sse) => sse.broadcast('a', 'n', () => 'hunter2'),
      large: (sse) => sse.broadcast('a', 'n', 'hunter2'.repeat(100)),
      name: (sse) => sse.broadcast('a', 'sse.open', 'hunter2'),
      topic: (sse) => sse.broadcast('**', 'n', 'hunter2'),
      closed: (sse) => sse.broadcast('closed', 'n', 'hunter2'),
      nobody: (sse) => sse.sendEvent('nobody', { data: 'hunter2' }),
      config: (sse) => sse.stream('a', { since: Number.NaN }),
      full: (sse) => sse.stream('a'),
      taken: (sse) => sse.stream('a', { id: 'taken', group: 'another' }),
    };

    @Controller()
    class FaultController {
      constructor(@Inject(SSEService) private readonly sse: SSEService) {}

      @Get('fault/:name')
      fault(@Param('name') name: string): unknown {
        return faults[name]!(this.sse);
      }
    }

    it('their texts say what was wrong with the request, and nothing of what is inside', async () => {
      const { url, sse } = await bench.start(platform, {
        config: { maxEventSize: 100, maxClients: 1, onLimit: 'reject' },
        controllers: [FaultController],
      });
      sse.closeTopic('closed');
      const only = sse.stream('a', { id: 'taken', group: 'user:1', metadata: { password: 'hunter2' } }).subscribe();
      for (const name of Object.keys(faults)) {
        const answer = await fetch(`${url}/fault/${name}`);
        const body = (await answer.json()) as Record<string, unknown>;
        expect({ name, keys: Object.keys(body).toSorted() }).toEqual({ name, keys: ['code', 'message', 'statusCode'] });
        expect(JSON.stringify(body)).not.toMatch(/hunter2|password|ECONN|db\.internal|Secret|user:1|node_modules/);
        expect(body['message']).not.toMatch(/\n|\bat |\.[jt]s\b|^\s*$/);
        expect(String(body['message']).length).toBeLessThan(300);
      }
      only.unsubscribe();
    });
  });
}

describe('SSEService', () => {
  it('ids of clients and of lives of the log cannot be guessed', async () => {
    const ids = new Set<string>();
    const epochs = new Set<string>();
    for (let i = 0; i < 100; i++) {
      const sse = bench.watch(new SSEService());
      epochs.add((await sse.publish('a', 'n', 1)).split('~')[1]!);
      const stream = sse.stream('a').subscribe();
      ids.add(sse.getClients()[0]!.id);
      stream.unsubscribe();
    }
    expect(
      [...ids].filter((id) => !/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(id)),
    ).toEqual([]);
    expect(ids.size).toBe(100);
    // At least 64 bits, in base 36.
    expect([...epochs].filter((epoch) => epoch.length < 12)).toEqual([]);
    expect(epochs.size).toBe(100);
  });

  it('an old cursor on a quiet topic costs no more than its own events, however much else is retained', async () => {
    const sse = bench.watch(new SSEService({ maxHistorySize: Infinity }));
    const oldest = await sse.publish('quiet', 'n', 0);
    for (let n = 0; n < 100_000; n++) sse.broadcast(`busy:${n % 1_000}`, 'n', n);
    sse.broadcast('quiet', 'n', 1);
    await delay(10);
    const seen: unknown[] = [];
    const started = performance.now();
    for (let i = 0; i < 50; i++) {
      sse
        .stream('quiet', { lastEventId: oldest })
        .subscribe(({ type, data }) => type === 'n' && seen.push(data))
        .unsubscribe();
    }
    // Looking at all of them takes more than 10 ms each.
    expect(performance.now() - started).toBeLessThan(500);
    expect(seen).toEqual(Array.from({ length: 50 }, () => '1'));
  });
});
