import { setImmediate } from 'node:timers/promises';

import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Module } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { type Attributes, metrics } from '@opentelemetry/api';
import { DataPointType, type Histogram, MeterProvider, MetricReader } from '@opentelemetry/sdk-metrics';
import { getSSEToken, MemoryBackplane, SSEModule, SSEService } from 'nestjs-sse-hub';
import { observeHub, SSEMetricsModule } from 'nestjs-sse-hub/opentelemetry';
import { Observable } from 'rxjs';

import { returnToBaseline, until } from '../support/baseline.js';
import { platforms } from '../support/platforms.js';
import { transports } from '../support/stream-controllers.js';

const bench = returnToBaseline();

class Collector extends MetricReader {
  readonly provider = new MeterProvider({ readers: [this] });

  /** What is collected now: by name, with the values of each set of attributes. */
  async collectAll() {
    const { resourceMetrics, errors } = await this.collect();
    expect(errors).toEqual([]);
    const all = resourceMetrics.scopeMetrics.flatMap((scope) => scope.metrics);
    return new Map(all.map((metric) => [metric.descriptor.name, metric]));
  }

  async valuesOf(name: string): Promise<[Attributes, unknown][]> {
    const metric = (await this.collectAll()).get(name);
    return (metric?.dataPoints ?? []).map(({ attributes, value }) => [attributes, value]);
  }

  protected override onForceFlush(): Promise<void> {
    return Promise.resolve();
  }

  protected override onShutdown(): Promise<void> {
    return Promise.resolve();
  }
}

let collector: Collector;

beforeEach(() => {
  collector = new Collector();
});

afterEach(async () => {
  metrics.disable();
  await collector.provider.shutdown();
});

/** A log that says of itself what it is told to. */
class SaidBackplane extends MemoryBackplane {
  lag: number | undefined = 1_500;
}

for (const platform of platforms) {
  describe(`the metrics of an application on ${platform.name}`, () => {
    it('are what stats() says, without a line of code', async () => {
      metrics.setGlobalMeterProvider(collector.provider);
      const { sse, url } = await bench.start(platform, {
        config: { backplane: new SaidBackplane(), maxHistorySize: 5, maxClients: 2 },
        imports: [SSEMetricsModule],
        controllers: [transports[0]!.controller(() => ({ since: 0 }))],
      });
      for (let n = 0; n < 10; n++) sse.broadcast('a', 'n', n);
      const first = await bench.connect(`${url}/events/a`);
      await bench.connect(`${url}/events/a`, { lastEventId: 'foreign' });
      await first.messagesUpTo(5);
      sse.broadcast('a', 'n', 10);
      await first.messagesUpTo(1);
      const refused = await bench.open(`${url}/events/a`);
      await refused.until(() => refused.ended);
      const stats = sse.stats();
      expect(stats).toMatchObject({ clients: 2, refused: 1, published: 11, resets: { foreign: 1 } });

      const collected = await collector.collectAll();
      const valueOf = (name: string): unknown => collected.get(name)?.dataPoints[0]?.value;
      const figures = [...collected.keys()].filter((name) => !/resets|duration/.test(name));
      expect(Object.fromEntries(figures.map((name) => [name, valueOf(name)]))).toEqual({
        'sse.events.published': stats.published,
        'sse.events.delivered': stats.delivered,
        'sse.events.replayed': stats.replayed,
        'sse.entries.dropped': stats.dropped,
        'sse.publish.failures': stats.publishFailures,
        'sse.bytes.sent': stats.bytes,
        'sse.heartbeats.sent': stats.heartbeats,
        'sse.streams.refused': stats.refused,
        'sse.streams.slow': stats.slow,
        'sse.streams.open': stats.clients,
        'sse.topics.followed': stats.topics,
        'sse.history.events': stats.history.events,
        'sse.history.size': stats.history.bytes,
        'sse.log.up': 1,
        'sse.log.lag': 1.5,
      });
      expect(await collector.valuesOf('sse.resets.sent')).toEqual(
        Object.entries(stats.resets).map(([reason, count]) => [{ 'sse.reset.reason': reason }, count]),
      );
    });

    it('end with it', async () => {
      metrics.setGlobalMeterProvider(collector.provider);
      const running = await bench.start(platform, { imports: [SSEMetricsModule] });
      expect(await collector.valuesOf('sse.streams.open')).toEqual([[{}, 0]]);
      await running.close();
      let asked = 0;
      const { sse } = running;
      sse.stats = () => {
        asked++;
        return SSEService.prototype.stats.call(sse);
      };
      await collector.collectAll();
      expect(asked).toBe(0);
    });

    it('are found by a module that does not get the service by itself', async () => {
      metrics.setGlobalMeterProvider(collector.provider);
      @Module({ imports: [SSEMetricsModule] })
      class OtherModule {}
      await bench.start(platform, { config: { isGlobal: false }, imports: [OtherModule] });
      expect(await collector.valuesOf('sse.log.up')).toEqual([[{}, 1]]);
    });

    it('are of all its hubs, with their names', async () => {
      metrics.setGlobalMeterProvider(collector.provider);
      const imports = [SSEMetricsModule, SSEModule.forRoot({ name: 'admin' })];
      const { app, sse } = await bench.start(platform, { imports });
      const admin = app.get<SSEService>(getSSEToken('admin'));
      sse.broadcast('a', 'n', 0);
      for (let n = 0; n < 2; n++) admin.broadcast('a', 'n', n);
      const published = new Map(
        (await collector.valuesOf('sse.events.published')).map(([{ 'sse.hub.name': name }, value]) => [name, value]),
      );
      expect(published).toEqual(
        new Map([
          [undefined, 1],
          ['admin', 2],
        ]),
      );
    });

    it('are refused where there is no hub, with the remedy', async () => {
      const testing = await Test.createTestingModule({ imports: [SSEMetricsModule] }).compile();
      await expect(testing.createNestApplication(platform.adapter(), { logger: false }).init()).rejects.toThrow(
        'there is no hub. The root module has imports: [SSEModule.forRoot()].',
      );
    });

    it('are nothing, and no error, where no provider is registered', async () => {
      const { sse, url } = await bench.start(platform, {
        imports: [SSEMetricsModule],
        controllers: [transports[0]!.controller()],
      });
      let asked = 0;
      sse.stats = () => {
        asked++;
        return SSEService.prototype.stats.call(sse);
      };
      const stream = await bench.connect(`${url}/events/a`);
      sse.broadcast('a', 'n', 0);
      await stream.messagesUpTo(1);
      expect(asked).toBe(0);
    });

    it('say how long events took, once for each turn', async () => {
      metrics.setGlobalMeterProvider(collector.provider);
      const { sse, url } = await bench.start(platform, {
        imports: [SSEMetricsModule],
        controllers: [transports[0]!.controller()],
      });
      const streams = [await bench.connect(`${url}/events/a`), await bench.connect(`${url}/events/a`)];
      for (let n = 0; n < 3; n++) {
        sse.broadcast('a', 'n', n);
        sse.broadcast('a', 'n', 'of the same turn');
        await setImmediate();
      }
      for (const stream of streams) await stream.messagesUpTo(6);
      const metric = (await collector.collectAll()).get('sse.delivery.duration');
      expect(metric?.dataPointType).toBe(DataPointType.HISTOGRAM);
      expect(metric?.descriptor.unit).toBe('s');
      const { count, sum, min, buckets } = metric!.dataPoints[0]!.value as Histogram;
      expect(count).toBe(3);
      expect(min).toBeGreaterThanOrEqual(0);
      expect(sum).toBeLessThan(3);
      expect(buckets.boundaries).toContain(0.001);
    });
  });
}

