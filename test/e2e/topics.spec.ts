import { afterEach, describe, expect, it } from '@jest/globals';
import { Controller, Get, Inject, Res, Sse } from '@nestjs/common';
import { EventSource } from 'eventsource';
import {
  type LogListener,
  MemoryBackplane,
  type NodeResponseLike,
  type SSEEvent,
  SSEService,
  topicPattern,
} from 'nestjs-sse-hub';
import { Subject } from 'rxjs';

import { until } from '../support/baseline.js';
import { closeAll, platforms, startApp } from '../support/platforms.js';
import { open } from '../support/readers/event-stream.js';
import { transports } from '../support/stream-controllers.js';

afterEach(closeAll);

for (const platform of platforms) {
  describe(`hierarchical topics on ${platform.name}`, () => {
    @Controller()
    class PatternController {
      constructor(@Inject(SSEService) private readonly sse: SSEService) {}

      @Sse('sse')
      stream() {
        return this.sse.stream([topicPattern('dashboard:*'), 'orders', topicPattern('dashboard:cpu')]);
      }

      @Get('direct')
      direct(@Res() response: NodeResponseLike): void {
        this.sse.createClient(response, {
          topics: [topicPattern('dashboard:*'), 'orders', topicPattern('dashboard:cpu')],
        });
      }

      @Get('web')
      web(): Response {
        return this.sse.addClient({ topics: [topicPattern('dashboard:*'), 'orders', topicPattern('dashboard:cpu')] })
          .response;
      }
    }

    for (const path of ['sse', 'direct', 'web']) {
      it(`topicPattern() follows all topics that match, each event once (${path})`, async () => {
        const { url, sse } = await startApp(platform, { controllers: [PatternController] });
        const stream = await open(`${url}/${path}`);
        await stream.next();
        sse.broadcast('dashboard:cpu', 'n', 1);
        sse.broadcast('dashboard:memory', 'n', 2);
        sse.broadcast('dashboard', 'n', 'no');
        sse.broadcast('dashboard:cpu:0', 'n', 'no');
        sse.broadcast('orders', 'n', 3);
        expect(await stream.messagesUpTo(3)).toEqual([1, 2, 3]);
        stream.close();
        sse.broadcast('dashboard:disk', 'n', 4);
        const resumed = await open(`${url}/${path}`, { lastEventId: stream.lastEventId });
        expect(await resumed.messagesUpTo(1)).toEqual([4]);
        resumed.close();
      });
    }
  });

  for (const transport of transports) {
    describe(`${transport.name} on ${platform.name}`, () => {
      const start = (options = () => ({})) => startApp(platform, { controllers: [transport.controller(options)] });

      it('several topics come over one connection, in the order in which they were published', async () => {
        const { url, sse } = await start();
        const stream = await open(`${url}/events/a,b`);
        await stream.next();
        sse.broadcast('b', 'n', 1);
        sse.broadcast('a', 'n', 2);
        sse.broadcast('c', 'n', 'no');
        sse.broadcast({ topic: 'b', event: 'n', data: 3 });
        expect(await stream.messagesUpTo(3)).toEqual([1, 2, 3]);
        stream.close();
      });

      it('broadcastAll reaches everybody who follows something', async () => {
        const { url, sse } = await start();
        const streams = [await open(`${url}/events/a`), await open(`${url}/events/b`)];
        for (const stream of streams) await stream.next();
        sse.broadcastAll('maintenance', { minutes: 5 }, 'm-1');
        for (const stream of streams) {
          expect(await stream.next()).toEqual({ event: 'maintenance', data: '{"minutes":5}', lastEventId: 'm-1' });
          stream.close();
        }
      });

      it('except and exceptGroup pass over clients and groups', async () => {
        const { url, sse } = await start(() => ({ group: 'user:1' }));
        const stream = await open(`${url}/events/t`);
        const { clientId } = JSON.parse((await stream.next()).data) as { clientId: string };
        sse.broadcast('t', 'n', 'no', undefined, { except: clientId });
        sse.broadcast('t', 'n', 'no', undefined, { except: ['x', clientId] });
        sse.broadcast('t', 'n', 'no', undefined, { exceptGroup: 'user:1' });
        sse.broadcast('t', 'n', 1, undefined, { exceptGroup: 'user:2' });
        sse.broadcast('t', 'n', 2);
        expect(await stream.messagesUpTo(2)).toEqual([1, 2]);
        stream.close();
      });

      it('closeTopic ends an execution after its last event is out, for all of its viewers', async () => {
        const { url, sse } = await start();
        const streams = [await open(`${url}/events/execution:7`), await open(`${url}/events/execution:7`)];
        for (const stream of streams) await stream.next();
        expect(sse.getClientCount('execution:7')).toBe(2);
        sse.broadcast('execution:7', 'execution-complete', { ok: true });
        sse.closeTopic('execution:7');
        expect(sse.getClientCount('execution:7')).toBe(0);
        for (const stream of streams) {
          await stream.untilEnd();
          expect(stream.events.map(({ event }) => event)).toEqual(['sse.open', 'execution-complete', 'sse.end']);
          expect(stream.lastEventId).toBe('1~end');
        }
      });

      it('a browser stops reconnecting once its topic is closed', async () => {
        const { url, sse } = await startApp(platform, {
          config: { retryInterval: 10 },
          controllers: [transport.controller(() => ({ since: 0 }))],
        });
        sse.broadcast('t', 'n', 1);
        const source = new EventSource(`${url}/events/t`);
        const got: string[] = [];
        source.addEventListener('n', ({ data }) => got.push(data as string));
        await until('the first event', () => got.length === 1);
        sse.broadcast('t', 'n', 2);
        sse.closeTopic('t');
        await until('it is closed', () => source.readyState === EventSource.CLOSED);
        expect(got).toEqual(['1', '2']);
        const late = new EventSource(`${url}/events/t`);
        late.addEventListener('n', ({ data }) => got.push(data as string));
        await until('the late one is closed', () => late.readyState === EventSource.CLOSED);
        expect(got).toEqual(['1', '2', '1', '2']);
      });

      it('tells a client of several topics which one is finished, and ends with the last', async () => {
        const { url, sse } = await start();
        const stream = await open(`${url}/events/a,b`);
        await stream.next();
        sse.broadcast('a', 'n', 1);
        sse.closeTopic('a');
        sse.broadcast('b', 'n', 2);
        sse.closeTopic('b');
        await stream.untilEnd();
        expect(stream.events.map(({ event, data }) => [event, data]).slice(1)).toEqual([
          ['n', '1'],
          ['sse.closed', '{"topic":"a"}'],
          ['n', '2'],
          ['sse.end', '{}'],
        ]);
      });

      it('tells a client that connects anew which of its topics have been finished before', async () => {
        const { url, sse } = await start();
        sse.broadcast('a', 'n', 1);
        sse.closeTopic('a');
        const stream = await open(`${url}/events/a,b`);
        await stream.next();
        expect(await stream.next()).toMatchObject({ event: 'sse.closed', data: '{"topic":"a"}' });
        sse.broadcast('b', 'n', 2);
        expect(await stream.messagesUpTo(1)).toEqual([2]);
        const resumed = await open(`${url}/events/a,b`, { lastEventId: stream.lastEventId });
        sse.broadcast('b', 'n', 3);
        expect(await resumed.messagesUpTo(1)).toEqual([3]);
        expect(resumed.ofType('sse.closed')).toEqual([]);
        stream.close();
        resumed.close();
      });

      it('a client that comes when all of its topics are finished gets sse.end alone', async () => {
        const { url, sse } = await start();
        sse.broadcast('a', 'n', 1);
        sse.closeTopic('a');
        sse.closeTopic('b');
        const stream = await open(`${url}/events/a,b`);
        await stream.untilEnd();
        expect(stream.events.map(({ event }) => event)).toEqual(['sse.open', 'sse.end']);
      });

      it('controlEvents: false sends no sse.* events, and resumes all the same', async () => {
        const { url, sse } = await start(() => ({ controlEvents: false }));
        const stream = await open(`${url}/events/t`);
        await stream.until(() => stream.lastEventId !== '');
        expect(stream.retries).toHaveLength(1);
        stream.close();
        sse.broadcast('t', 'n', 1);
        sse.closeTopic('t');
        const resumed = await open(`${url}/events/t`, { lastEventId: stream.lastEventId });
        await resumed.untilEnd();
        expect(resumed.events).toHaveLength(1);
        expect(resumed.raw).not.toContain('sse.');
        expect(resumed.lastEventId).toBe('1~end');
      });
    });
  }
}

