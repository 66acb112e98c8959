import { randomUUID } from 'node:crypto';

import type { Figures } from '../measure.js';
import { isWanted, type Result, rotated, type RunOptions } from '../runner.js';
import { running, stop } from '../running.js';
import { absenceOf, labelOf } from './broker.js';
import { Cluster } from './cluster.js';
import { HostedBroker } from './hosted-broker.js';
import type { BrokerKind } from './messages.js';
import { BROKER_SCENARIOS, type BrokerScenario, eventsFor } from './scenarios.js';
import { type System, SYSTEMS } from './systems.js';

export const LEGEND = [
  "Nodes' CPU is user and system time of all node processes together, the broker's that of its process where this run",
  'has started it. Every node publishes its share and has its share of the clients, which are one more process.',
];

/** Deliveries, and appends, of the same work side by side: with brokers as far as there are some. */
export async function runBrokers(options: RunOptions): Promise<Result[]> {
  const run = new BrokersRun(options);
  running.add(run);
  try {
    return await run.run();
  } finally {
    await stop(run);
  }
}

class BrokersRun {
  readonly #prefix = `bench-${randomUUID().slice(0, 8)}`;
  readonly #brokers = new Map<BrokerKind, HostedBroker>();
  readonly #clusters: Cluster[] = [];
  readonly #notes: string[] = [];

  constructor(private readonly options: RunOptions) {}

  async run(): Promise<Result[]> {
    const wanted = SYSTEMS.filter(({ key }) => isWanted(key, this.options.contenders));
    const kinds = new Set(wanted.flatMap(({ broker }) => broker ?? []));
    for (const kind of kinds) await this.#startBroker(kind);
    for (const system of wanted) await this.#start(system);
    const results: Result[] = [];
    for (const scenario of BROKER_SCENARIOS) {
      if (isWanted(scenario.key, this.options.only)) results.push(await this.#measure(scenario));
    }
    return results;
  }

  async stop(): Promise<void> {
    await Promise.all(this.#clusters.map((cluster) => cluster.stop()));
    await Promise.all([...this.#brokers.values()].map((broker) => broker.stop()));
  }

  async #startBroker(kind: BrokerKind): Promise<void> {
    const absence = absenceOf(kind);
    if (absence !== undefined) {
      const note = `Without ${labelOf(kind)}: ${absence}.`;
      this.#notes.push(note);
      this.options.progress(note);
      return;
    }
    const broker = new HostedBroker(kind);
    this.#brokers.set(kind, broker);
    await broker.start(this.#prefix);
    this.options.progress(`${labelOf(kind)} ${broker.version} at ${broker.url}`);
  }

  async #start(system: System): Promise<void> {
    const broker = system.broker && this.#brokers.get(system.broker);
    if (system.broker && !broker) return;
    this.options.progress(`${system.label} starts`);
    const cluster = new Cluster(system, broker);
    this.#clusters.push(cluster);
    await cluster.start(`${this.#prefix}-${system.key}`);
  }

  async #measure(scenario: BrokerScenario): Promise<Result> {
    const events = new Map<Cluster, number>();
    const clusters = this.#clusters.filter(({ system }) => system.hasClients || scenario.clients === 0);
    const rounds = new Map<Cluster, Figures[]>(clusters.map((cluster) => [cluster, []]));
    for (const cluster of clusters) {
      this.options.progress(`${scenario.key}: ${cluster.system.label} warms up`);
      if (cluster.clients < scenario.clients) await cluster.connect(scenario.clients);
      await scenario.round(cluster, scenario.warmUp);
      events.set(cluster, eventsFor(scenario, await scenario.round(cluster, scenario.warmUp)));
    }
    for (let round = 0; round < this.options.rounds; round++) {
      this.options.progress(`${scenario.key}: round ${round + 1} of ${this.options.rounds}`);
      for (const cluster of rotated(clusters, round)) {
        rounds.get(cluster)!.push(await scenario.round(cluster, events.get(cluster)!));
      }
    }
    const { key, title, columns } = scenario;
    const rows = clusters.map((cluster) => {
      const { key: contender, label, role } = cluster.system;
      return { contender, label, role, rounds: rounds.get(cluster)! };
    });
    return { key, title, columns, rows, plain: true, notes: this.#notes };
  }
}
