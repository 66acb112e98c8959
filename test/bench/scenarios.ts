import type { ContenderName } from './contenders/index.js';
import { type Audience, churn, type FanOut, fanOut, type Figures, nobody, prepareReplay, replay } from './measure.js';
import type { Pair } from './pair.js';

export interface Column {
  readonly key: string;
  readonly label: string;
  readonly digits: number;
}

export interface Scenario {
  readonly key: string;
  readonly title: string;
  /** The first is the one that is compared. */
  readonly columns: readonly Column[];
  /** Of the group's; all when absent. */
  readonly contenders?: readonly ContenderName[];
  /** Called once for each contender, before the rounds. */
  readonly prepare?: (pair: Pair) => Promise<void>;
  readonly round: (pair: Pair, audience: Audience) => Promise<Figures>;
}

/** Scenarios that share an audience: each contender is started, and its clients are connected, once for all of them. */
export interface Group {
  readonly audience: Audience;
  readonly contenders: readonly ContenderName[];
  readonly history?: boolean;
  /** Also reports what an idle client costs. */
  readonly memory?: boolean;
  readonly scenarios: readonly Scenario[];
}

export const MEMORY_COLUMNS: readonly Column[] = [
  { key: 'heap', label: 'JS heap, KB per client', digits: 1 },
  { key: 'rss', label: 'RSS, KB per client', digits: 1 },
];

const CPU_PER_EVENT: Column = { key: 'cost', label: 'server CPU, µs per event', digits: 2 };
const GENERATOR: Column = { key: 'generator', label: 'generator CPU, µs per event', digits: 2 };
const FAN_OUT_COLUMNS = [CPU_PER_EVENT, GENERATOR];

const DIRECT = ['directExpress', 'directFastify'] as const;
const FOLLOWED = ['eventStreamExpress', 'eventStreamFastify'] as const;
const WEB = ['webExpress', 'webFastify'] as const;
const MULTIPLEXED = ['nodeHttp2', 'directHttp2', ...DIRECT] as const;
const GZIP = ['gzipExpress', 'gzipFastify'] as const;
const PACED = ['pacedExpress', 'pacedFastify', 'streamFastify', 'pacedStream'] as const;
const THROUGH_NEST = ['streamExpress', 'streamFastify', 'subjectExpress', 'subjectFastify'] as const;
const PEERS = ['betterSse', 'fastifySse', 'nchan'] as const;
const LEAN: readonly ContenderName[] = ['nodeHttp', 'socketWrite', ...DIRECT, ...PEERS];
const WITHOUT_NCHAN: readonly ContenderName[] = [
  'nodeHttp',
  ...DIRECT,
  ...FOLLOWED,
  ...THROUGH_NEST,
  'betterSse',
  'fastifySse',
];
const ALL: readonly ContenderName[] = [
  'nodeHttp',
  'socketWrite',
  ...DIRECT,
  ...FOLLOWED,
  ...WEB,
  ...GZIP,
  ...THROUGH_NEST,
  ...PEERS,
];

const SIZE = 120;

function audienceOf(clients: number, topics = 1, topicsPerClient = 1): Audience {
  return { clients, topics, topicsPerClient };
}

function fanOutScenario(
  key: string,
  title: string,
  work: FanOut,
  { columns = FAN_OUT_COLUMNS, contenders }: Partial<Pick<Scenario, 'columns' | 'contenders'>> = {},
): Scenario {
  return {
    key,
    title,
    columns,
    ...(contenders && { contenders }),
    round: (pair, audience) => fanOut(pair, audience, work),
  };
}

// Long enough for what V8 compiles at the beginning of a round, where garbage has been collected, to count for little.
const onePerTurn = fanOutScenario('one-per-turn', 'One event per turn, 1,000 clients, 120 bytes', {
  turns: 100,
  perTurn: 1,
  size: SIZE,
});

const tenPerTurn = fanOutScenario('ten-per-turn', 'Ten events per turn, 1,000 clients, 120 bytes', {
  turns: 20,
  perTurn: 10,
  size: SIZE,
});

function payload(key: string, label: string, size: number, turns: number): Scenario {
  const contenders = ['nodeHttp', ...DIRECT, ...GZIP, ...PEERS] as const;
  return fanOutScenario(
    key,
    `Payload of ${label}, one event per turn, 1,000 clients`,
    { turns, perTurn: 1, size },
    {
      contenders,
    },
  );
}

function flatness(clients: number, turns: number): Scenario {
  const title = `One event per turn, ${clients.toLocaleString('en')} clients, 120 bytes`;
  return fanOutScenario(`flat-${clients}`, title, { turns, perTurn: 1, size: SIZE }, { contenders: LEAN });
}

