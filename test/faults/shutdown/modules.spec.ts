import { setTimeout as delay } from 'node:timers/promises';

import { describe, expect, it } from '@jest/globals';
import { Test } from '@nestjs/testing';
import { SSEModule, SSEService } from 'nestjs-sse-hub';

import { processListeners, ProcessWatch, returnToBaseline } from '../../support/baseline.js';

const bench = returnToBaseline();

describe('SSEModule', () => {
  it('S4: a hundred modules made and closed leave nothing behind, and know nothing of each other', async () => {
    const watch = new ProcessWatch();
    const listeners = processListeners();
    const services: SSEService[] = [];
    for (let i = 0; i < 100; i++) {
      const module = await Test.createTestingModule({ imports: [SSEModule.forRoot({ maxClients: 1 + i })] }).compile();
      await module.init();
      const sse = module.get(SSEService);
      const seen: unknown[] = [];
      const following = sse.stream('a', { id: 'same' }).subscribe(({ data }) => seen.push(data));
      sse.broadcast('a', 'n', i);
      expect(seen.slice(1)).toEqual([String(i)]);
      expect(sse.stats()).toMatchObject({ clients: 1, published: 1 });
      if (i % 2 === 0) following.unsubscribe();
      await module.close();
      expect(sse.stats()).toMatchObject({ clients: 0, topics: 0 });
      expect(following.closed).toBe(true);
      services.push(sse);
    }
    expect(new Set(services).size).toBe(100);
    await delay(20);
    expect(processListeners()).toEqual(listeners);
    expect(watch.troubles).toEqual([]);
    watch.stop();
  });

  it('S4: a hundred modules that are open at the same time do not hear each other', async () => {
    const modules = await Promise.all(
      Array.from({ length: 100 }, () => Test.createTestingModule({ imports: [SSEModule.forRoot()] }).compile()),
    );
    const hubs = modules.map((module) => module.get(SSEService));
    const seen = hubs.map(() => 0);
    hubs.forEach((sse, i) => {
      sse.stream('a', { id: 'same' }).subscribe(({ type }) => {
        if (type === 'n') seen[i]!++;
      });
    });
    hubs[7]!.broadcast('a', 'n', 1);
    expect(seen.filter((count) => count > 0)).toEqual([1]);
    expect(seen[7]).toBe(1);
    for (const sse of hubs) expect(sse.stats()).toMatchObject({ clients: 1, topics: 1 });
    await Promise.all(modules.map((module) => module.close()));
    for (const sse of hubs) expect(sse.stats().topics).toBe(0);
  });

  it('S4: the watch over the process sees a warning, so that its silence means something', async () => {
    const watch = new ProcessWatch();
    const { EventEmitter } = await import('node:events');
    const crowded = new EventEmitter();
    for (let i = 0; i < 11; i++) crowded.on('event', () => {});
    await delay(5);
    watch.stop();
    expect(watch.troubles).toEqual([expect.stringContaining('MaxListenersExceededWarning')]);
    bench.forgive(/MaxListenersExceededWarning/);
  });
});