describe('events on the server', () => {
  it('observe() sees the events of topics and patterns, in order, with their data read back', () => {
    const sse = new SSEService();
    const got: unknown[] = [];
    const byName = sse.observe<{ n: number }>(['a', 'b']).subscribe(({ topic, data }) => got.push([topic, data.n]));
    const byPattern = sse.observe(topicPattern('*')).subscribe(({ topic }) => got.push(topic));
    sse.broadcast('a', 'x', { n: 1 });
    sse.broadcast('c', 'x', { n: 2 });
    expect(got).toEqual([['a', 1], 'a', 'c']);
    byName.unsubscribe();
    byPattern.unsubscribe();
    expect(sse.stats().topics).toBe(0);
  });

  it('observe() begins to read the log', () => {
    const started: unknown[] = [];
    const backplane = new (class extends MemoryBackplane {
      override start(reader: LogListener): Promise<void> {
        started.push(reader);
        return super.start(reader);
      }
    })();
    const sse = new SSEService({ backplane });
    const observed = sse.observe('a');
    expect(started).toHaveLength(0);
    observed.subscribe();
    expect(started).toHaveLength(1);
  });

  it('a publication made by an observer is delivered after the one that caused it, to everybody', () => {
    const sse = new SSEService();
    const got: unknown[] = [];
    sse.observe('t').subscribe(({ data }) => {
      if (data === 1) sse.broadcast('t', 'n', 2);
    });
    sse.observe('t').subscribe(({ data }) => got.push(data));
    const streamed: unknown[] = [];
    sse.stream('t').subscribe(({ data }) => streamed.push(data));
    sse.broadcast('t', 'n', 1);
    expect(got).toEqual([1, 2]);
    expect(streamed.slice(1)).toEqual(['1', '2']);
  });

  it('stream() and observers have run when broadcast() returns, so controllers can be tested without waiting', () => {
    const sse = new SSEService();
    const events: unknown[] = [];
    const subscription = sse.stream('t').subscribe(({ type, data }) => events.push([type, data]));
    sse.broadcast('t', 'greeting', { hello: 'world' });
    expect(events.at(-1)).toEqual(['greeting', '{"hello":"world"}']);
    subscription.unsubscribe();
    expect(sse.getClientCount()).toBe(0);
  });

  it('the same however much has gone to others in this turn', () => {
    const sse = new SSEService();
    const subscriptions = ['a', 'b'].map((topic) => {
      const events: unknown[] = [];
      const subscription = sse.stream(topic).subscribe(({ data }) => events.push(data));
      sse.broadcast(topic, 'n', 'x'.repeat(100_000));
      sse.broadcast(topic, 'n', topic);
      expect(events.at(-1)).toBe(topic);
      return subscription;
    });
    for (const subscription of subscriptions) subscription.unsubscribe();
  });

  it('publish() settles with the cursor once the log has the event', async () => {
    const sse = new SSEService();
    let id: string | undefined;
    sse.observe('t').subscribe((event) => (id = event.id));
    const cursor = await sse.publish('t', 'n', 1);
    expect(cursor).toMatch(/^1~[0-9a-z]+~[0-9a-z]+-[0-9a-z]+$/);
    expect(id).toBe(cursor);
    await expect(sse.publish({ topic: 't', event: 'open', data: 1 })).rejects.toMatchObject({ code: 'INVALID_EVENT' });
  });

  it('an event without a topic is INVALID_TOPIC, never one for everybody', () => {
    const sse = new SSEService();
    expect(() => sse.broadcast({ event: 'n', data: 1 } as SSEEvent & { topic: string })).toThrow(
      expect.objectContaining({ code: 'INVALID_TOPIC' }),
    );
    expect(sse.stats().published).toBe(0);
  });

  it('publishFrom() publishes each value of a source and then closes the topic', async () => {
    const sse = new SSEService();
    const got: unknown[] = [];
    sse.observe('answer').subscribe(({ event, data }) => got.push([event, data]));
    async function* tokens() {
      yield 'Hello';
      await Promise.resolve();
      yield ' world';
    }
    await sse.publishFrom(tokens(), 'answer', 'token');
    expect(got).toEqual([
      ['token', 'Hello'],
      ['token', ' world'],
    ]);
    expect(() => sse.broadcast('answer', 'token', '!')).toThrow(expect.objectContaining({ code: 'TOPIC_CLOSED' }));
  });

  it('publishFrom() takes Observables, and reports a failing source without giving anything away', async () => {
    const sse = new SSEService();
    const got: unknown[] = [];
    sse.observe('answer').subscribe(({ event, data }) => got.push([event, data]));
    const source = new Subject<number>();
    const published = sse.publishFrom(source, 'answer', 'token');
    source.next(1);
    source.error(new Error('password=secret'));
    await expect(published).rejects.toThrow('password=secret');
    expect(got[0]).toEqual(['token', 1]);
    expect(got[1]).toMatchObject(['failed', {}]);
    expect(JSON.stringify(got)).not.toContain('secret');
    expect(() => sse.broadcast('answer', 'token', 2)).toThrow(expect.objectContaining({ code: 'TOPIC_CLOSED' }));
  });

  it('empty topics leave nothing behind', async () => {
    const sse = new SSEService({ maxHistorySize: 0 });
    for (let i = 0; i < 1_000; i++) {
      sse.observe(`t:${i}`).subscribe().unsubscribe();
      sse.stream(`s:${i}`).subscribe().unsubscribe();
      sse.broadcast(`p:${i}`, 'n', i);
    }
    await new Promise((resolve) => setImmediate(resolve));
    expect(sse.stats()).toMatchObject({ topics: 0, clients: 0, history: { events: 0 } });
  });

  it('typed events accept what the map says', () => {
    interface Events {
      prices: { price: { value: number } };
    }
    const sse = new SSEService<Events>();
    sse.broadcast('prices', 'price', { value: 1 });
    // @ts-expect-error -- no such event
    sse.broadcast('prices', 'prise', { value: 1 });
    // @ts-expect-error -- not its data
    sse.broadcast('prices', 'price', { valeu: 1 });
    expect(sse.stats().published).toBe(3);
  });
});
