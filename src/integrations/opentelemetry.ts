import { Inject, Module, type OnApplicationShutdown, type OnModuleInit, Optional } from '@nestjs/common';
import { type Attributes, createNoopMeter, type Meter, type MetricOptions, metrics } from '@opentelemetry/api';
import type { Observable } from 'rxjs';

import type { SSEStats } from '../index.js';
import { SSEError } from '../sse.error.js';
import { Hubs } from '../sse.hubs.js';

type Figure = (stats: SSEStats) => number | undefined;
type Instruments = readonly [name: string, unit: string, description: string, figure: Figure][];

const COUNTERS: Instruments = [
  ['sse.events.published', '{event}', 'Events that this node has read from the log.', (s) => s.published],
  ['sse.events.delivered', '{event}', 'Events written to clients, each counted per client.', (s) => s.delivered],
  ['sse.events.replayed', '{event}', 'Deliveries of events older than the connection.', (s) => s.replayed],
  ['sse.entries.dropped', '{entry}', 'Entries of the log that no client could get.', (s) => s.dropped],
  ['sse.publish.failures', '{entry}', 'What could not be appended to the log.', (s) => s.publishFailures],
  ['sse.bytes.sent', 'By', 'Handed to connections, before compression and TLS.', (s) => s.bytes],
  ['sse.heartbeats.sent', '{heartbeat}', 'Heartbeats sent.', (s) => s.heartbeats],
  ['sse.streams.refused', '{stream}', 'Connections turned away.', (s) => s.refused],
  ['sse.streams.slow', '{stream}', 'Streams given up because they accepted nothing.', (s) => s.slow],
];

const UP_DOWN_COUNTERS: Instruments = [
  ['sse.streams.open', '{stream}', 'Open streams.', (s) => s.clients],
  ['sse.topics.followed', '{topic}', 'Topics that are followed or observed.', (s) => s.topics],
  ['sse.history.events', '{event}', 'Events in memory for those who come back.', (s) => s.history.events],
  ['sse.history.size', 'By', 'Bytes of the history in memory.', (s) => s.history.bytes],
];

const GAUGES: Instruments = [
  ['sse.log.up', '1', 'Whether the log can be reached: 1 or 0.', (s) => Number(s.backplane.status === 'up')],
  [
    'sse.log.lag',
    's',
    'How far this node is behind the end of the log.',
    ({ backplane: { lag } }) => lag && lag / 1_000,
  ],
];

const RESETS: MetricOptions = { unit: '{reset}', description: 'Clients told that events are gone, by reason.' };

/** In seconds: from what a log in memory takes to what somebody notices who waits. */
const DURATION: MetricOptions = {
  unit: 's',
  description: 'From publishing to writing to clients of this node, of the oldest event of each turn.',
  advice: { explicitBucketBoundaries: [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10] },
};

/** An `SSEService`, with whatever types of events. */
export interface ObservedHub {
  readonly deliveryDelays: Observable<number>;
  stats(): SSEStats;
}

/** What the figures are reported as, and to whom. */
export interface ObserveOptions {
  /**
   * What makes the instruments.
   *
   * @defaultValue that of the global provider for `nestjs-sse-hub`
   */
  meter?: Meter | undefined;
  /**
   * On every figure: what tells several hubs of one process apart.
   *
   * @defaultValue `{}`
   */
  attributes?: Attributes | undefined;
}

/**
 * Reports the figures of `stats()` to OpenTelemetry whenever they are collected, and how long events take to clients.
 * Answers with a function that stops that. It does nothing where no provider of meters has been registered before.
 *
 * @example
 * const stop = observeHub(sse, { attributes: { 'sse.hub.name': 'prices' } });
 */
export function observeHub(
  sse: ObservedHub,
  { meter = metrics.getMeter('nestjs-sse-hub'), attributes = {} }: ObserveOptions = {},
): () => void {
  if (meter === createNoopMeter()) return () => {};
  const makers = [
    [COUNTERS, 'createObservableCounter'],
    [UP_DOWN_COUNTERS, 'createObservableUpDownCounter'],
    [GAUGES, 'createObservableGauge'],
  ] as const;
  const figures = makers.flatMap(([instruments, make]) =>
    instruments.map(([name, unit, description, figure]) => {
      return { instrument: meter[make](name, { unit, description }), figure };
    }),
  );
  const resets = meter.createObservableCounter('sse.resets.sent', RESETS);
  const instruments = [resets, ...figures.map(({ instrument }) => instrument)];
  const observe: Parameters<Meter['addBatchObservableCallback']>[0] = (result) => {
    const stats = sse.stats();
    for (const { instrument, figure } of figures) {
      const value = figure(stats);
      if (value !== undefined) result.observe(instrument, value, attributes);
    }
    for (const [reason, count] of Object.entries(stats.resets)) {
      result.observe(resets, count, { ...attributes, 'sse.reset.reason': reason });
    }
  };
  meter.addBatchObservableCallback(observe, instruments);
  const duration = meter.createHistogram('sse.delivery.duration', DURATION);
  const delays = sse.deliveryDelays.subscribe((delay) => duration.record(delay / 1_000, attributes));
  return () => {
    meter.removeBatchObservableCallback(observe, instruments);
    delays.unsubscribe();
  };
}

/**
 * `observeHub` for the application's hubs, from its start to its end. Figures of a hub that has a name carry that as
 * `sse.hub.name`. Throws `INVALID_CONFIG` in an application without `SSEModule.forRoot()`.
 *
 * @example
 * @Module({ imports: [SSEModule.forRoot(), SSEMetricsModule] })
 * export class AppModule {}
 */
@Module({})
export class SSEMetricsModule implements OnModuleInit, OnApplicationShutdown {
  #stops: (() => void)[] = [];

  constructor(@Optional() @Inject(Hubs) private readonly hubs?: { readonly all: Hubs['all'] }) {}

  onModuleInit(): void {
    if (!this.hubs) {
      const message =
        'SSEMetricsModule was imported, and there is no hub. The root module has imports: [SSEModule.forRoot()].';
      throw new SSEError('INVALID_CONFIG', message);
    }
    this.#stops = this.hubs.all.map(([name, hub]) => {
      return observeHub(hub, { attributes: name === '' ? {} : { 'sse.hub.name': name } });
    });
  }

  onApplicationShutdown(): void {
    for (const stop of this.#stops) stop();
  }
}