const latency = fanOutScenario(
  'latency',
  'Latency at 5,000 deliveries per second: 100 clients, an event every 20 ms',
  { turns: 60, perTurn: 1, size: SIZE, every: 20 },
  {
    columns: [{ key: 'p50', label: 'p50, ms', digits: 2 }, { key: 'p99', label: 'p99, ms', digits: 2 }, CPU_PER_EVENT],
  },
);

/** All streams on one connection of HTTP/2, as behind a proxy that multiplexes; those over HTTP/1.1 are there to compare. */
const multiplexed = [1, 10].map((perTurn) =>
  fanOutScenario(
    `http2-${perTurn}`,
    `${perTurn === 1 ? 'One event' : 'Ten events'} per turn, 1,000 streams of one HTTP/2 connection, 120 bytes`,
    { turns: perTurn === 1 ? 100 : 20, perTurn, size: SIZE },
  ),
);

/** More than one core can write one by one, so the rate is what is asked for, not what is reached. */
const flood = fanOutScenario(
  'flood',
  '200 single events a second, 1,000 clients, 120 bytes, with and without a flushInterval of 50 ms',
  { turns: 200, perTurn: 1, size: SIZE, every: 5 },
  {
    columns: [CPU_PER_EVENT, { key: 'p50', label: 'p50, ms', digits: 1 }, { key: 'p99', label: 'p99, ms', digits: 1 }],
  },
);

const toNobody: Scenario = {
  key: 'nobody',
  title: 'Publish to a topic that nobody follows, with 1,000 clients on another',
  columns: [{ key: 'cost', label: 'server CPU, µs per publish', digits: 2 }],
  contenders: WITHOUT_NCHAN,
  round: (pair) => nobody(pair, 20_000),
};

const comeAndGo: Scenario = {
  key: 'churn',
  title: 'Connect, first byte, disconnect: 1,000 of them, 50 at a time',
  columns: [{ key: 'cost', label: 'server CPU, µs per connection', digits: 0 }],
  contenders: WITHOUT_NCHAN,
  round: (pair) => churn(pair, 1_000),
};

function topics(topicsPerClient: number, turns: number): Group {
  const title = `100 topics, one event to each per turn, 1,000 clients on ${topicsPerClient} of them`;
  return {
    audience: audienceOf(1_000, 100, topicsPerClient),
    contenders: ['nodeHttp', ...DIRECT, 'betterSse', 'fastifySse'],
    scenarios: [fanOutScenario(`topics-${topicsPerClient}`, title, { turns, perTurn: 1, size: SIZE })],
  };
}

const MISSED = 1_000;
const cursors = new WeakMap<Pair, string>();

const replayStorm: Scenario = {
  key: 'replay',
  title: 'Replay storm: 1,000 clients come back at once, each 1,000 events behind',
  columns: [CPU_PER_EVENT, { key: 'delay', label: 'event loop delay p99, ms', digits: 1 }, GENERATOR],
  prepare: async (pair) => {
    cursors.set(pair, await prepareReplay(pair, MISSED));
  },
  round: (pair) => replay(pair, 1_000, MISSED, cursors.get(pair)!),
};

export const FULL: readonly Group[] = [
  {
    audience: audienceOf(1_000),
    contenders: ALL,
    memory: true,
    scenarios: [
      onePerTurn,
      tenPerTurn,
      payload('payload-100', '100 B', 100, 30),
      payload('payload-1k', '1 KB', 1_024, 30),
      payload('payload-16k', '16 KB', 16_384, 10),
      toNobody,
      comeAndGo,
    ],
  },
  { audience: audienceOf(1_000), contenders: ['nodeHttp', ...DIRECT, ...PACED], scenarios: [flood] },
  { audience: audienceOf(1_000), contenders: MULTIPLEXED, scenarios: multiplexed },
  { audience: audienceOf(100), contenders: ALL, scenarios: [flatness(100, 300), latency] },
  { audience: audienceOf(10_000), contenders: LEAN, memory: true, scenarios: [flatness(10_000, 4)] },
  topics(1, 40),
  topics(3, 13),
  topics(10, 4),
  {
    audience: audienceOf(0),
    contenders: ['nodeHttp', ...DIRECT, 'betterSse', 'fastifySse'],
    history: true,
    scenarios: [replayStorm],
  },
];

export const QUICK: readonly Group[] = [
  {
    audience: audienceOf(1_000),
    contenders: ['nodeHttp', ...DIRECT],
    memory: true,
    scenarios: [onePerTurn, tenPerTurn],
  },
];
