import { describe, expect, it } from '@jest/globals';
import { Controller, Inject, Res, Sse } from '@nestjs/common';
import { type NodeResponseLike, SSEService } from 'nestjs-sse-hub';

import { returnToBaseline, until } from '../../support/baseline.js';
import { platforms } from '../../support/platforms.js';
import { transports, web } from '../../support/stream-controllers.js';

const bench = returnToBaseline();

for (const platform of platforms) {
  describe(`createClient() in an @Sse() route on ${platform.name}`, () => {
    let code: unknown;

    @Controller()
    class ConfusedController {
      constructor(@Inject(SSEService) private readonly sse: SSEService) {}

      @Sse('events')
      events(@Res() response: NodeResponseLike) {
        try {
          this.sse.createClient(response, { topics: 't' });
        } catch (error) {
          code = (error as { code?: unknown }).code;
          throw error;
        }
      }
    }

    it('C12: is INVALID_ROUTE, with nothing written and both right forms in the message', async () => {
      const { url, sse } = await bench.start(platform, { controllers: [ConfusedController] });
      const response = await fetch(`${url}/events`);
      expect(response.status).toBe(500);
      expect(response.headers.get('content-type')).toMatch(/^application\/json/);
      const body = (await response.json()) as { code: string; message: string };
      expect(body.code).toBe('INVALID_ROUTE');
      expect(body.message).toContain('sse.stream(');
      expect(body.message).toContain('@EventStream()');
      expect(code).toBe('INVALID_ROUTE');
      expect(sse.getClientCount()).toBe(0);
    });
  });

  describe(`addClient() in a handler that fails on ${platform.name}`, () => {
    it('C13: gives its slot back when its handler throws', async () => {
      const { url, sse } = await bench.start(platform, { controllers: [web.controller()] });
      const response = await fetch(`${url}/events/t?fail=1`);
      expect(response.status).toBe(500);
      expect(sse.getClientCount()).toBe(0);
    });
  });

  for (const transport of transports) {
    describe(`${transport.name} on ${platform.name}`, () => {
      it('C4: frees everything of a client that leaves', async () => {
        const { url, sse } = await bench.start(platform, {
          controllers: [transport.controller(() => ({ group: 'g' }))],
        });
        const streams = await Promise.all(Array.from({ length: 20 }, () => bench.open(`${url}/events/a,b`)));
        await until('all are clients', () => sse.getClientCount('a') === 20);
        expect(sse.getClientsByGroup('g')).toHaveLength(20);
        for (const stream of streams) stream.close();
        await until('all are gone', () => sse.getClientCount() === 0);
        expect(sse.getClientsByGroup('g')).toEqual([]);
        expect(sse.stats().topics).toBe(0);
      });
    });
  }
}

describe('a web response that nobody reads', () => {
  it('C13: gives its slot back after slowTimeout', async () => {
    const sse = bench.watch(new SSEService({ slowTimeout: 150 }));
    const { client, response } = sse.addClient({ topics: 't' });
    const read = sse.addClient({ topics: 't' });
    const reader = read.response.body!.getReader();
    void (async () => {
      while (!(await reader.read()).done);
    })();
    expect(sse.getClientCount()).toBe(2);
    await until('the slot is back', () => !client.connected);
    expect(sse.getClients().map(({ id }) => id)).toEqual([read.client.id]);
    await expect(response.text()).rejects.toThrow('not read');
    expect(sse.stats().slow).toBe(1);
    await reader.cancel();
  });
});
