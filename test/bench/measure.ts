import { setTimeout as sleep } from 'node:timers/promises';

import type { Pair } from './pair.js';

/** Figures of one round, by the key of their column. */
export type Figures = Readonly<Record<string, number>>;

/** Who is connected while something is measured. */
export interface Audience {
  readonly clients: number;
  readonly topics: number;
  readonly topicsPerClient: number;
}

export interface FanOut {
  readonly turns: number;
  readonly perTurn: number;
  readonly size: number;
  /** Milliseconds between two turns; 0 for the next turn. */
  readonly every?: number;
}

/** Bytes that may be on their way to one client: less than any socket buffer, so that no contender has to wait. */
const IN_FLIGHT = 32_768;
const FRAME_OVERHEAD = 100;

export function topicsOf({ topics }: Audience): string[] {
  return Array.from({ length: topics }, (_, i) => `topic-${i}`);
}

/** Each client follows some topics in a row; together they follow all equally. */
export function pathsOf(audience: Audience): string[] {
  const topics = topicsOf(audience);
  return topics.map((_, i) => {
    const followed = Array.from({ length: audience.topicsPerClient }, (_, k) => topics[(i + k) % topics.length]!);
    return `/events/${followed.join(',')}`;
  });
}

/** CPU time of the server per event that arrived. */
export async function fanOut(pair: Pair, audience: Audience, work: FanOut): Promise<Figures> {
  const { turns, perTurn, size, every = 0 } = work;
  const perClient = perTurn * audience.topicsPerClient;
  const eventsPerTurn = audience.clients * perClient;
  const events = turns * eventsPerTurn;
  const window = Math.max(1, Math.floor(IN_FLIGHT / (perClient * (size + FRAME_OVERHEAD))));
  await pair.generator.ask('expect', { events, ackEvery: window * eventsPerTurn, latency: every > 0 });
  await pair.server.ask('begin', {});
  const arrived = pair.generator.ask('delivered', {});
  await Promise.all([
    pair.server.ask('publish', { turns, perTurn, topics: topicsOf(audience), size, window, every }),
    arrived,
  ]);
  const { cpu } = await pair.server.ask('end', {});
  const { cpu: generator, p50, p99 } = await arrived;
  return { cost: cpu / events, generator: generator / events, ...(every > 0 && { p50, p99 }) };
}

/** CPU time of the server per event that nobody gets, with an audience that follows something else. */
export async function nobody(pair: Pair, events: number): Promise<Figures> {
  const perTurn = 100;
  await pair.server.ask('begin', {});
  const topics = ['nobody'];
  await pair.server.ask('publish', {
    turns: events / perTurn,
    perTurn,
    topics,
    size: 120,
    window: Number.MAX_SAFE_INTEGER,
    every: 0,
  });
  const { cpu } = await pair.server.ask('end', {});
  return { cost: cpu / events };
}

/** CPU time of the server per client that comes and goes. */
export async function churn(pair: Pair, connections: number): Promise<Figures> {
  const before = await pair.server.ask('clients', {});
  await pair.server.ask('begin', {});
  await pair.generator.ask('churn', { port: pair.port, connections, concurrency: 50 });
  await pair.until(async () => {
    const now = await pair.server.ask('clients', {});
    return now.clients <= before.clients && now.connections <= before.connections;
  });
  const { cpu } = await pair.server.ask('end', {});
  return { cost: cpu / connections };
}

const REPLAYED = '/events/topic-0';

/** Publishes what is to be replayed, and answers with the ID of the event before. */
export async function prepareReplay(pair: Pair, missed: number): Promise<string> {
  const publish = { topics: ['topic-0'], size: 120, window: Number.MAX_SAFE_INTEGER, every: 0 };
  const probe = pair.generator.ask('probe', { port: pair.port, path: REPLAYED });
  await pair.until(async () => (await pair.server.ask('clients', {})).clients === 1);
  await pair.server.ask('publish', { turns: 1, perTurn: 1, ...publish });
  const { id } = await probe;
  await pair.until(async () => (await pair.server.ask('clients', {})).clients === 0);
  await pair.server.ask('publish', { turns: missed / 10, perTurn: 10, ...publish });
  return id;
}

/** All clients come back at once, and get what they have missed. */
export async function replay(pair: Pair, clients: number, missed: number, lastEventId: string): Promise<Figures> {
  const events = clients * missed;
  await pair.generator.ask('expect', { events, ackEvery: Number.MAX_SAFE_INTEGER, latency: false });
  await pair.server.ask('begin', {});
  const arrived = pair.generator.ask('delivered', {});
  await pair.connect(clients, [REPLAYED], { lastEventId, concurrency: clients });
  const { cpu: generator } = await arrived;
  const { cpu, delay } = await pair.server.ask('end', {});
  await pair.drop();
  return { cost: cpu / events, delay, generator: generator / events };
}

const WARM_UP_CLIENTS = 100;

/** Connects the audience, and answers with what each of its clients costs in KB while nothing happens. */
export async function connectAndWeigh(pair: Pair, audience: Audience): Promise<Figures> {
  const paths = pathsOf(audience);
  // Code that runs for the first time, and structures that grow for the first time, are not the price of a client.
  await pair.connect(WARM_UP_CLIENTS, paths);
  await pair.drop();
  const before = await pair.server.ask('memory', {});
  await pair.connect(audience.clients, paths);
  await sleep(500);
  const after = await pair.server.ask('memory', {});
  const perClient = (from = Number.NaN, to = Number.NaN): number => (to - from) / 1_024 / audience.clients;
  return { heap: perClient(before.heap, after.heap), rss: perClient(before.rss, after.rss) };
}
