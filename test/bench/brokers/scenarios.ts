import type { Figures } from '../measure.js';
import type { Column } from '../scenarios.js';
import type { Cluster, Work } from './cluster.js';

export interface BrokerScenario {
  readonly key: string;
  readonly title: string;
  readonly columns: readonly Column[];
  readonly clients: number;
  /** Events of the rounds that warm up. */
  readonly warmUp: number;
  /** Events of a round. Without it, as many as take about `DURATION` by the last round that warmed up. */
  readonly events?: number;
  readonly round: (cluster: Cluster, events: number) => Promise<Figures>;
}

const SIZE = 120;
const CLIENTS = 100;
/** Of a round that goes as fast as it goes, in milliseconds. */
const DURATION = 1_500;

const APPENDS_ON_THEIR_WAY = 1_000;
/** Few enough for the sockets' buffers: socket.io would keep what does not fit in its memory. */
const DELIVERIES_ON_THEIR_WAY = 500;
const PER_GO = 50;
const MULTIPLE = 100;

const EVERY = 5;

const PER_SECOND: Column = { key: 'rate', label: 'per second', digits: 0 };
const BROKER: Column = { key: 'broker', label: 'broker CPU, µs per event', digits: 1 };

/** Without those that don't exist, which would be shown as figures otherwise. */
function brokerOf({ broker }: Work, events: number): Figures {
  return Number.isNaN(broker) ? {} : { broker: broker / events };
}

const appends: BrokerScenario = {
  key: 'broker-appends',
  title: 'Appends without clients: as fast as it goes, 1,000 on their way, at most ten per turn',
  columns: [{ key: 'cost', label: "nodes' CPU, µs per event", digits: 1 }, PER_SECOND, BROKER],
  clients: 0,
  warmUp: 2_000,
  round: async (cluster, events) => {
    let elapsed = 0;
    const work = await cluster.weigh(async () => {
      const started = performance.now();
      await cluster.publish({ events, size: SIZE, window: APPENDS_ON_THEIR_WAY });
      elapsed = performance.now() - started;
    });
    return { cost: work.nodes / events, rate: (events / elapsed) * 1_000, ...brokerOf(work, events) };
  },
};

const together: BrokerScenario = {
  key: 'broker-together',
  title: 'Appends of one node, 1,000 awaited at a time, which an observer on that node gets',
  columns: [
    { key: 'cost', label: "that node's CPU, µs per event", digits: 1 },
    PER_SECOND,
    BROKER,
    { key: 'reader', label: "another node's CPU, µs per event", digits: 1 },
  ],
  clients: 0,
  warmUp: 10_000,
  round: async (cluster, events) => {
    let elapsed = 0;
    const work = await cluster.weigh(async () => {
      const started = performance.now();
      await cluster.publishTogether(events, APPENDS_ON_THEIR_WAY, SIZE);
      elapsed = performance.now() - started;
    });
    const [cost = Number.NaN, reader] = work.each.map((cpu) => cpu / events);
    return {
      cost,
      rate: (events / elapsed) * 1_000,
      ...brokerOf(work, events),
      ...(reader !== undefined && { reader }),
    };
  },
};

const deliveries: BrokerScenario = {
  key: 'broker-deliveries',
  title: 'Deliveries to 100 clients: as fast as it goes, 500 events on their way, at most ten per turn',
  columns: [
    { key: 'cost', label: "nodes' CPU, µs per delivery", digits: 2 },
    PER_SECOND,
    BROKER,
    { key: 'generator', label: 'generator CPU, µs per delivery', digits: 2 },
  ],
  clients: CLIENTS,
  warmUp: 500,
  round: async (cluster, events) => {
    const expected = events * cluster.clients;
    await cluster.generator.ask('expect', { events: expected, ackEvery: PER_GO * cluster.clients, latency: false });
    const arrived = cluster.generator.ask('delivered', {});
    let elapsed = 0;
    const work = await cluster.weigh(async () => {
      const started = performance.now();
      const window = DELIVERIES_ON_THEIR_WAY;
      await Promise.all([cluster.publish({ events, size: SIZE, window, perGo: PER_GO }), arrived]);
      elapsed = performance.now() - started;
    });
    const { cpu } = await arrived;
    return {
      cost: work.nodes / expected,
      rate: (expected / elapsed) * 1_000,
      generator: cpu / expected,
      ...brokerOf(work, events),
    };
  },
};

const latency: BrokerScenario = {
  key: 'broker-latency',
  title: 'Latency at 200 events per second to 100 clients: from publishing to reading',
  columns: [
    { key: 'p50', label: 'p50, ms', digits: 2 },
    { key: 'p99', label: 'p99, ms', digits: 2 },
    { key: 'cost', label: "nodes' CPU, µs per delivery", digits: 2 },
  ],
  clients: CLIENTS,
  warmUp: 100,
  events: 600,
  round: async (cluster, events) => {
    const expected = events * cluster.clients;
    await cluster.generator.ask('expect', { events: expected, ackEvery: Number.MAX_SAFE_INTEGER, latency: true });
    const arrived = cluster.generator.ask('delivered', {});
    const work = await cluster.weigh(async () => {
      const window = Number.MAX_SAFE_INTEGER;
      await Promise.all([cluster.publish({ events, size: SIZE, window, every: EVERY }), arrived]);
    });
    const { p50, p99 } = await arrived;
    return { p50, p99, cost: work.nodes / expected };
  },
};

/** In this order: whoever needs no clients comes before they are connected. */
export const BROKER_SCENARIOS: readonly BrokerScenario[] = [appends, together, deliveries, latency];

/** How many events a round has, by the figures of one. A multiple of what nodes and bounds divide. */
export function eventsFor({ warmUp, events, clients }: BrokerScenario, { rate }: Figures): number {
  if (events !== undefined || rate === undefined) return events ?? warmUp;
  const inTime = (rate / Math.max(1, clients)) * (DURATION / 1_000);
  return Math.max(1, Math.round(inTime / MULTIPLE)) * MULTIPLE;
}