describe('the metrics of a hub', () => {
  it('are not even measured where no provider is registered', () => {
    let subscribed = false;
    const deliveryDelays = new Observable<number>(() => {
      subscribed = true;
    });
    observeHub({ stats: () => new SSEService().stats(), deliveryDelays })();
    expect(subscribed).toBe(false);
  });

  it('of several are told apart by attributes, and stop one by one', async () => {
    const meter = collector.provider.getMeter('test');
    const hubs = [
      // Of whatever types.
      new SSEService<{ prices: { price: number } }>(),
      bench.watch(new SSEService({ maxClients: 5 })),
    ] as const;
    bench.onEnd(() => void hubs[0].shutdown());
    const stops = hubs.map((sse, n) => observeHub(sse, { meter, attributes: { 'sse.hub': `hub ${n}` } }));
    for (const sse of hubs) await sse.start();
    hubs[0].broadcast('prices', 'price', 1);
    for (let n = 0; n < 2; n++) hubs[1].broadcast('b', 'n', n);
    await until('they have read it', () => hubs[1].stats().published === 2);
    const published = () => collector.valuesOf('sse.events.published');
    expect(await published()).toEqual([
      [{ 'sse.hub': 'hub 0' }, 1],
      [{ 'sse.hub': 'hub 1' }, 2],
    ]);
    stops[0]!();
    hubs[0].broadcast('prices', 'price', 2);
    hubs[1].broadcast('b', 'n', 2);
    expect((await published()).at(-1)).toEqual([{ 'sse.hub': 'hub 1' }, 3]);
    expect((await published()).filter(([, value]) => value === 2)).toEqual([]);
    stops[1]!();
  });

  it('have units and descriptions, and names that OpenTelemetry takes', async () => {
    const stop = observeHub(bench.watch(new SSEService({ backplane: new SaidBackplane() })), {
      meter: collector.provider.getMeter('test'),
    });
    const all = [...(await collector.collectAll()).values()].map(({ descriptor }) => descriptor);
    expect(all.length).toBeGreaterThan(10);
    for (const { name, unit, description } of all) {
      expect(name).toMatch(/^sse(\.[a-z]+){2}$/);
      expect(unit).toMatch(/^(\{[a-z]+\}|By|s|1)$/);
      expect(description).toMatch(/^[A-Z].*\.$/);
    }
    stop();
  });
});
