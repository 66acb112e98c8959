import { nodeOfRun, type Run, type Runs } from '../../log/runs.js';
import type { Entry } from '../../protocol/entry.js';
import { inNoContext } from '../callbacks.js';

/** Milliseconds. */
const TICK = 500;
/** Milliseconds between two signs of a node that has runs. */
const SIGN_INTERVAL = 1_500;
/** Milliseconds of silence after which a node is asked for a sign. Those who ask spread over a tick. */
const SILENCE = 3_500;
/** Milliseconds that it then has. Counted from where the question is in the log: who reads that could have read an answer. */
const ANSWER_TIME = 2_500;
/** A sign of more runs than this would be too large for some brokers. */
const RUNS_OF_A_SIGN = 1_000;

export interface SignsContext {
  /** This node. */
  readonly node: string;
  readonly runs: Runs;
  /** The runs of this node. */
  own(): Iterable<{ readonly topic: string; readonly id: string }>;
  append(entry: Entry): Promise<unknown>;
  /** Whether what others have written lately would have been read. */
  isReading(): boolean;
  /** Its node is dead. */
  fail(run: Run): void;
}

/** What is known of another node. On the clock of `performance.now()`. */
interface Neighbour {
  heardAt: number;
  /** When this node read that somebody has asked it for a sign, since when it has given none. */
  doubtedAt: number | undefined;
  asking: boolean;
}

/**
 * Tells others that the runs of this node go on, and notices when a node that has some is dead. All of it is in the log,
 * which is all that nodes have in common: what is in it behind a question was written by somebody who could have answered.
 */
export class SignsOfLife {
  readonly #neighbours = new Map<string, Neighbour>();
  #timer: NodeJS.Timeout | undefined;
  #tickedAt = 0;
  #signedAt = -Infinity;
  #signing = false;

  constructor(private readonly context: SignsContext) {}

  /** There is a run that is going on. */
  watch(): void {
    if (this.#timer) return;
    this.#tickedAt = performance.now();
    this.#timer = inNoContext(() => setInterval(() => this.#tick(performance.now()), TICK)).unref();
  }

  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
    this.#neighbours.clear();
  }

  /** Something that a node has written was read. */
  heard(node: string): void {
    if (node === this.context.node) return;
    const neighbour = this.#neighbours.get(node);
    if (!neighbour) return;
    neighbour.heardAt = performance.now();
    neighbour.doubtedAt = undefined;
  }

  /** Somebody has asked this node for a sign. */
  doubted(node: string): void {
    // Also where a sign is on its way: that may stand before the question.
    if (node === this.context.node) return this.#sign(performance.now(), true);
    const neighbour = this.#neighbours.get(node);
    if (neighbour) neighbour.doubtedAt ??= performance.now();
  }

  #tick(now: number): void {
    const passed = now - this.#tickedAt;
    this.#tickedAt = now;
    // This node stood still, or could not read: what was written meanwhile it has yet to see.
    if (passed > 2 * TICK || !this.context.isReading()) this.#passOver(passed);
    if (now - this.#signedAt >= SIGN_INTERVAL) this.#sign(now);
    const nodes = new Set<string>();
    for (const { id } of this.context.runs.allGoingOn()) nodes.add(nodeOfRun(id));
    if (nodes.size === 0) return this.stop();
    for (const node of this.#neighbours.keys()) if (!nodes.has(node)) this.#neighbours.delete(node);
    nodes.delete(this.context.node);
    for (const node of nodes) this.#look(node, now);
  }

  #passOver(passed: number): void {
    for (const neighbour of this.#neighbours.values()) {
      neighbour.heardAt += passed;
      if (neighbour.doubtedAt !== undefined) neighbour.doubtedAt += passed;
    }
  }

  #sign(now: number, isAsked = false): void {
    if (this.#signing && !isAsked) return;
    const { node } = this.context;
    const own = [...this.context.own()];
    const signs: Promise<unknown>[] = [];
    for (let i = 0; i < own.length; i += RUNS_OF_A_SIGN) {
      const runs = Object.fromEntries(own.slice(i, i + RUNS_OF_A_SIGN).map(({ topic, id }) => [topic, id]));
      signs.push(this.#append({ kind: 'signOfRuns', node, runs }));
    }
    if (signs.length === 0) return;
    this.#signing = true;
    this.#signedAt = now;
    void Promise.all(signs).then(() => (this.#signing = false));
  }

  #look(node: string, now: number): void {
    const neighbour = this.#neighbours.get(node) ?? { heardAt: now, doubtedAt: undefined, asking: false };
    this.#neighbours.set(node, neighbour);
    if (neighbour.doubtedAt !== undefined) {
      if (now - neighbour.doubtedAt < ANSWER_TIME) return;
      neighbour.doubtedAt = undefined;
      neighbour.heardAt = now;
      for (const run of [...this.context.runs.allGoingOn()]) if (run.node === node) this.context.fail(run);
    } else if (!neighbour.asking && now - neighbour.heardAt > SILENCE + Math.random() * TICK) {
      neighbour.asking = true;
      void this.#append({ kind: 'doubtRuns', node }).then(() => (neighbour.asking = false));
    }
  }

  /** What did not get into the log is said again in a while. */
  #append(entry: Entry): Promise<unknown> {
    return this.context.append(entry).catch(() => {});
  }
}
