import { readFileSync } from 'node:fs';

import type { Contender } from './contenders/contender.js';
import { type ContenderName, contenderOf } from './contenders/index.js';
import { type Audience, connectAndWeigh, type Figures, pathsOf } from './measure.js';
import { Pair } from './pair.js';
import { running, stop } from './running.js';
import { type Column, type Group, MEMORY_COLUMNS, type Scenario } from './scenarios.js';

export interface Row {
  readonly contender: string;
  readonly label: string;
  readonly role: Contender['role'];
  /** The figures of every round; none when the contender could not take part. */
  readonly rounds: readonly Figures[];
  readonly absence?: string;
}

export interface Result {
  readonly key: string;
  readonly title: string;
  readonly columns: readonly Column[];
  readonly rows: readonly Row[];
  /** Without the ratios to yardstick and peers, because the rows do different work. */
  readonly plain?: boolean;
  /** Said below the table. */
  readonly notes?: readonly string[];
}

export interface RunOptions {
  readonly rounds: number;
  /** Keys of the scenarios that are wanted; all when empty. */
  readonly only: readonly string[];
  readonly contenders: readonly string[];
  readonly progress: (line: string) => void;
}

/** Files that a process needs beside its sockets. */
const SPARE_FILES = 200;

export async function runGroups(groups: readonly Group[], options: RunOptions): Promise<Result[]> {
  const results: Result[] = [];
  for (const group of groups) {
    const scenarios = group.scenarios.filter(({ key }) => isWanted(key, options.only));
    const memory = group.memory === true && isWanted(memoryKey(group.audience), options.only);
    const contenders = group.contenders.filter((name) => isWanted(name, options.contenders));
    if (scenarios.length === 0 && !memory) continue;
    results.push(...(await new GroupRun({ ...group, contenders, scenarios, memory }, options).run()));
  }
  return results;
}

export function isWanted(key: string, wanted: readonly string[]): boolean {
  return wanted.length === 0 || wanted.includes(key);
}

function memoryKey({ clients }: Audience): string {
  return `memory-${clients}`;
}

/** A process can only have so many sockets; fewer clients are an honest answer as long as it is said. */
function fitting(audience: Audience, progress: (line: string) => void): Audience {
  const limit = openFileLimit() - SPARE_FILES;
  if (audience.clients <= limit) return audience;
  progress(`Only ${limit} clients instead of ${audience.clients}: raise the limit of open files (ulimit -n).`);
  return { ...audience, clients: limit };
}

function openFileLimit(): number {
  try {
    const line = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'));
    return line ? Number(line[1]) : Infinity;
  } catch {
    return Infinity;
  }
}

class GroupRun {
  readonly #pairs = new Map<ContenderName, Pair>();
  readonly #absences = new Map<ContenderName, string>();
  readonly #weights = new Map<ContenderName, Figures>();
  readonly #audience: Audience;

  constructor(
    private readonly group: Group,
    private readonly options: RunOptions,
  ) {
    this.#audience = fitting(group.audience, options.progress);
  }

  async run(): Promise<Result[]> {
    try {
      for (const name of this.group.contenders) await this.#start(name);
      const results = this.group.memory ? [this.#memoryResult()] : [];
      for (const scenario of this.group.scenarios) results.push(await this.#measure(scenario));
      return results;
    } finally {
      await Promise.all([...this.#pairs.values()].map((pair) => stop(pair)));
    }
  }

  async #start(name: ContenderName): Promise<void> {
    const contender = contenderOf(name);
    const missing = contender.missing?.();
    if (missing !== undefined) return this.#excuse(name, missing);
    const { clients } = this.#audience;
    this.options.progress(`${contender.label}: ${clients} clients connect`);
    const pair = await Pair.start(name, this.group.history);
    running.add(pair);
    this.#pairs.set(name, pair);
    if (this.group.memory) this.#weights.set(name, await connectAndWeigh(pair, this.#audience));
    else if (clients > 0) await pair.connect(clients, pathsOf(this.#audience));
    if (!contender.gzip) return;
    const { encoding } = await pair.generator.ask('encoding', {});
    if (encoding === 'gzip') return;
    this.#excuse(name, `the answer's Content-Encoding is ${encoding}`);
    this.#weights.delete(name);
    this.#pairs.delete(name);
    await stop(pair);
  }

  #excuse(name: ContenderName, reason: string): void {
    this.options.progress(`${contenderOf(name).label}: n/a, ${reason}`);
    this.#absences.set(name, reason);
  }

  async #measure(scenario: Scenario): Promise<Result> {
    const names = this.group.contenders.filter((name) => scenario.contenders?.includes(name) ?? true);
    const pairs = names.flatMap((name) => this.#pairs.get(name) ?? []);
    const rounds = new Map<ContenderName, Figures[]>(names.map((name) => [name, []]));
    for (const pair of pairs) {
      await scenario.prepare?.(pair);
      this.options.progress(`${scenario.key}: ${pair.contender.label} warms up`);
      await scenario.round(pair, this.#audience);
    }
    for (let round = 0; round < this.options.rounds; round++) {
      this.options.progress(`${scenario.key}: round ${round + 1} of ${this.options.rounds}`);
      // Each round begins with another one, so that nobody always runs behind the same neighbour.
      for (const pair of rotated(pairs, round)) {
        const figures = await scenario.round(pair, this.#audience);
        rounds.get(pair.name)!.push(figures);
      }
    }
    const rows = names.map((name) => this.#row(name, rounds.get(name)!));
    return { key: scenario.key, title: scenario.title + this.#shortfall, columns: scenario.columns, rows };
  }

  /** A title must not promise more clients than there were. */
  get #shortfall(): string {
    const { clients } = this.#audience;
    return clients < this.group.audience.clients ? `; with ${clients} only, by the limit of open files` : '';
  }

  #memoryResult(): Result {
    const { clients } = this.#audience;
    const rows = this.group.contenders.map((name) => {
      const weight = this.#weights.get(name);
      return this.#row(name, weight ? [weight] : []);
    });
    const title = `Memory of an idle client, of ${clients.toLocaleString('en')}`;
    return { key: memoryKey(this.group.audience), title, columns: MEMORY_COLUMNS, rows };
  }

  #row(name: ContenderName, rounds: Figures[]): Row {
    const { label, role } = contenderOf(name);
    const absence = this.#absences.get(name);
    return { contender: name, label, role, rounds, ...(absence !== undefined && { absence }) };
  }
}

export function rotated<T>(list: readonly T[], by: number): T[] {
  const start = list.length === 0 ? 0 : by % list.length;
  return [...list.slice(start), ...list.slice(0, start)];
}
