import { describe, expect, it } from '@jest/globals';
import { Controller, Get, Inject, Param, Query, Res, Sse } from '@nestjs/common';
import { type NodeResponseLike, SSEService, topicPattern } from 'nestjs-sse-hub';

import { returnToBaseline } from '../../support/baseline.js';
import { platforms } from '../../support/platforms.js';
import { answerOf, answerTo } from '../../support/served.js';
import { transports } from '../../support/stream-controllers.js';

const bench = returnToBaseline();

for (const platform of platforms) {
  describe(`on ${platform.name}`, () => {
    @Controller()
    class ManyTopicsController {
      constructor(@Inject(SSEService) private readonly sse: SSEService) {}

      @Get('direct')
      direct(@Query('count') count: string, @Res() response: NodeResponseLike): void {
        this.sse.createClient(response, { topics: numbered(count) });
      }

      @Sse('stream')
      stream(@Query('count') count: string) {
        return this.sse.stream(numbered(count));
      }

      @Get('web')
      web(@Query('count') count: string): Response {
        return this.sse.addClient({ topics: numbered(count) }).response;
      }
    }

    it.each(['direct', 'stream', 'web'])(
      'L4: 10,000 topics on one connection are TOO_MANY_TOPICS (%s)',
      async (route) => {
        const { url, sse } = await bench.start(platform, { controllers: [ManyTopicsController] });
        for (const count of [101, 10_000]) {
          const message = new RegExp(`${count} topics`);
          expect(await answerTo(await bench.open(`${url}/${route}?count=${count}`))).toEqual(
            answerOf(400, 'TOO_MANY_TOPICS', message),
          );
        }
        expect(sse.stats()).toMatchObject({ clients: 0, topics: 0 });
        const allowed = await bench.connect(`${url}/${route}?count=100`);
        expect(sse.stats()).toMatchObject({ clients: 1, topics: 100 });
        expect(allowed.status).toBe(200);
      },
    );

    it('L4: subscribe() stops at the limit, and a topic that is given up makes room', async () => {
      const { url, sse } = await bench.start(platform, {
        config: { maxTopicsPerClient: 3 },
        controllers: [transports[0]!.controller(() => ({ id: 'c' }))],
      });
      const client = await bench.connect(`${url}/events/a,b`);
      expect(sse.subscribe('c', topicPattern('x:*'))).toBe(true);
      expect(() => sse.subscribe('c', 'd')).toThrow(expect.objectContaining({ code: 'TOO_MANY_TOPICS' }));
      // What it follows already is not one more.
      expect(sse.subscribe('c', 'a')).toBe(true);
      expect(sse.unsubscribe('c', 'b')).toBe(true);
      expect(sse.subscribe('c', 'd')).toBe(true);
      for (const topic of ['a', 'b', 'd', 'x:1']) sse.broadcast(topic, 'n', topic);
      expect(await client.messagesUpTo(3)).toEqual(['a', 'd', 'x:1']);
    });

    @Controller()
    class SubscribeController {
      constructor(@Inject(SSEService) private readonly sse: SSEService) {}

      @Get('direct/:topic')
      direct(@Param('topic') topic: string, @Res() response: NodeResponseLike): void {
        this.sse.createClient(response, { topics: topic });
      }

      @Sse('stream/:topic')
      stream(@Param('topic') topic: string) {
        return this.sse.stream(topic);
      }

      @Get('web/:topic')
      web(@Param('topic') topic: string): Response {
        return this.sse.addClient({ topics: topic }).response;
      }

      @Sse('query')
      query(@Query('topic') topics: string | string[]) {
        return this.sse.stream(topics);
      }

      @Get('later/:topic')
      later(@Param('topic') topic: string, @Res() response: NodeResponseLike): void {
        const id = this.sse.createClient(response);
        this.sse.subscribe(id, topic);
      }
    }

    it.each(['direct', 'stream', 'web'])('L6: a wildcard from a URL is INVALID_TOPIC (%s)', async (route) => {
      const { url, sse } = await bench.start(platform, { controllers: [SubscribeController] });
      for (const topic of ['**', '*', '%2A%2A', 'user:*', 'a*b', '%0A', 'a%00b']) {
        const message = topic === '**' ? /topicPattern\(\)/ : /./;
        expect(await answerTo(await bench.open(`${url}/${route}/${topic}`))).toEqual(
          answerOf(400, 'INVALID_TOPIC', message),
        );
      }
      expect(sse.stats()).toMatchObject({ clients: 0, topics: 0, refused: 0 });
    });

    it('L6: topics from a query are checked one by one, and none at all is INVALID_TOPIC too', async () => {
      const { url, sse } = await bench.start(platform, { controllers: [SubscribeController] });
      for (const query of ['', '?topic=', '?topic=a&topic=**', '?topic=*&topic=a']) {
        expect(await answerTo(await bench.open(`${url}/query${query}`))).toEqual(answerOf(400, 'INVALID_TOPIC', /./));
      }
      await bench.connect(`${url}/query?topic=a&topic=b`);
      expect(sse.stats()).toMatchObject({ clients: 1, topics: 2 });
    });

    it('L6: subscribe() with a wildcard from a URL throws, and the client it was for follows nothing', async () => {
      const { url, sse } = await bench.start(platform, { controllers: [SubscribeController] });
      // The stream has begun, so the framework can only end it.
      const client = await bench.open(`${url}/later/**`);
      sse.broadcast('secret', 'n', 1);
      await client.untilEnd();
      expect(client.messages).toEqual([]);
      expect(client.raw).not.toContain('INVALID_TOPIC');
    });
  });
}

function numbered(count: string): string[] {
  return Array.from({ length: Number(count) }, (_, i) => `topic:${i}`);
}
